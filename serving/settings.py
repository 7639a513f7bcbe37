"""What a serving process is told by its environment."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Self

from pullarm.domain.decision_id import KeyRing
from pullarm.domain.errors import ConfigurationError
from pullarm.domain.key_rotation import Keys
from pullarm.environment import (
    flag,
    number,
    optional,
    optional_path,
    refuse_exposure,
    required,
)
from pullarm.processors import KEEP_AWAKE
from pullarm.storage.redis.cluster import is_cluster
from pullarm.tls import Tls
from pullarm.tracing import Wanted
from serving.waiter import Durability

KEYS = "PULLARM_DECISION_KEYS"
KEYS_FILE = "PULLARM_DECISION_KEYS_FILE"
ADDRESS = "PULLARM_GRPC_ADDRESS"
REPLICAS = "PULLARM_REPLICAS"
REQUIRE_TOKENS = "PULLARM_REQUIRE_TOKENS"
_MOST_REPLICAS = 5.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    """Read once, in the entry point."""

    redis_url: str = field(repr=False)
    keys: KeyRing
    keys_file: Path | None = None
    """Where they are read again when it changes; None: they are in the environment, and stay."""
    grpc_address: str = "127.0.0.1:50051"
    clock: str = "system"
    process: str = "serving"
    ready_file: Path | None = None
    """Touched once the process answers from a complete snapshot."""
    durability: Durability = Durability.ACKNOWLEDGED
    """What an answer waits for."""
    replicas: int = 0
    """How many replicas must have an event before it counts as acknowledged."""
    linger_s: float = 0.001
    """How long calls wait for others that are taken up, logged and answered with them, while calls come."""
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
    keep_awake: bool = False
    """Whether the machine's processors are kept from sleeping."""
    traces: Wanted | None = None
    """None: no request is traced."""

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
            keys_file=None if environment.get(KEYS) else optional_path(environment, KEYS_FILE),
            grpc_address=address,
            tls=tls,
            clock=optional(environment, "PULLARM_CLOCK", "system"),
            process=optional(environment, "PULLARM_PROCESS", "serving"),
            ready_file=optional_path(environment, "PULLARM_READY_FILE"),
            durability=_durability(environment),
            replicas=replicas_wanted(environment),
            linger_s=number(environment, "PULLARM_LINGER_MS", 1.0, most=20.0) / 1_000,
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
            keep_awake=flag(environment, KEEP_AWAKE),
            traces=Wanted.from_environment(environment, "pullarm-serving"),
        )


def replicas_wanted(environment: Mapping[str, str]) -> int:
    """How many must have an event before it is acknowledged: in a cluster one, which follows a primary that dies.

    Raises ConfigurationError.
    """
    default = float(is_cluster(required(environment, "REDIS_URL")))
    found = number(environment, REPLICAS, default, most=_MOST_REPLICAS)
    if found != int(found):
        raise ConfigurationError(f"{REPLICAS} is {found:g}; give a whole number")
    return int(found)


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
    if not inline:
        return keys_in(Path(required(environment, KEYS_FILE))).ring
    try:
        return Keys.parse(inline).ring
    except ConfigurationError as error:
        raise ConfigurationError(f"{KEYS}: {error}") from error


def keys_in(path: Path) -> Keys:
    """The keys in a file; raises ConfigurationError."""
    try:
        return Keys.parse(path.read_text(encoding="utf-8"))
    except UnicodeDecodeError:
        raise ConfigurationError(f"{KEYS_FILE} {path}: is no text") from None
    except (OSError, ConfigurationError) as error:
        raise ConfigurationError(f"{KEYS_FILE} {path}: {error}") from error
