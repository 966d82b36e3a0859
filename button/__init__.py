"""The Run button, all of it: its element and worker, its Python, and the build of both.

``build.mjs`` makes the folder that a page loads it from; the style is the site's.
"""
