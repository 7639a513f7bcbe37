"""Measurements of what the platform promises, beside what it is compared with."""
