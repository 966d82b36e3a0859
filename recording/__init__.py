"""What happened: a run as data, how it is watched, its shape, and its figure.

Standard library only. The whole folder is shipped to the reader's browser.
"""
