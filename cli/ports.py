"""Which addresses are still free, asked before anything starts, so that the error can name the option."""

import errno
import socket
from contextlib import ExitStack

from pullarm.domain.errors import ConfigurationError
from pullarm.free_port import free_port


def claim(host: str, port: int, option: str, kept: ExitStack) -> int:
    """The port, or for 0 a free one that is kept until `kept` is closed.

    Raises ConfigurationError where it cannot be listened on.
    """
    try:
        return _probed(host, port) if port else kept.enter_context(free_port(host))
    except OSError as error:
        raise ConfigurationError(_problem(host, port, option, error)) from error


def _probed(host: str, port: int) -> int:
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    with socket.socket(family, socket.SOCK_STREAM) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)  # TIME_WAIT does not count
        probe.bind((host, port))
        probe.listen()
    return port


def _problem(host: str, port: int, option: str, error: OSError) -> str:
    if error.errno == errno.EADDRINUSE:
        return f"port {port} on {host} is in use; choose another with {option}"
    if error.errno == errno.EACCES:
        return f"port {port} needs privileges this user lacks; choose one above 1023 with {option}"
    return f"cannot listen on {host}:{port}: {error.strerror}; change --host or {option}"
