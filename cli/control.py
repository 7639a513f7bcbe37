"""`pullarm control`: run the control plane."""

import asyncio
import logging
import os

from control.server import serve
from control.settings import Settings


def command() -> None:
    """Run the control plane; DATABASE_URL, REDIS_URL and PULLARM_HTTP_ADDRESS say where."""
    logging.basicConfig(
        level=logging.INFO, format="%(asctime)s %(levelname)s %(name)s: %(message)s"
    )
    logging.getLogger("uvicorn").setLevel(logging.WARNING)
    asyncio.run(serve(Settings.from_environment(os.environ)))
