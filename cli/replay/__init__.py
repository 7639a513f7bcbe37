"""`pullarm replay`: what a policy would have earned, from data that is already there."""

COMMANDS = {
    "load": "Read a data set or log, check it, and write it as Parquet for the other commands.",
    "window": "Find the busiest days in ratings, and the movies rated most in them.",
    "run": "Run policies over ratings or a log, again and again, and tell what they earned.",
    "report": "Make one HTML page of what `run` wrote.",
    "posteriors": "Write what a policy had learned, as published, at every version of a log.",
    "evaluate": "Estimate what a policy would have earned on a log of others, if the log can tell.",
    "gate": "Fail unless a policy is shown to earn what control does, or nearly.",
}
"""Every command with its line in the overview; cli/replay/NAME.py holds it as `command`."""
