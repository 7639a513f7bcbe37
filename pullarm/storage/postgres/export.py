"""The ledger as a log of decisions with what came of them, page by page.

Every page is a short transaction of its own, because one long snapshot slows folds down many times over: it keeps
every row that they replace. So a log is not of one moment: each page is as the ledger was when it was read.
"""

from collections import defaultdict
from collections.abc import AsyncIterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, time, timedelta
from functools import cached_property
from itertools import accumulate
from uuid import UUID

import msgspec
from asyncpg import Record

from pullarm.domain.analysis import EVERYTHING, DecisionFilter
from pullarm.domain.arms import statuses_at
from pullarm.domain.assignment import MICRO
from pullarm.domain.decision import Reason, hash_of, make_uid, pack_arms, unpack_arms
from pullarm.domain.experiment import POLICY_NAMES, POLICY_NUMBERS, ArmStatus, Experiment, Spec
from pullarm.domain.log_row import KindCredit, LogRow
from pullarm.policies.registry import check
from pullarm.storage.postgres.database import Connection, Database, queries
from pullarm.storage.postgres.horizon import sealed
from pullarm.storage.postgres.times import ms

_SQL = queries("export")
PAGE_DECISIONS = 1_000
_DAY = timedelta(days=1)
_FIRST, _END = UUID(int=0), UUID(int=2**128 - 1)

_Credits = Mapping[tuple[UUID, int], dict[str, KindCredit]]


class PostgresExport:
    """Reads one experiment's decisions with their rewards."""

    def __init__(self, database: Database, *, page_decisions: int = PAGE_DECISIONS) -> None:
        self._database = database
        self._page_decisions = page_decisions

    async def kinds(self, experiment: Experiment) -> tuple[str, ...]:
        """Every kind of reward that a version of the experiment declared, by name."""
        async with self._database.snapshot() as connection:
            versions = await _versions(connection, experiment)
        return versions.kinds

    async def reaches_back_to(self) -> datetime | None:
        """The first moment whose decisions retention has not removed; None where it has removed none."""
        async with self._database.connection() as connection:
            removed = (await sealed(connection)).removed
        return datetime.combine(removed + _DAY, time(), UTC) if removed else None

    async def pages(
        self, experiment: Experiment, sought: DecisionFilter = EVERYTHING
    ) -> AsyncIterator[list[LogRow]]:
        """The slots of the decisions that are sought, by decision uid and slot.

        Decisions that filled no slot have no row, nor have those of which only rewards have come; neither has what is
        folded after the page that it belongs to was read.
        """
        start, end = uid_span(sought.since, sought.until)
        fits = sought.policy, sought.arms, sought.cohort, sought.bucket
        versions: _Versions | None = None
        while True:
            async with self._database.snapshot() as connection:
                await connection.execute(_SQL["prepare"])
                decisions = await connection.fetch(
                    _SQL["page"], experiment.number, start, end, self._page_decisions, *fits
                )
                if not decisions:
                    return
                # Arms are registered with a new version, so this one's names are all there.
                if versions is None or versions.newest < max(d["config_no"] for d in decisions):
                    versions = await _versions(connection, experiment)
                credits = await _credits(connection, experiment.number, decisions)
            yield versions.page(decisions, credits)
            start = UUID(int=decisions[-1]["uid"].int + 1)


def uid_span(since: datetime | None, until: datetime | None) -> tuple[UUID, UUID]:
    """The smallest uid of decisions made from `since` on, and that of those from `until` on; None is without end."""
    return _uid_at(since, _FIRST), _uid_at(until, _END)


def _uid_at(moment: datetime | None, otherwise: UUID) -> UUID:
    """The smallest uid of a moment."""
    return otherwise if moment is None else UUID(bytes=make_uid(ms(moment), bytes(10)))


async def _credits(connection: Connection, experiment: int, decisions: list[Record]) -> _Credits:
    credits: defaultdict[tuple[UUID, int], dict[str, KindCredit]] = defaultdict(dict)
    uids = [decision["uid"] for decision in decisions]
    for row in await connection.fetch(_SQL["credits"], uids, experiment):
        credits[row["uid"], row["slot"]][row["kind"]] = KindCredit(
            credit=row["value"] / MICRO,
            booked=row["booked"] / MICRO,
            count=row["count"],
            first_at=row["first_at"],
            last_at=row["last_at"],
            received_at=row["received_at"],
        )
    return credits


async def _versions(connection: Connection, experiment: Experiment) -> "_Versions":
    arms = await connection.fetch(_SQL["arms"], experiment.number)
    statuses = await connection.fetch(_SQL["statuses"], experiment.number)
    revisions = await connection.fetch(_SQL["revisions"], experiment.number)
    return _Versions(
        experiment=experiment.id,
        arm_ids={row["arm_no"]: row["arm_id"] for row in arms},
        brought={row["arm_no"]: row["config_no"] for row in arms},
        moves=[(row["config_no"], row["arm_no"], ArmStatus(row["status"])) for row in statuses],
        specs={row["config_no"]: msgspec.convert(row["spec"], Spec) for row in revisions},
    )


