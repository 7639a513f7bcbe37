"""What the publisher hands to serving: a numbered state of one experiment's configuration and posteriors."""

from dataclasses import dataclass, field
from typing import NamedTuple

from pullarm.domain.experiment import Experiment, State


class Head(NamedTuple):
    """The version of everything published for one experiment."""

    incarnation: str
    """Which life of the ledger this comes from; versions of different incarnations do not compare."""
    pub_no: int
    """The posterior version: one more for every publication of the experiment."""
    fold_no: int
    config_no: int
    as_of_ms: int
    grid_no: int
    kernel: int
    arms: int
    """Rows in every posterior vector; row r is arm number r + 1."""


PosteriorCell = tuple[int, int, int, int]
"""Policy number, arm number, serves in millionths, rewards in millionths."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Publication:
    """One publication, complete or as the difference to the one before."""

    experiment: Experiment
    head: Head
    previous_pub_no: int
    """The publication a difference applies to."""
    complete: bool
    """Whether `cells` are all cells that are not zero, or only the changed ones."""
    reconfigured: bool
    """Whether the configuration is another than in the publication before."""
    cells: list[PosteriorCell]
    grid: bytes | None = field(default=None, repr=False)
    """The quadrature grid, where it changed or the publication is complete and there is one."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Published:
    """What serving reads back: one experiment as last published."""

    head: Head
    experiment: Experiment | None
    """None where the reader said it has this version."""
    posteriors: dict[int, bytes] = field(repr=False)
    """By policy number: little-endian int64 pairs (serves, rewards) in millionths, one for each arm row."""
    grid: bytes | None = field(default=None, repr=False)
    halt: State | None = None
    """A stop or rollback that holds whatever the configuration says."""
