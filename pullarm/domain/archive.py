"""Removed days that are kept in files: which files there are, and how it is known that they are whole."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date
from enum import StrEnum
from typing import NamedTuple

from pullarm.domain.erasure import StandIn

CHECKSUM_BITS = 60


class Kind(StrEnum):
    """What a file has rows of."""

    DECISIONS = "decisions"
    """Slots of decisions with what came of them: the log that an export writes."""
    REWARDS = "rewards"
    """Calls of rewards, one by one, refused ones included."""


class Sums(NamedTuple):
    """What a file holds, in two numbers that rows in PostgreSQL have as well."""

    rows: int
    checksum: int
    """Sum of each row's hash modulo 2^60; of columns only that an erasure leaves as they are."""

    def plus(self, more: "Sums") -> "Sums":
        """Of both."""
        return Sums(self.rows + more.rows, (self.checksum + more.checksum) % (1 << CHECKSUM_BITS))


NOTHING = Sums(0, 0)


@dataclass(frozen=True, slots=True, kw_only=True)
class ArchivedFile:
    """One file: an experiment's rows of one kind and day (UTC, of decision)."""

    experiment: int
    """Its number."""
    experiment_id: str
    day: date
    kind: Kind
    sums: Sums

    @property
    def name(self) -> str:
        """Where it is in the archive."""
        return f"{self.experiment_id}/{self.kind}-{self.day}.parquet"


@dataclass(frozen=True, slots=True, kw_only=True)
class ArchivedDay:
    """All that was written of a day that is to be removed."""

    files: Sequence[ArchivedFile]
    rebuilds: int
    """As of which rebuilds, see `PostgresArchive.rebuilds`."""


@dataclass(frozen=True, slots=True, kw_only=True)
class PendingErasure:
    """A user who is erased from the ledger, and from the files not yet."""

    experiment: int
    salt: bytes
    """Of the experiment's users."""
    unit_hash: int
    """Whose it was."""
    instead: StandIn
