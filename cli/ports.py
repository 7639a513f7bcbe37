"""Which addresses are still free, asked before anything starts, so that the error can name the option."""

import errno
import socket

from pullarm.domain.errors import ConfigurationError


def claim(host: str, port: int, option: str) -> int:
    """The port, or a free one for 0; raises ConfigurationError where it cannot be listened on."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    with socket.socket(family, socket.SOCK_STREAM) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)  # TIME_WAIT does not count
        try:
            probe.bind((host, port))
            probe.listen()
        except OSError as error:
            raise ConfigurationError(_problem(host, port, option, error)) from error
        return int(probe.getsockname()[1])


def _problem(host: str, port: int, option: str, error: OSError) -> str:
    if error.errno == errno.EADDRINUSE:
        return f"port {port} on {host} is in use; choose another with {option}"
    if error.errno == errno.EACCES:
        return f"port {port} needs privileges this user lacks; choose one above 1023 with {option}"
    return f"cannot listen on {host}:{port}: {error.strerror}; change --host or {option}"
