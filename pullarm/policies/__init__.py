"""Policies as probability vectors: posterior and candidates in, exact weights and a draw out."""