@dataclass(frozen=True, kw_only=True)
class _Versions:
    """What an experiment's decisions are read with: its arms, and every version it had."""

    experiment: str
    arm_ids: Mapping[int, str]
    brought: Mapping[int, int]
    """By arm number: the version that brought it."""
    moves: Sequence[tuple[int, int, ArmStatus]]
    """(version, arm number, status), in the order of versions."""
    specs: Mapping[int, Spec]

    @cached_property
    def params(self) -> Mapping[tuple[int, str], Mapping[str, float | str]]:
        """By version and policy name, defaults filled in."""
        return {
            (config_no, name): check(name, spec.params_of(name))
            for config_no, spec in self.specs.items()
            for name in POLICY_NUMBERS
        }

    @property
    def newest(self) -> int:
        return max(self.specs)

    @property
    def kinds(self) -> tuple[str, ...]:
        return tuple(sorted({k.name for spec in self.specs.values() for k in spec.reward.kinds}))

    @cached_property
    def window_hours(self) -> Mapping[int, float]:
        """By version: the longest window from it on."""
        newest_first = sorted(self.specs, reverse=True)
        windows = (self.specs[config_no].reward.window_hours for config_no in newest_first)
        return dict(zip(newest_first, accumulate(windows, max), strict=True))

    def floor(self, config_no: int, acting: int) -> float | None:
        """What the policy spread equally; epsilon-greedy's epsilon is one in all but name."""
        params = self.params.get((config_no, POLICY_NAMES[acting]), {})
        share = params.get("floor", params.get("epsilon"))
        return float(share) if share else None

    def page(self, decisions: list[Record], credits: _Credits) -> list[LogRow]:
        """A row for each slot of these decisions."""
        offering_all = self.specs.keys() & {d["config_no"] for d in decisions if d["all_arms"]}
        offered = {config_no: self._active(config_no) for config_no in offering_all}
        return [row for each in decisions for row in self._rows(each, offered, credits)]

    def _active(self, config_no: int) -> tuple[int, ...]:
        """The numbers of the arms that were active in a version."""
        statuses = statuses_at(self.brought, self.moves, config_no)
        return tuple(arm for arm, status in statuses.items() if status is ArmStatus.ACTIVE)

    def _rows(
        self, decision: Record, offered: Mapping[int, tuple[int, ...]], credits: _Credits
    ) -> list[LogRow]:
        candidate_nos, candidates_hash = _candidates(decision, offered)
        candidates = None if candidate_nos is None else tuple(map(self.arm_ids.get, candidate_nos))
        slots = zip(decision["arms"], decision["weights"], decision["totals"], strict=True)
        return [
            LogRow(
                decision_uid=decision["uid"].hex,
                decided_at=decision["decided_at"],
                experiment=self.experiment,
                allocation_epoch=decision["allocation_epoch"],
                config_no=decision["config_no"],
                pub_no=decision["pub_no"],
                kernel=decision["kernel"],
                unit=decision["unit"],
                bucket=decision["bucket"],
                assigned=POLICY_NAMES[decision["assigned"]],
                acting=POLICY_NAMES[decision["acting"]],
                reason=Reason(decision["reason"]).name,
                slot=slot,
                arm_no=arm_no,
                arm_id=self.arm_ids.get(arm_no),
                weight=weight,
                total=total,
                propensity=weight / total,
                floor=self.floor(decision["config_no"], decision["acting"]),
                candidates=candidates,
                candidate_nos=candidate_nos,
                candidates_hash=candidates_hash,
                attributes=decision["attributes"],
                request_id=decision["request_id"],
                voided=decision["voided"],
                excluded=decision["excluded"],
                window_hours=self.window_hours.get(decision["config_no"]),
                rewards=credits.get((decision["uid"], slot), {}),
            )
            for slot, (arm_no, weight, total) in enumerate(slots, start=1)
        ]


def _candidates(
    decision: Record, offered: Mapping[int, tuple[int, ...]]
) -> tuple[tuple[int, ...] | None, str]:
    """The arm numbers that were offered, None where only their hash is logged, or not even that; and the hash.

    `offered` has those of each version where a decision offered all, unless the ledger has no such version.
    """
    hashed = decision["candidates_hash"]
    if hashed is not None:
        return None, _hex(hashed)
    numbers = unpack_arms(decision["candidates"])
    if decision["all_arms"]:
        if decision["config_no"] not in offered:
            return None, ""
        numbers = offered[decision["config_no"]]
    return numbers, _hex(hash_of(pack_arms(numbers)))


def _hex(signed: int) -> str:
    return f"{signed % 2**64:016x}"
