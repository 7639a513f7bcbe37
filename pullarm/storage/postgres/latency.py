"""How serving did over time: calls, errors and sketches of latencies, by minute, hour or day."""

from collections import defaultdict
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta

import msgspec
from asyncpg import Record

from pullarm.domain.analysis import ServingCounts
from pullarm.domain.rollup import Grain, Span
from pullarm.storage.postgres.database import Database, queries

_SQL = queries("latency")
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_FIGURES = ("calls", "errors", "over_100ms", "over_120ms")
SETTLED = timedelta(hours=1)
"""How long after its end an hour is added up."""
_HOURS_AT_ONCE = 500
_SKETCH = msgspec.json.Decoder(dict[int, int])


class PostgresLatency:
    """Figures of serving for one experiment; what nobody called in is left out."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def of(
        self, experiment: int, span: Span, grain: Grain, policies: Sequence[int]
    ) -> list[ServingCounts]:
        """By bucket that begins in the span and assigned policy, in their order."""
        read = Grain.MINUTE if grain is Grain.MINUTE else Grain.HOUR
        first, last = (-((_EPOCH - end) // grain.width) for end in (span.since, span.until))
        wide = grain.width // read.width
        async with self._database.transaction() as connection:
            rows = await connection.fetch(
                _SQL[f"{read}s"], experiment, policies, first * wide, last * wide
            )
        found: dict[tuple[int, int], list[Record]] = {}
        for row in rows:
            found.setdefault((row["bucket"] // wide, row["policy"]), []).append(row)
        return [
            _counts(_EPOCH + bucket * grain.width, policy, rows)
            for (bucket, policy), rows in sorted(found.items(), key=lambda each: each[0])
        ]

    async def add_up(self, now: datetime) -> None:
        """Add up the hours that ended a while ago, so that reading them stays quick."""
        settled = settled_hour(now)
        done = False
        while not done:
            async with self._database.transaction() as connection:
                await connection.execute(_SQL["lock"])
                status = await connection.execute(_SQL["add_up"], settled, _HOURS_AT_ONCE)
            done = int(status.split()[-1]) < _HOURS_AT_ONCE


def settled_hour(now: datetime) -> int:
    """The first hour, since 1970, that is not to be added up yet."""
    return int((now - SETTLED - _EPOCH) // timedelta(hours=1))


def _counts(begins_at: datetime, policy: int, rows: Sequence[Record]) -> ServingCounts:
    sketch: defaultdict[int, int] = defaultdict(int)
    for row in rows:
        for place, n in _SKETCH.decode(row["sketch"]).items():
            sketch[place] += n
    figures = {name: int(sum(row[name] for row in rows)) for name in _FIGURES}
    return ServingCounts(begins_at=begins_at, policy=policy, sketch=sketch, **figures)
