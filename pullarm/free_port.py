"""A port that nobody else is given before its owner listens on it."""

import socket
import sys
from collections.abc import Iterator
from contextlib import contextmanager


@contextmanager
def free_port(host: str) -> Iterator[int]:
    """A free port of an address of this machine, kept from everybody who asks for any as long as the block lasts.

    On Linux a socket that has a port and does not listen keeps it from those, and not from who names it. Elsewhere it
    would keep it from everybody, so there the port is no more than free at this moment. Raises OSError where the
    address is not this machine's.
    """
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    with socket.socket(family, socket.SOCK_STREAM) as keeper:
        keeper.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        keeper.bind((host, 0))
        number: int = keeper.getsockname()[1]
        if sys.platform != "linux":
            keeper.close()
        yield number
