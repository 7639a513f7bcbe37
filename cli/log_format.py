"""How a line of a log looks: as text for people, or as JSON for what collects logs."""

import json
import logging
import time
from collections.abc import Mapping

from pullarm.domain.errors import ConfigurationError
from pullarm.environment import optional

LOG_FORMAT = "PULLARM_LOG_FORMAT"
FORMATS = ("text", "json")
_TEXT = "%(asctime)s %(levelname)s %(name)s %(message)s"


class JsonLines(logging.Formatter):
    """One JSON object a line: at (UTC), level, process, logger, message and, where there is one, exception."""

    def __init__(self, process: str) -> None:
        super().__init__()
        self._process = process

    def format(self, record: logging.LogRecord) -> str:
        """The record as a line; what has several lines itself is escaped."""
        second = time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(record.created))
        told = {
            "at": f"{second}.{int(record.msecs):03d}Z",
            "level": record.levelname,
            "process": self._process,
            "logger": record.name,
            "message": record.getMessage(),
        }
        if record.exc_info:
            told["exception"] = self.formatException(record.exc_info)
        return json.dumps(told)


def formatter(environment: Mapping[str, str]) -> logging.Formatter:
    """That of PULLARM_LOG_FORMAT; raises ConfigurationError."""
    value = optional(environment, LOG_FORMAT, "text")
    if value not in FORMATS:
        raise ConfigurationError(f"{LOG_FORMAT}={value!r}: use one of {', '.join(FORMATS)}")
    if value == "json":
        return JsonLines(optional(environment, "PULLARM_PROCESS", "pullarm"))
    return logging.Formatter(_TEXT)
