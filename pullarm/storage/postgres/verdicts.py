"""What verdicts are made of, as of one fold, and verdicts as they were frozen."""

import asyncio
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, fields, replace
from datetime import datetime, timedelta
from typing import NamedTuple

import msgspec
from asyncpg import Record

from pullarm.domain.alert import of_verdict
from pullarm.domain.experiment import POLICY_NAMES, Arm, Experiment, State
from pullarm.domain.intake import Cut
from pullarm.domain.rollup import Counts, Span
from pullarm.domain.summary import FirstExposures
from pullarm.domain.verdict import PolicyDetails, StoredVerdict, Verdict
from pullarm.statistics.arm_rates import ArmRate, arm_rates
from pullarm.statistics.cuped import Past
from pullarm.statistics.jackknife import GroupSums
from pullarm.statistics.ratio import Sums
from pullarm.statistics.verdicts.details import details
from pullarm.statistics.verdicts.evidence import judge
from pullarm.statistics.verdicts.rule import Data, Question
from pullarm.storage.figures import shares
from pullarm.storage.postgres import alerts
from pullarm.storage.postgres.arm_rates import PostgresArmRates
from pullarm.storage.postgres.database import Connection, Database, queries
from pullarm.storage.postgres.intake import PostgresIntake
from pullarm.storage.postgres.rollups import PostgresStatistics, past
from pullarm.storage.postgres.series import PostgresSeries
from pullarm.storage.postgres.user_groups import PostgresUserGroups

_SQL = queries("verdicts")
_ARM_ALPHA = 0.05


