"""Readers of other people's bandit logs, one format a file: each is a `replay.log_table.LogSource`."""
