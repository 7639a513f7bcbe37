"""TLS: a server's certificate, which may be replaced while it runs, and what its clients believe and present."""

import logging
import os
import ssl
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple, Self
from urllib.parse import urlsplit

from pullarm.domain.errors import ConfigurationError
from pullarm.environment import optional, optional_path, required, stamp

SERVER = ("PULLARM_TLS_CERTIFICATE", "PULLARM_TLS_KEY", "PULLARM_TLS_CLIENT_CA")
CLIENT = ("PULLARM_SERVER_CA", "PULLARM_CLIENT_CERTIFICATE", "PULLARM_CLIENT_KEY")
SERVER_NAME = "PULLARM_SERVER_NAME"

_log = logging.getLogger(__name__)

_Stamp = tuple[tuple[int, ...], ...]


def _read_paths(environment: Mapping[str, str], names: tuple[str, ...]) -> list[Path | None]:
    """The paths in these variables; raises ConfigurationError for one that cannot be read."""
    paths = [optional_path(environment, name) for name in names]
    for name, path in zip(names, paths, strict=True):
        if path is not None and not os.access(path, os.R_OK):
            raise ConfigurationError(f"{name}: {path} cannot be read")
    return paths


class Tls(NamedTuple):
    """A server's certificate, with the chain behind it, and its key: PEM files."""

    certificate: Path
    key: Path
    client_ca: Path | None = None
    """Who vouches for clients: then nobody is let in without a certificate of theirs. None: anybody is."""

    @classmethod
    def from_environment(cls, environment: Mapping[str, str]) -> Self | None:
        """None where none is named; raises ConfigurationError where one is missing or cannot be read."""
        if not any(environment.get(name) for name in SERVER):
            return None
        for name in SERVER[:2]:
            required(environment, name)
        certificate, key, client_ca = _read_paths(environment, SERVER)
        assert certificate is not None
        assert key is not None
        return cls(certificate, key, client_ca)


class Trust(NamedTuple):
    """Whom a client believes to be the server, and what it presents itself: PEM files."""

    server_ca: Path | None = None
    """None: whom the system believes."""
    certificate: Path | None = None
    key: Path | None = None
    name: str = ""
    """What the server's certificate has to be for; "": the host that is asked."""

    @classmethod
    def from_environment(cls, environment: Mapping[str, str]) -> Self | None:
        """None where none is named; raises ConfigurationError where one is missing or cannot be read."""
        if not any(environment.get(name) for name in (*CLIENT, SERVER_NAME)):
            return None
        if any(environment.get(name) for name in CLIENT[1:]):
            for name in CLIENT[1:]:
                required(environment, name)
        server_ca, certificate, key = _read_paths(environment, CLIENT)
        return cls(server_ca, certificate, key, optional(environment, SERVER_NAME, ""))

    def context(self) -> ssl.SSLContext:
        """For a client of HTTPS; raises ConfigurationError for files that do not fit together."""
        try:
            context = ssl.create_default_context(cafile=self.server_ca)
            if self.certificate is not None:
                context.load_cert_chain(self.certificate, self.key)
        except OSError as error:  # SSLError is one
            raise ConfigurationError(f"{', '.join(CLIENT)}: {_told(error)}") from error
        return context

    def known_as(self, url: str) -> str:
        """The address under the name that the server proves, for people and their browsers."""
        parts = urlsplit(url)
        name = f"[{self.name}]" if ":" in self.name else self.name
        place = f"{name}:{parts.port}" if parts.port else name
        return parts._replace(netloc=place).geturl() if name else url


class Pem(NamedTuple):
    """What is in a server's files."""

    certificate: bytes
    key: bytes
    client_ca: bytes | None


class Certificates:
    """A server's files as they were when they last fitted together.

    They are looked at whenever somebody connects, three `stat` calls a handshake: no signal has to be sent, and whoever
    renews a certificate need not know what uses it. Connections that are there go on with the one before.
    """

    def __init__(self, files: Tls) -> None:
        """Raises ConfigurationError for files that do not fit together."""
        self._files = files
        self._seen = self._look()
        try:
            self.pem, self._context = self._read()
        except OSError as error:
            raise ConfigurationError(f"{', '.join(SERVER)}: {_told(error)}") from error

    def renew(self) -> bool:
        """Take over files that have changed, and fit together; whether there were any. From any thread."""
        found = self._look()
        if found == self._seen:
            return False
        try:
            pem, context = self._read()
        except OSError as error:
            _log.error("the certificate is not renewed, the one before stays: %s", _told(error))
            self._seen = found
            return False
        if self._look() != found:  # they are being written: whoever connects next has them
            return False
        self.pem, self._context, self._seen = pem, context, found
        _log.info("the certificate is renewed from %s", self._files.certificate)
        return True

    def context(self) -> ssl.SSLContext:
        """For a server of HTTPS: whoever connects finds the newest files behind it."""
        first = self._context

        def chosen(connection: ssl.SSLObject, _name: str | None, _context: ssl.SSLContext) -> None:
            self.renew()
            connection.context = self._context

        first.sni_callback = chosen
        return first

    def _look(self) -> _Stamp:
        return tuple(stamp(path) for path in self._files if path is not None)

    def _read(self) -> tuple[Pem, ssl.SSLContext]:
        certificate, key, client_ca = self._files
        ca = None if client_ca is None else client_ca.read_bytes()
        pem = Pem(certificate.read_bytes(), key.read_bytes(), ca)
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(certificate, key)
        if client_ca is not None:
            context.verify_mode = ssl.CERT_REQUIRED
            context.load_verify_locations(client_ca)
            # Who resumes a session shows no certificate, so that it would outlive the authority behind it.
            context.options |= ssl.OP_NO_TICKET
            context.num_tickets = 0
        return pem, context


def introduce(tls: Tls, trust: Trust) -> tuple[str, ...]:
    """What the server's certificate is for, once such a client has met such a server, without a socket.

    Raises ConfigurationError, which names the settings, where one of the two does not accept the other.
    """
    to_server, to_client = ssl.MemoryBIO(), ssl.MemoryBIO()
    context = trust.context()
    context.check_hostname = bool(trust.name)
    client = context.wrap_bio(to_client, to_server, server_hostname=trust.name or None)
    server = Certificates(tls).context().wrap_bio(to_server, to_client, server_side=True)
    ends = ((client, _unbelieved(trust)), (server, _UNKNOWN_CLIENT))
    for end, problem in ends * 2:  # each has at most two flights to send
        try:
            end.do_handshake()
        except ssl.SSLWantReadError:
            continue
        except ssl.SSLError as error:
            why = str(error.reason or error).lower().replace("_", " ")
            if isinstance(error, ssl.SSLCertVerificationError):
                why = error.verify_message
            raise ConfigurationError(f"{problem} ({why})") from error
    shown: Any = client.getpeercert()
    names = shown.get("subjectAltName", ())
    return tuple(name for kind, name in names if kind in ("DNS", "IP Address"))


_UNKNOWN_CLIENT = (
    f"{SERVER[2]} lets nobody in whom it does not vouch for; give a certificate of its authorities' "
    f"to this machine's own clients, in {CLIENT[1]} and {CLIENT[2]}"
)


def _unbelieved(trust: Trust) -> str:
    believed = f"{CLIENT[0]} does" if trust.server_ca else "the system's authorities do"
    named = f", or {SERVER_NAME} is not among its names" if trust.name else ""
    return f"{believed} not vouch for {SERVER[0]}{named}; name in {CLIENT[0]} who does"


def _told(error: OSError) -> str:
    return f"{error.strerror or error}{f': {error.filename}' if error.filename else ''}"
