"""What a serving process is told by its environment."""

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Self

from pullarm.domain.decision_id import KeyRing
from pullarm.domain.errors import ConfigurationError
from pullarm.environment import optional, optional_path, required

KEYS = "PULLARM_DECISION_KEYS"
KEYS_FILE = "PULLARM_DECISION_KEYS_FILE"


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    """Read once, in the entry point."""

    redis_url: str = field(repr=False)
    keys: KeyRing
    grpc_address: str = "127.0.0.1:50051"
    clock: str = "system"
    process: str = "serving"
    ready_file: Path | None = None
    """Touched once the process answers from a complete snapshot."""

    @classmethod
    def from_environment(cls, environment: Mapping[str, str]) -> Self:
        """Raises ConfigurationError that names the variable at fault."""
        return cls(
            redis_url=required(environment, "REDIS_URL"),
            keys=read_keys(environment),
            grpc_address=optional(environment, "PULLARM_GRPC_ADDRESS", "127.0.0.1:50051"),
            clock=optional(environment, "PULLARM_CLOCK", "system"),
            process=optional(environment, "PULLARM_PROCESS", "serving"),
            ready_file=optional_path(environment, "PULLARM_READY_FILE"),
        )


def read_keys(environment: Mapping[str, str]) -> KeyRing:
    """The keys of decision ids: {"deployment": hex, "sign": number, "keys": {number: hex}}.

    PULLARM_DECISION_KEYS holds the JSON itself, else PULLARM_DECISION_KEYS_FILE names a file with it. Raises
    ConfigurationError.
    """
    inline = optional(environment, KEYS, "")
    source, text = (KEYS, inline) if inline else _from_file(required(environment, KEYS_FILE))
    try:
        raw = json.loads(text)
        return KeyRing(
            deployment=bytes.fromhex(raw["deployment"]),
            sign=int(raw["sign"]),
            keys={int(number): bytes.fromhex(key) for number, key in raw["keys"].items()},
        )
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise ConfigurationError(
            f"{source}: needs JSON with deployment, sign and keys ({error})"
        ) from error


def _from_file(path: str) -> tuple[str, str]:
    try:
        return f"{KEYS_FILE} {path}", Path(path).read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigurationError(f"{KEYS_FILE} {path}: {error}") from error
