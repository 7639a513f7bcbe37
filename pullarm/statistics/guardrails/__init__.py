"""What guardrails conclude: pure functions of stored counters and of the time since the guard epoch began."""
