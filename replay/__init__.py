"""Logged and known traffic read from files, and what a policy would have earned on it."""
