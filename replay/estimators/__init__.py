"""What a policy would have earned on a log of another: one estimator a file, each with `add`, `get` and `+`."""
