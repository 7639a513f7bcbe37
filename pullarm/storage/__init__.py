"""The only code that speaks to PostgreSQL and Redis, and the same ports in memory."""
