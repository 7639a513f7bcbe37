"""The figures of one experiment, from the tables that the statistics stage keeps: no query here looks at decisions."""

from collections import defaultdict
from collections.abc import Mapping
from datetime import datetime, timedelta
from itertools import groupby
from operator import itemgetter

from asyncpg import Record

from pullarm.domain.decision import NO_EXPERIMENT, Reason, RewardStatus
from pullarm.domain.experiment import POLICY_NAMES, Experiment
from pullarm.domain.summary import DataCut, FirstExposures, PolicyFigures, Summary
from pullarm.statistics.ratio import Sums
from pullarm.storage.figures import figures, not_analysed, shares
from pullarm.storage.postgres.database import Connection, Database, queries

_SQL = queries("summary")
_STATUSES = {status.value: status.name for status in RewardStatus}


async def _cut(connection: Connection, experiment: int) -> tuple[DataCut, Record]:
    """What the statistics of an experiment hold, and the row that says so."""
    row = await connection.fetchrow(_SQL["cut"], experiment)
    assert row is not None  # the head of its folds is made with the experiment
    cut = DataCut(
        fold_no=row["fold_no"],
        folds_behind=row["head"] - row["fold_no"],
        behind_since=row["behind_since"],
    )
    return cut, row


class PostgresSummary:
    """Answers summaries from roll-ups and user statistics."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def of(self, experiment: Experiment) -> Summary:
        """The figures as of one data cut, all from one snapshot."""
        number = experiment.number
        async with self._database.snapshot() as connection:
            policies = await connection.fetch(_SQL["per_policy"], number, 0, None)
            rows = await connection.fetch(_SQL["tallies"], number)
            exposed = await _first_exposures(connection, number)
            refused = await connection.fetch(_SQL["refused_rewards"], number)
            data_cut, cut = await _cut(connection, number)
        tallies: defaultdict[str, dict[int, int]] = defaultdict(dict)
        for row in rows:
            tallies[row["name"]][row["item"]] = row["n"]
        by_reason = _named(tallies["reason"], {r.value: r.name for r in Reason})
        calls, distinct = tallies["calls"], tallies["distinct"]
        return Summary(
            policies=_policies(experiment, policies),
            decisions=tallies["decisions"].get(0, 0),
            rewards_received=sum(calls.values()),
            duplicate_rewards=sum(calls.values()) - sum(distinct.values()),
            decisions_by_reason=by_reason,
            rewards_by_status=_named(calls, _STATUSES),
            refused_rewards=_refused(refused, number),
            unattributed_rewards=_refused(refused, NO_EXPERIMENT),
            voided=_named(tallies["voided"], POLICY_NAMES),
            moved=_named({r["policy"]: r["moved"] for r in policies if r["moved"]}, POLICY_NAMES),
            not_analysed=not_analysed(
                by_reason,
                voided=sum(tallies["voided"].values()),
                moved=sum(row["moved"] for row in policies),
                serves=sum(row["m"] for row in policies),
            ),
            first_exposures=exposed,
            unlisted_candidates=tallies["unlisted"].get(0, 0),
            withheld_candidates=tallies["withheld"].get(0, 0),
            first_decision_at=cut["first_at"],
            last_decision_at=cut["last_at"],
            data_cut=data_cut,
            fold_no=cut["head"],
            posterior_version=cut["pub_no"] or 0,
        )

    async def data_cut(self, experiment: int) -> DataCut:
        """Which folds the figures of an experiment hold."""
        async with self._database.snapshot() as connection:
            return (await _cut(connection, experiment))[0]

    async def first_exposures(self, experiment: int) -> tuple[FirstExposures, ...]:
        """By epoch; of those in which units were shown their first choice of all."""
        async with self._database.connection() as connection:
            return await _first_exposures(connection, experiment)

    async def sums(self, experiment: Experiment, epoch: int, upto: datetime) -> dict[str, Sums]:
        """Sums over the users of each policy, serves as m and credit in millionths as c, of one epoch or (0) of all.

        Up to the last 24 hours, counted from the experiment's start, that were over at `upto`: where that is the window
        and grace ago, they are matured.
        """
        start = experiment.started_at or experiment.created_at
        last_day = (upto - start) // timedelta(days=1) - 1
        async with self._database.connection() as connection:
            rows = await connection.fetch(_SQL["per_policy"], experiment.number, epoch, last_day)
        return {POLICY_NAMES[row["policy"]]: sums_of(row) for row in rows if row["m"]}


async def _first_exposures(connection: Connection, experiment: int) -> tuple[FirstExposures, ...]:
    rows = await connection.fetch(_SQL["first_exposures"], experiment)
    return tuple(
        FirstExposures(
            allocation_epoch=epoch,
            users={POLICY_NAMES[row["policy"]]: row["fresh"] for row in found},
            shares=shares(found[0]["buckets"]),
        )
        for epoch, each in groupby(rows, key=itemgetter("allocation_epoch"))
        for found in (list(each),)
    )


def _refused(rows: list[Record], experiment: int) -> dict[str, int]:
    found = {r["status"]: r["rewards"] for r in rows if r["experiment_id"] == experiment}
    return _named(found, _STATUSES)


def _policies(experiment: Experiment, rows: list[Record]) -> dict[str, PolicyFigures]:
    found = {row["policy"]: row for row in rows if row["m"]}
    numbers = dict.fromkeys([*sorted(experiment.policy_weights()), *found])
    return {POLICY_NAMES[number]: _figures(found.get(number)) for number in numbers}


def _figures(row: Record | None) -> PolicyFigures:
    if row is None:
        return figures(Sums(), 0)
    return figures(sums_of(row), row["r"])


def sums_of(row: Record) -> Sums:
    """From a row of `user_sums`: whole numbers, so that nothing is rounded."""
    return Sums(**{name: int(row[name]) for name in ("n", "m", "c", "mm", "cc", "mc")})


def _named(counts: Mapping[int, int], names: Mapping[int, str]) -> dict[str, int]:
    return {names[number]: count for number, count in counts.items()}
