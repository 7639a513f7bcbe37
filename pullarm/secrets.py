"""Secrets: where they come from, and that they are in nothing that is told."""

import json
import logging
import re
import traceback
from collections.abc import Iterable, Mapping
from pathlib import Path
from types import TracebackType
from urllib.parse import unquote, urlsplit

from pullarm.domain.access import SECRET, SECRET_PREFIX
from pullarm.domain.errors import ConfigurationError

SERVERS = (
    "DATABASE_URL",
    "DATABASE_READ_URL",
    "REDIS_URL",
    "QUEUE_REDIS_URL",
    "PULLARM_ALERT_SMTP",
    "PULLARM_ARCHIVE",
)
"""Addresses with a password in them."""
WHOLE = (
    "PULLARM_TOKEN",
    "PULLARM_UPSTREAM_TOKEN",
    "PULLARM_ALERT_WEBHOOK",
    "PULLARM_DECISION_KEYS",
    "OTEL_EXPORTER_OTLP_HEADERS",
    "OTEL_EXPORTER_OTLP_TRACES_HEADERS",
)
"""What is secret as a whole."""
FROM_FILES = tuple(name for name in (*SERVERS, *WHOLE) if name != "PULLARM_DECISION_KEYS")
"""What NAME_FILE may name a file of. That of the decision keys serving reads itself, again whenever it changes."""

_HIDDEN = "***"
_IN_ADDRESS = re.compile(r"(://[^\s/@:]*:)[^\s@]+@")
_LEAST = 8
"""A password of fewer characters is hidden in addresses alone: it may be a part of any word."""


def read_files(environment: Mapping[str, str]) -> dict[str, str]:
    """The secrets whose NAME_FILE is set and whose NAME is not; raises ConfigurationError that names the variable."""
    found = {}
    for name in FROM_FILES:
        path = environment.get(f"{name}_FILE")
        if path and not environment.get(name):
            try:
                found[name] = Path(path).read_text(encoding="utf-8").strip()
            except UnicodeDecodeError:
                raise ConfigurationError(f"{name}_FILE: {path} is no text") from None
            except OSError as error:
                raise ConfigurationError(f"{name}_FILE: {path}: {error.strerror}") from error
            if not found[name]:
                raise ConfigurationError(f"{name}_FILE: {path} is empty")
    return found


def no_address(name: str, example: str) -> ConfigurationError:
    """Of a variable with an address that cannot be read; what is wrong with it would be told by quoting it."""
    return ConfigurationError(
        f"{name} is no address such as {example}; in a password write / as %2F, @ as %40, # as %23 and % as %25"
    )


class Mask:
    """Hides what an environment has of secrets, tokens of any kind, and passwords in addresses."""

    def __init__(self, environment: Mapping[str, str]) -> None:
        words = {word for word in _words(environment) if len(word) >= _LEAST}
        spelled = words | {json.dumps(word)[1:-1] for word in words}
        longest_first = sorted(spelled, key=len, reverse=True)
        self._known = re.compile("|".join(map(re.escape, longest_first)) or "(?!)")

    def __call__(self, text: str) -> str:
        """The text without them."""
        text = self._known.sub(_HIDDEN, text)
        text = SECRET.sub(SECRET_PREFIX + _HIDDEN, text)
        return _IN_ADDRESS.sub(rf"\1{_HIDDEN}@", text)

    def trace(
        self, kind: type[BaseException], error: BaseException, trace: TracebackType | None
    ) -> str:
        """What Python says of an error that nobody took."""
        return self("".join(traceback.format_exception(kind, error, trace)))


def _words(environment: Mapping[str, str]) -> Iterable[str]:
    for name in WHOLE:
        yield environment.get(name, "")
    yield from re.findall(r"[0-9a-fA-F]{32,}", environment.get("PULLARM_DECISION_KEYS", ""))
    yield urlsplit(environment.get("PULLARM_ALERT_WEBHOOK", "")).path
    for name in ("OTEL_EXPORTER_OTLP_HEADERS", "OTEL_EXPORTER_OTLP_TRACES_HEADERS"):
        for header in environment.get(name, "").split(","):
            yield unquote(header.partition("=")[2].strip())
    for name in SERVERS:
        try:
            password = urlsplit(environment.get(name, "")).password or ""
        except ValueError:  # no address at all, which its reader says
            continue
        yield password
        yield unquote(password)


class Masked(logging.Formatter):
    """Another formatter's lines, tracebacks among them, without secrets."""

    def __init__(self, inner: logging.Formatter, mask: Mask) -> None:
        super().__init__()
        self._inner = inner
        self._mask = mask

    def format(self, record: logging.LogRecord) -> str:
        """The line."""
        return self._mask(self._inner.format(record))
