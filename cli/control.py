"""`pullarm control`: the control plane, told by its environment where PostgreSQL and Redis are."""

import os

from cli import entry
from control.server import serve
from control.settings import Settings


def command() -> None:
    """Run the control plane until SIGTERM.

    Reads DATABASE_URL, REDIS_URL and, optionally, PULLARM_HTTP_ADDRESS (127.0.0.1:8000).
    """
    entry.run(serve, Settings.from_environment(os.environ))
