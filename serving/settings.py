"""What a serving process is told by its environment."""

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Self

from pullarm.domain.decision_id import KeyRing
from pullarm.domain.errors import ConfigurationError
from pullarm.environment import (
    Tls,
    flag,
    number,
    optional,
    optional_path,
    refuse_exposure,
    required,
)
from serving.waiter import Durability

KEYS = "PULLARM_DECISION_KEYS"
KEYS_FILE = "PULLARM_DECISION_KEYS_FILE"
ADDRESS = "PULLARM_GRPC_ADDRESS"
REQUIRE_TOKENS = "PULLARM_REQUIRE_TOKENS"


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
    durability: Durability = Durability.ACKNOWLEDGED
    """What an answer waits for."""
    linger_s: float = 0.006
    """How long a stream entry waits for more events at most, while the process is busy."""
    spool: Path = Path(".pullarm/spool")
    """Where events wait while the stream is away."""
    spool_bytes: int = 256 * 1024 * 1024
    """How much this process may spool."""
    tls: Tls | None = None
    require_tokens: bool = False
    """Whether callers need a token."""
    metrics_address: str = "127.0.0.1:9464"
    """Where /metrics, /readyz and /healthz are."""
    max_silence_s: float = 900.0
    """How long the board may be out of reach before the process is not ready any more: it would not hear of a halt."""

    @classmethod
    def from_environment(cls, environment: Mapping[str, str]) -> Self:
        """Raises ConfigurationError that names the variable at fault."""
        address = optional(environment, ADDRESS, "127.0.0.1:50051")
        tls, require_tokens = Tls.from_environment(environment), flag(environment, REQUIRE_TOKENS)
        lacks = {"TLS": tls is None, f"{REQUIRE_TOKENS}=1": not require_tokens}
        lacking = " and ".join(name for name, missing in lacks.items() if missing)
        refuse_exposure(environment, ADDRESS, address, lacking=lacking)
        return cls(
            redis_url=required(environment, "REDIS_URL"),
            keys=read_keys(environment),
            grpc_address=address,
            tls=tls,
            clock=optional(environment, "PULLARM_CLOCK", "system"),
            process=optional(environment, "PULLARM_PROCESS", "serving"),
            ready_file=optional_path(environment, "PULLARM_READY_FILE"),
            durability=_durability(environment),
            linger_s=number(environment, "PULLARM_LINGER_MS", 6.0, most=20.0) / 1_000,
            spool=Path(optional(environment, "PULLARM_SPOOL", ".pullarm/spool")),
            spool_bytes=round(
                number(environment, "PULLARM_SPOOL_MIB", 256.0, least=1.0, most=1_048_576.0)
                * 1_048_576
            ),
            require_tokens=require_tokens,
            metrics_address=optional(environment, "PULLARM_METRICS_ADDRESS", "127.0.0.1:9464"),
            max_silence_s=number(
                environment, "PULLARM_MAX_SILENCE_S", 900.0, least=1.0, most=86_400.0
            ),
        )


def _durability(environment: Mapping[str, str]) -> Durability:
    text = optional(environment, "PULLARM_DURABILITY", Durability.ACKNOWLEDGED)
    try:
        return Durability(text)
    except ValueError:
        raise ConfigurationError(
            f"PULLARM_DURABILITY is {text!r}; give {' or '.join(Durability)}"
        ) from None


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
