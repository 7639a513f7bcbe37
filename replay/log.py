"""A bandit log in memory: what was chosen among what, how probable that was, and what it earned.

A log of any size is read as batches of columns (numpy arrays that share their length n); one that is held in memory is
the same with few batches. Rows are in the log's own order, by which learners and forward cross-fitting go. Arms and
policies are numbers in a batch: places in the log's `arms` and `policies`.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, fields
from functools import partial
from itertools import chain
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from replay.sources import SourceFile

Offered = Literal["every", "listed", "unknown"]
"""What each row could choose from: every arm of the log; its own `Candidates`; or nobody knows, as where only a hash
of the candidates was logged. Then a target policy's probabilities cannot be worked out, only be taken from `target`."""


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Candidates:
    """The arms each row of a batch chose from: row i has `arm[start[i]:start[i + 1]]`, in the caller's order."""

    start: NDArray[np.int64]  # (n + 1,), from 0, ascending
    arm: NDArray[np.int32]  # (m,), places in the log's arms, each once in a row
    probability: NDArray[np.float64] | None = None  # (m,), the logging policy's, where it is known

    @property
    def size(self) -> NDArray[np.int64]:
        """How many each row has, (n,)."""
        return np.diff(self.start)


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class LogBatch:
    """Consecutive rows of a log; a row is one slot of one decision."""

    user: NDArray[np.int64]  # (n,), a number for each user; of each row where users are not known
    action: NDArray[np.int32]  # (n,), place of the chosen arm in the log's arms
    propensity: NDArray[np.float64]  # (n,), > 0 and <= 1: of `action`, under the policy that chose
    reward: NDArray[np.float64]  # (n,), finite
    slot: NDArray[np.int32]  # (n,), from 1
    policy: NDArray[np.int32]  # (n,), place of the policy that chose in the log's policies
    version: NDArray[np.int64]  # (n,), number of the posterior that was drawn from; 0 if not known
    context: NDArray[np.int64]  # (n,), a number for each set of shared features; 0 for none
    time_us: NDArray[np.int64] | None = None  # (n,), unix microseconds, where they are known
    target: NDArray[np.float64] | None = None  # (n,), 0..1: of `action`, under a policy to evaluate
    candidates: Candidates | None = None  # where the log says "listed"; of a later slot, those left

    def __post_init__(self) -> None:
        columns = {
            each.name: getattr(self, each.name)
            for each in fields(self)
            if each.name != "candidates"
        }
        shapes = {name: column.shape for name, column in columns.items() if column is not None}
        if set(shapes.values()) != {(len(self.user),)}:
            raise ValueError(f"columns must be one-dimensional and of one length, not {shapes}")
        if self.candidates is not None and len(self.candidates.start) != len(self.user) + 1:
            raise ValueError(
                f"candidates of {len(self.candidates.start) - 1} rows beside {len(self.user)} rows"
            )

    def __len__(self) -> int:
        return len(self.user)


@dataclass(frozen=True, slots=True, kw_only=True)
class LogHead:
    """What holds for a log as a whole."""

    name: str
    arms: tuple[str, ...]
    policies: tuple[str, ...]
    rows: int
    offered: Offered
    users_known: bool
    """False where each row is a user of its own, so that nothing is clustered."""
    sources: tuple[SourceFile, ...] = ()
    counts: Mapping[str, int] = field(default_factory=dict)
    """What was found in the sources and what was left out of the log, by what it is."""


Part = Callable[[], Iterator[LogBatch]]


class BanditLog:
    """A log that can be gone through any number of times, as a whole or by its parts.

    Args:
        parts: consecutive stretches of rows, cut the same whoever reads them; each starts at its own first row
            whenever it is called. Where parts are to be read by other processes, they can be pickled.
    """

    def __init__(self, head: LogHead, parts: Sequence[Part]) -> None:
        self.head = head
        self.parts = parts

    def batches(self) -> Iterator[LogBatch]:
        """Every row, in order; no batch is empty."""
        return chain.from_iterable(part() for part in self.parts)


def in_memory(head: LogHead, batches: Sequence[LogBatch]) -> BanditLog:
    """A log that is held in memory, in one part."""
    return BanditLog(head, [partial(iter, batches)])


def batch(
    *,
    action: Any,
    propensity: Any,
    reward: Any,
    first_row: int = 0,
    **known: Any,
) -> LogBatch:
    """A batch of the columns that are known, as arrays of their types; the others as if nothing was known of them.

    Without `user`, every row is a user of its own, numbered from `first_row`.
    """
    n = len(action)
    columns: dict[str, Any] = {
        "user": np.arange(first_row, first_row + n),
        "slot": np.ones(n),
        "policy": np.zeros(n),
        "version": np.zeros(n),
        "context": np.zeros(n),
        **known,
        "action": action,
        "propensity": propensity,
        "reward": reward,
    }
    for name, kind in _TYPES.items():
        if columns.get(name) is not None:
            columns[name] = np.ascontiguousarray(columns[name], dtype=kind)
    return LogBatch(**columns)


_TYPES: Mapping[str, type[np.generic]] = {
    **dict.fromkeys(("user", "version", "context", "time_us"), np.int64),
    **dict.fromkeys(("action", "slot", "policy"), np.int32),
    **dict.fromkeys(("propensity", "reward", "target"), np.float64),
}
