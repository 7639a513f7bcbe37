"""The control plane: experiments over REST, and the dashboard's files."""
