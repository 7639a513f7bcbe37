"""Ports that are claimed before anything starts."""

import socket
from contextlib import ExitStack

import pytest

from cli.ports import claim
from pullarm.domain.errors import ConfigurationError

HERE = "127.0.0.1"


def test_a_free_port_is_kept_for_who_names_it() -> None:
    with ExitStack() as kept:
        port = claim(HERE, 0, "--http-port", kept)
        with socket.socket() as stranger, pytest.raises(OSError, match="in use"):
            stranger.bind((HERE, port))
        with socket.create_server((HERE, port)):  # as the control plane does
            pass
        with (
            socket.create_server((HERE, port), reuse_port=True),  # as serving processes do
            socket.create_server((HERE, port), reuse_port=True),
        ):
            pass
        assert claim(HERE, 0, "--grpc-port", kept) != port
    with socket.socket() as stranger:
        stranger.bind((HERE, port))


def test_a_port_that_cannot_be_listened_on_is_named_with_its_option() -> None:
    with socket.create_server((HERE, 0)) as taken, ExitStack() as kept:
        port = taken.getsockname()[1]
        with pytest.raises(ConfigurationError, match=f"port {port} on {HERE} is in use.*--grpc"):
            claim(HERE, port, "--grpc-port", kept)
        with pytest.raises(ConfigurationError, match=r"192\.0\.2\.1:0.*--host or --http-port"):
            claim("192.0.2.1", 0, "--http-port", kept)