class Owed(NamedTuple):
    """An experiment that may come to another verdict."""

    id: str
    time_zone: str
    ran_at: datetime | None
    """What was due last of what has been done."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Material:
    """What is known of an experiment as of one fold."""

    cut: Cut
    data: Data
    """Of its newest allocation epoch, but for the split, which is that of all."""
    past: Mapping[str, Past]
    """Of the users of that epoch, by policy."""
    ran_from: datetime | None
    """Since when that runs; None where it never did."""
    rolled_back: bool
    """Whether it is, or was when it was stopped."""
    span: Span
    """The time that is judged: of these days what is of its newest allocation epoch."""
    earlier: tuple[StoredVerdict, ...]
    """Its verdicts, oldest first."""


class PostgresVerdicts:
    """Verdicts in PostgreSQL."""

    def __init__(self, database: Database, *, counts: bool = True) -> None:
        """`counts`: whether it brings the statistics up to date by itself; else it waits until workers did, as who
        has the role of control has to."""
        self._database = database
        self._counts = counts
        self._intake = PostgresIntake(database)
        self._statistics = PostgresStatistics(database)
        self._series = PostgresSeries(database)
        self._groups = PostgresUserGroups(database)
        self._arm_rates = PostgresArmRates(database)

    async def owed(self) -> list[Owed]:
        """Experiments that may come to another verdict, or are to be shipped by the one they came to."""
        async with self._database.connection() as connection:
            rows = await connection.fetch(_SQL["owed"])
        return [Owed(row["id"], row["time_zone"] or "UTC", row["due_at"]) for row in rows]

    async def ran(self, number: int, due_at: datetime) -> None:
        """Note that what was due then is done."""
        async with self._database.connection() as connection:
            await connection.execute(_SQL["ran"], number, due_at)

    async def material(self, experiment: Experiment, day: int, now: datetime) -> Material:
        """What is known of so many days, once the statistics have all that the ledger has by now.

        The cut is the fold that the figures are of, with a watermark from before.
        """
        number = experiment.number
        cut = await self._intake.cut(number, now)
        if self._counts:
            await self._statistics.catch_up(number, cut.fold_no)
        else:
            await self._statistics.wait_for(number, cut.fold_no)
        async with self._database.snapshot() as connection:
            fold_no = await connection.fetchval(_SQL["cursor"], number)
            rows = await connection.fetch(_SQL["sums"], number, day)
            epochs = await _epochs(connection, number)
            earlier = await connection.fetch(_SQL["page"], number, None, None)
            halted = await connection.fetchval(_SQL["rolled_back"], number)
            known = await past(connection, number, day, experiment.allocation_epoch, fold_no)
        of = epochs.get(experiment.allocation_epoch)
        ran_from = of["ran_from"] if of else None
        began = experiment.started_at or now
        return Material(
            cut=Cut(fold_no=fold_no, watermark=cut.watermark, as_of=now, process=cut.process),
            data=_data(rows, epochs, experiment.allocation_epoch),
            past=_past(known),
            ran_from=ran_from,
            span=Span(since=max(ran_from or began, began), until=began + timedelta(days=day)),
            rolled_back=halted or experiment.state is State.ROLLED_BACK,
            earlier=tuple(map(_stored, reversed(earlier))),
        )

    async def differences(self, number: int) -> list[str]:
        """A line for each difference between the statistics and what the ledger makes of them."""
        return await self._statistics.verify(number)

    async def details(self, experiment: Experiment, span: Span) -> dict[str, PolicyDetails]:
        """What is told of each policy but the baseline beside a verdict, over the hours of a span."""
        number, baseline = experiment.number, experiment.spec.decision.baseline
        cohorts: dict[str, dict[str, GroupSums]] = {}
        for (policy, cohort), sums in (await self._groups.cohorts(number, span)).items():
            found = experiment.cohort(cohort)
            by_name = cohorts.setdefault(POLICY_NAMES[policy], {})
            name = found.value if found else "other"
            by_name[name] = by_name[name] + sums if name in by_name else sums
        arms: dict[str, list[tuple[Arm, Counts]]] = {}
        for policy, arm_no, first_slot, counts in (await self._series.arms(number, span)).rows():
            if first_slot == 1 and 0 < arm_no <= len(experiment.arms):
                arm = experiment.arms[arm_no - 1]
                arms.setdefault(POLICY_NAMES[policy], []).append((arm, counts))
        _, cells = await self._arm_rates.read(number)
        rates: dict[str, dict[int, ArmRate]] = {}
        told = zip(cells.keys, arm_rates(cells.sums, alpha=_ARM_ALPHA), strict=True)
        for (epoch, policy, arm_no), rate in told:
            if epoch == experiment.allocation_epoch:
                rates.setdefault(POLICY_NAMES[policy], {})[arm_no] = rate
        names = [POLICY_NAMES[each] for each in sorted(experiment.policy_weights())]
        return {
            name: await asyncio.to_thread(
                details,
                cohorts.get(name, {}),
                cohorts.get(baseline, {}),
                arms.get(name, []),
                rates.get(name, {}),
            )
            for name in names
            if name != baseline
        }

    async def keep(
        self,
        experiment: Experiment,
        name: str,
        material: Material,
        question: Question,
        verdict: Verdict,
    ) -> StoredVerdict:
        """Freeze a verdict; where there is one of this name, that stands and is answered."""
        number, cut = experiment.number, material.cut
        told = await self.details(experiment, material.span)
        async with self._database.transaction() as connection:
            await connection.execute(_SQL["lock"], number)
            if not await connection.fetchval(_SQL["named"], number, name):
                await connection.execute(
                    _SQL["add"],
                    *(number, name, cut.fold_no, cut.watermark, cut.process, cut.as_of),
                    experiment.allocation_epoch,
                    experiment.config_no,
                    verdict.outcome.value,
                    verdict.final,
                    msgspec.json.encode(question).decode(),
                    msgspec.json.encode(verdict).decode(),
                    msgspec.to_builtins(told),
                )
                before = material.earlier[-1].verdict.outcome if material.earlier else None
                if alert := of_verdict(experiment, verdict, before):
                    await alerts.put(connection, alert, cut.as_of)
            row = await connection.fetchrow(_SQL["named"], number, name)
        assert row is not None  # it was added, or there before
        return _stored(row)

    async def page(
        self, number: int, *, before: int | None = None, count: int
    ) -> list[StoredVerdict]:
        """At most `count` verdicts with numbers below `before`, newest first."""
        async with self._database.connection() as connection:
            rows = await connection.fetch(_SQL["page"], number, before, count)
        return [_stored(row) for row in rows]

    async def redone(
        self, number: int, moment: datetime
    ) -> tuple[StoredVerdict, Verdict, bool] | None:
        """The newest verdict of a moment, the same made anew from the ledger as of its cut, and whether those are the
        same bytes; None where there was none yet."""
        async with self._database.snapshot() as connection:
            row = await connection.fetchrow(_SQL["as_of"], number, moment)
            epochs = await _epochs(connection, number)
            whole = await connection.fetchval(_SQL["past_is_kept"], number)
        if row is None:
            return None
        question = msgspec.json.decode(row["question"], type=Question)
        of = {"day": question.day, "epoch": row["allocation_epoch"]}
        users, known = await self._statistics.users_as_of(number, row["fold_no"], **of)
        if whole:  # else retention has removed of it what the question still has
            question = replace(question, past=_past(known))
        data = _data(_newest(users, question.day), epochs, row["allocation_epoch"])
        verdict = judge(question, data)
        return _stored(row), verdict, msgspec.json.encode(verdict).decode() == row["content"]


async def _epochs(connection: Connection, number: int) -> dict[int, Record]:
    rows = await connection.fetch(_SQL["epochs"], number)
    return {row["allocation_epoch"]: row for row in rows}


def _newest(rows: Iterable[Record], days: int) -> list[Record]:
    """Of each epoch and policy the row of its last day before so many were over, as the query for them has it."""
    found: dict[tuple[int, int], Record] = {}
    for row in sorted(rows, key=lambda row: row["day"]):
        if row["allocation_epoch"] > 0 and row["day"] < days:
            found[row["allocation_epoch"], row["policy"]] = row
    return [found[place] for place in sorted(found)]


def _data(rows: Iterable[Record], epochs: Mapping[int, Record], epoch: int) -> Data:
    sums = {}
    fresh: dict[int, dict[str, int]] = {}
    for row in rows:
        policy = POLICY_NAMES[row["policy"]]
        fresh.setdefault(row["allocation_epoch"], {})[policy] = int(row["fresh"])
        if row["allocation_epoch"] == epoch and row["m"]:
            sums[policy] = Sums(
                **{name: int(row[name]) for name in ("n", "m", "c", "mm", "cc", "mc")}
            )
    strata = []
    for number, users in sorted(fresh.items()):
        split = shares(epochs[number]["buckets"] if number in epochs else None)
        if len(split) > 1:
            exposed = FirstExposures(allocation_epoch=number, users=users, shares=split)
            strata.append(exposed.counts_and_shares())
    return Data(sums=sums, strata=strata)


def _past(rows: Iterable[Record]) -> dict[str, Past]:
    names = [each.name for each in fields(Past) if each.name != "n"]
    return {
        POLICY_NAMES[row["policy"]]: Past(n=row["n"], **{name: float(row[name]) for name in names})
        for row in rows
    }


def _stored(row: Record) -> StoredVerdict:
    return StoredVerdict(
        verdict_no=row["verdict_no"],
        at=row["at"],
        name=row["name"],
        allocation_epoch=row["allocation_epoch"],
        config_no=row["config_no"],
        fold_no=row["fold_no"],
        watermark=row["watermark"],
        verdict=msgspec.json.decode(row["content"], type=Verdict),
        details=msgspec.convert(row["details"], dict[str, PolicyDetails]),
        content=row["content"],
    )
