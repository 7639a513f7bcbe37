"""The gRPC selection service: decides from a snapshot in memory and appends events. Never speaks to PostgreSQL."""
