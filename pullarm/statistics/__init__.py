"""Statistical methods, one a file; each names its source and its limits."""
