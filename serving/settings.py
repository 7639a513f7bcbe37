"""What a serving process is told by its environment."""

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Self

from pullarm.domain.decision_id import KeyRing
from pullarm.domain.errors import ConfigurationError


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
        for name in ("REDIS_URL", "PULLARM_DECISION_KEYS_FILE"):
            if not environment.get(name):
                raise ConfigurationError(f"{name} is not set; `pullarm up` sets it by itself")
        ready = environment.get("PULLARM_READY_FILE")
        return cls(
            redis_url=environment["REDIS_URL"],
            keys=read_keys(Path(environment["PULLARM_DECISION_KEYS_FILE"])),
            grpc_address=environment.get("PULLARM_GRPC_ADDRESS", "127.0.0.1:50051"),
            clock=environment.get("PULLARM_CLOCK", "system"),
            process=environment.get("PULLARM_PROCESS", "serving"),
            ready_file=Path(ready) if ready else None,
        )


def read_keys(path: Path) -> KeyRing:
    """The keys of decision ids: {"deployment": hex, "sign": number, "keys": {number: hex}}."""
    try:
        raw = json.loads(path.read_text())
        return KeyRing(
            deployment=bytes.fromhex(raw["deployment"]),
            sign=int(raw["sign"]),
            keys={int(number): bytes.fromhex(key) for number, key in raw["keys"].items()},
        )
    except OSError as error:
        raise ConfigurationError(f"PULLARM_DECISION_KEYS_FILE: {error}") from error
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise ConfigurationError(
            f"PULLARM_DECISION_KEYS_FILE {path}: needs JSON with deployment, sign and keys ({error})"
        ) from error
