"""What the parts need from storage. Each port has a real implementation and one in memory; both pass the same tests."""

from collections.abc import Awaitable, Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple, Protocol

from pullarm.domain.access import Caller, Token
from pullarm.domain.admission import Forced
from pullarm.domain.audit import NOBODY, AuditEntry, Author
from pullarm.domain.cohorts import Seen
from pullarm.domain.decision import Batch
from pullarm.domain.experiment import Arm, Experiment, Spec, State
from pullarm.domain.groups import Group
from pullarm.domain.instance import Heard, Instance
from pullarm.domain.intake import Intake
from pullarm.domain.publication import Head, Publication, Published


class EventSink(Protocol):
    """Where serving leaves its events."""

    def append(self, entry: bytes) -> Awaitable[None]:
        """Return, when awaited, once the entry is durable; raises Unavailable while the store is away."""


@dataclass(frozen=True, slots=True)
class Entry:
    """One stream entry as a consumer claimed it."""

    id: str
    payload: bytes
    shard: int = 0
    """Of several streams, that which it is in; it has its id there."""

    @property
    def name(self) -> str:
        """What tells it from those of all streams."""
        return f"{self.shard}:{self.id}" if self.shard else self.id


class EventSource(Protocol):
    """Where workers claim events: each entry goes to one consumer until it is acknowledged."""

    async def claim(self, count: int, wait_ms: int) -> list[Entry]:
        """New entries, at most `count`; waits up to wait_ms for the first."""

    async def reclaim(self, count: int, idle_ms: int) -> list[Entry]:
        """Entries that another consumer claimed and left unacknowledged for idle_ms."""

    async def acknowledge(self, entries: Sequence[Entry]) -> None:
        """The entries are folded: forget them."""


@dataclass(frozen=True, slots=True)
class FoldResult:
    """What one fold did."""

    folds: Mapping[int, int]
    """The number of this fold of each experiment whose fold number moved."""
    decisions: int
    """Decisions that were new."""
    rewards: int
    """Rewards that were new."""


class Ledger(Protocol):
    """The ledger and its fold."""

    async def fold(self, batch: Batch, now_ms: int) -> FoldResult:
        """Add a set of events; what is already there changes nothing."""

    async def posterior(self, experiment: int) -> dict[tuple[int, int, int], tuple[int, int]]:
        """(policy, arm, hour since 1970) -> (serves, rewards in millionths)."""

    async def verify(self, experiment: int) -> list[str]:
        """Every difference between the stored posterior and the fold of the ledger."""

    async def intake(self) -> list[Intake]:
        """What has come of each life of a serving process, by name."""

    async def give_up(self, process: str, first: int, end: int) -> None:
        """Wait no more for the events with these numbers, which are lost; what comes of them after all is folded."""

    async def quarantine(self, entry_id: str, problem: str, payload: bytes, now_ms: int) -> None:
        """Keep what cannot be folded."""


REGISTRAR = Author("worker", "first seen")
"""On whose account candidates become arms, and values cohorts."""


class ExperimentStore(Protocol):
    """Experiments and their history; every change is in the audit trail too."""

    async def create(self, draft: "NewExperiment", now_ms: int) -> Experiment:
        """Store a draft; raises InvalidInput where its key is taken, or its group has no room for it."""

    async def skip_numbers(self, upto: int) -> None:
        """Give out no experiment number up to this one."""

    async def get(self, reference: str) -> Experiment:
        """By id or key; raises NotFound."""

    async def all(self) -> list[Experiment]:
        """All, newest first, without their arms."""

    async def due(self, now_ms: int) -> list[tuple[str, str]]:
        """(id, action) of what the schedules of experiments have owed up to now, oldest first."""

    async def revise(self, experiment: Experiment, change: "Revision", now_ms: int) -> Experiment:
        """Store a new version of exactly the given one; raises VersionMismatch when it is no longer the newest,
        InvalidInput where its group has no room for it."""

    async def register_arms(self, number: int, arm_ids: Sequence[str], now_ms: int) -> int:
        """Make first-seen candidates arms of an open catalogue, up to its max_arms; how many were new."""

    async def register_cohorts(self, number: int, seen: Sequence[Seen], now_ms: int) -> int:
        """Number first-seen values of the attribute that makes cohorts, up to its max_values; how many were new."""


class GroupStore(Protocol):
    """Exclusion groups; that of all experiments is there from the beginning."""

    async def create(self, group: Group, author: Author) -> None:
        """Store a new group; raises InvalidInput where its name is taken."""

    async def all(self) -> list[Group]:
        """All, by name."""

    async def hold_out(self, name: str, holdout_micro: int, author: Author, now_ms: int) -> Group:
        """Change a group's holdout, with a new version of each of its experiments; raises NotFound."""


@dataclass(frozen=True, slots=True, kw_only=True)
class NewExperiment:
    """What a draft is made of."""

    id: str
    key: str
    spec: Spec
    salt: bytes
    buckets: bytes
    arms: tuple[Arm, ...]
    author: Author = NOBODY
    cloned_from: str = ""
    """The id of the experiment that it is a copy of."""

    @property
    def action(self) -> str:
        """What made it, for its history."""
        return "clone" if self.cloned_from else "create"


@dataclass(frozen=True, slots=True, kw_only=True)
class Revision:
    """One change of an experiment: what it becomes and who did it."""

    action: str
    """edit, start, stop, ..."""
    spec: Spec
    state: State
    buckets: bytes
    allocation_epoch: int
    guard_epoch: int
    author: Author = NOBODY
    arms: tuple[Arm, ...] | None = None
    """All of them, as they become; None leaves them as they are."""
    forced: tuple[Forced, ...] | None = None
    """Likewise."""


