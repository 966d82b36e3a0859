"""What one works with: the commands behind `make`, and the messages of a wrong page."""
