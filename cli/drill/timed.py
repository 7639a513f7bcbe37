"""How long the steps of a drill take."""

import time
from collections.abc import Iterator
from contextlib import contextmanager


@contextmanager
def timed(took_s: dict[str, float], step: str) -> Iterator[None]:
    """Note how many seconds the block takes."""
    began = time.monotonic()
    yield
    took_s[step] = round(time.monotonic() - began, 2)