class AuditTrail(Protocol):
    """Who changed what."""

    async def page(
        self, experiment: int | None, *, before: int | None, count: int
    ) -> list[AuditEntry]:
        """At most `count` entries with numbers below `before`, newest first; of one experiment, or of all there is."""

    async def since(self, experiment: int, config_no: int) -> list[AuditEntry]:
        """What made the versions of an experiment after this one, oldest first."""


class Board(Protocol):
    """Where the publisher posts and serving reads."""

    async def publish(self, publication: Publication) -> bool:
        """False when a difference does not follow what is there: a complete publication is needed."""

    async def read(self, number: int, have: Head | None) -> Published | None:
        """One experiment in one consistent look, None when it is not published; its configuration and grid only where
        they are not those of `have`. Raises ValueError that says what of it cannot be read."""

    async def versions(self, numbers: Sequence[int]) -> "dict[int, Version]":
        """How far each of these experiments is, cheaply; what is not published, or cannot be read, is at version 0."""

    async def index(self) -> "BoardIndex":
        """What is published, cheaply."""

    async def complete(self, incarnation: str, experiments: Sequence[int]) -> None:
        """Declare that everything is published."""

    async def halt(self, number: int, state: State, guard_epoch: int = 0, note: str = "") -> None:
        """Make serving treat an experiment as stopped or rolled back, at once and whatever else it is told.

        A rollback holds for a guard epoch, until it is released. The note says why, for the ledger.
        """

    async def release(self, number: int, guard_epoch: int) -> None:
        """End the halt of a rollback that was made before this guard epoch; a stop stands."""

    async def halted(self, number: int) -> "Halt | None":
        """What halts an experiment; None where nothing does."""

    async def unhalt(self, number: int) -> None:
        """Forget that an experiment was halted."""

    async def beat(self) -> None:
        """Say that everything folded so far is on the board."""


class Halt(NamedTuple):
    """A stop or a rollback that serving obeys, whether or not the ledger knows of it."""

    state: State
    guard_epoch: int
    note: str


class Version(NamedTuple):
    """How far one experiment on the board is: another version is other content."""

    incarnation: str
    pub_no: int
    halt: str
    """The state that holds whatever the configuration says; "" for none."""


@dataclass(frozen=True, slots=True)
class BoardIndex:
    """The published experiments and whether that is all of them."""

    complete: bool
    incarnation: str
    change_no: int
    """Moves with every publication and halt; starts anew when the board was emptied."""
    experiments: tuple[int, ...]
    beat: int
    """Moves while a publisher keeps the board as new as the ledger; starts anew when the board was emptied."""


class Mark(NamedTuple):
    """A traced request whose events are folded."""

    fold_no: int
    """Of its experiment."""
    parent: str
    """The span that goes on with them, as a `traceparent`."""


class TraceBoard(Protocol):
    """Where a worker leaves what it folded of traced requests, for those who publish it and serve it."""

    async def leave(self, number: int, marks: Sequence[Mark]) -> None:
        """Add marks to an experiment's; only the newest are kept, and none for longer than a minute."""

    async def left(self, number: int, since: int, upto: int) -> list[Mark]:
        """Those of the folds after `since`, up to `upto`; what cannot be read is left out."""


class TokenStore(Protocol):
    """Tokens by the digests of their secrets."""

    async def create(self, token: Token, digest: bytes, author: Author) -> None:
        """Store a new token, and in the audit trail who made it."""

    async def all(self) -> list[Token]:
        """All there ever were, newest first."""

    async def revoke(self, token_id: str, author: Author, now_ms: int) -> Token:
        """End a token for good, and store in the audit trail who did; again changes nothing. Raises NotFound."""

    async def of(self, digest: bytes, now_ms: int) -> Token | None:
        """The token with this digest; None where there is none, or it does not live any more."""

    async def callers(self, now_ms: int) -> Sequence[Caller]:
        """The living tokens that are for serving, by digest."""


class SessionStore(Protocol):
    """Who has logged in to the dashboard, by the digests of what their browsers keep."""

    async def open_session(
        self, digest: bytes, token_id: str, now_ms: int, expires_ms: int
    ) -> None:
        """Remember a session of this token; those that have expired are forgotten."""

    async def in_session(self, digest: bytes, now_ms: int) -> Token | None:
        """The token that this session is of; None where there is none, or either does not live any more."""

    async def close_session(self, digest: bytes) -> None:
        """Forget a session, if there is one."""


class CallerBoard(Protocol):
    """Where workers post which tokens may call serving."""

    async def post(self, callers: Sequence[Caller]) -> bool:
        """Make these the ones; False where they are already."""

    async def read(self, have: bytes) -> "Posted | None":
        """What is posted; None where nothing is, or what has this stamp. Raises ValueError where it is damaged."""


class InstanceBoard(Protocol):
    """Where the processes of a platform say that they live. Away, it raises Unavailable."""

    async def tell(self, instance: Instance) -> None:
        """Say that a process lives, and how it is; those that have been silent for long are forgotten."""

    async def forget(self, instance: Instance) -> None:
        """A process has ended."""

    async def all(self) -> list[Heard]:
        """Those that were heard of lately, in the order of their identities."""


class Posted(NamedTuple):
    """The tokens that may call serving, and what stands for exactly these."""

    stamp: bytes
    callers: tuple[Caller, ...]
