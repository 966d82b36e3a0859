"""What each way of running a job loses when something is killed, and how fast it is."""
