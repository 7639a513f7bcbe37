"""Figures of one experiment over time, by arm and by cohort, from the roll-ups."""

import asyncio
from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from itertools import accumulate
from typing import Any

from litestar.di import NamedDependency, Provide
from litestar.params import FromPath

from control import arm_figures, arm_rates
from control.analysis_views import (
    ADAPTIVE,
    BY_GROUPS,
    NAIVE,
    NOT_BY_ARM,
    NOT_BY_MINUTE,
    ArmsView,
    ArmWithFigures,
    Interval,
    Maturity,
    PointView,
    TimeseriesView,
)
from control.arm_views import arm_fields
from control.filters import (
    OfArm,
    OfCohort,
    OfPolicy,
    Since,
    Until,
    aligned,
    arm_numbers,
    cohort_number,
    grained,
    policy_number,
    window,
)
from control.problems import BadParameter
from pullarm.clock import Clock
from pullarm.domain.assignment import MICRO
from pullarm.domain.decision import GRACE_MS, UNLISTED
from pullarm.domain.experiment import POLICY_NAMES, Experiment
from pullarm.domain.rollup import Counts, Grain, Point, Span
from pullarm.domain.summary import DataCut
from pullarm.lifecycle import Lifecycle
from pullarm.statistics import jackknife
from pullarm.statistics.jackknife import GroupSums
from pullarm.storage.postgres.readers import PostgresReaders

_DAY = timedelta(days=1)
_Point = tuple[Point, GroupSums | None]


@dataclass(frozen=True, slots=True, kw_only=True)
class Asked:
    """One experiment, and the time of it that is asked for."""

    experiment: Experiment
    span: Span
    bounded: tuple[bool, bool]
    """Whether a beginning, and whether an end was asked for."""
    as_of: datetime
    data_cut: DataCut

    @property
    def whole(self) -> bool:
        """Whether no time is asked for."""
        return not any(self.bounded)

    def reach(self, grain: Grain) -> Span:
        """The span in whole buckets, to be added up: in days, which are far fewer, at an end that was not asked for.

        Beyond such an end there is nothing.
        """
        inner, outer = aligned(self.span, grain), aligned(self.span, Grain.DAY)
        since, until = self.bounded
        return Span(
            since=inner.since if since else outer.since,
            until=inner.until if until else outer.until,
        )

    @property
    def baseline(self) -> str:
        """The policy that the others are compared with."""
        return self.experiment.spec.decision.baseline

    @property
    def mature_before(self) -> datetime:
        """Decisions made before then have all the rewards that count."""
        window_hours = self.experiment.spec.reward.window_hours
        return self.as_of - timedelta(hours=window_hours, milliseconds=GRACE_MS)

    def framed(self, span: Span) -> dict[str, Any]:
        """The fields of every answer."""
        return {
            "experiment": self.experiment.id,
            "since": span.since,
            "until": span.until,
            "as_of": self.as_of,
            "data_cut": self.data_cut,
        }


class Analysis:
    """Answers what is asked of one experiment; raises NotFound for one that is not there."""

    def __init__(self, lifecycle: Lifecycle, readers: PostgresReaders, clock: Clock) -> None:
        self._lifecycle = lifecycle
        self.readers = readers
        self._clock = clock

    def now(self) -> datetime:
        """As the experiments see it."""
        return datetime.fromtimestamp(self._clock() / 1000, UTC)

    async def ask(
        self, reference: str, since: str | None = None, until: str | None = None
    ) -> Asked:
        """Raises InvalidInput where there is nothing of that time."""
        experiment = await self._lifecycle.find(reference)
        now = self.now()
        return Asked(
            experiment=experiment,
            span=window(experiment, since, until, now),
            bounded=(since is not None, until is not None),
            as_of=now,
            data_cut=await self.readers.summary.data_cut(experiment.number),
        )

    async def maturity(self, asked: Asked) -> Maturity:
        """Of the last 24 hours."""
        last_day = Span(since=asked.as_of - _DAY, until=asked.as_of)
        young = Span(since=max(asked.mature_before, last_day.since), until=asked.as_of)
        number, series = asked.experiment.number, self.readers.series
        everything, not_mature = [
            sum(each.serves for each in (await series.policies(number, span)).values())
            for span in (last_day, young)
        ]
        return Maturity(mature_before=asked.mature_before, serves=everything, not_mature=not_mature)

    async def timeseries(
        self,
        asked: Asked,
        grain: Grain | None,
        *,
        policy: int | None,
        arms: Sequence[int] | None,
        cohort: int | None,
    ) -> TimeseriesView:
        """Raises InvalidInput for buckets that are not kept by arm or cohort."""
        if cohort is not None:
            grain = grain or Grain.DAY
        elif arms is not None:
            grain = grain or Grain.HOUR
        span, grain = grained(asked.span, grain)
        number, series = asked.experiment.number, self.readers.series
        if arms is not None and cohort is not None:
            raise BadParameter("cohort", "is not kept by arm: ask for one of the two")
        if arms is not None:
            points = await series.arms_timeseries(number, span, grain, arms)
        elif cohort is not None:
            points = await series.cohorts_timeseries(number, span, grain, [cohort])
        else:
            points = await series.timeseries(number, span, grain)
        groups, note = {}, NOT_BY_ARM if arms is not None else NOT_BY_MINUTE
        if arms is None and grain is not Grain.MINUTE:
            note = BY_GROUPS
            groups = await self.readers.groups.timeseries(number, span, grain, cohort=cohort)
        by_policy: defaultdict[str, list[_Point]] = defaultdict(list)
        for point in points:
            if policy in (None, point.policy):
                sums = groups.get((point.begins_at, point.policy))
                by_policy[POLICY_NAMES[point.policy]].append((point, sums))
        return TimeseriesView(
            **asked.framed(span),
            grain=grain,
            maturity=await self.maturity(asked),
            interval_note=note,
            policies={
                name: tuple(_cumulated(points, grain, asked.mature_before))
                for name, points in by_policy.items()
            },
        )

    async def arms(
        self, asked: Asked, *, policy: int | None, arms: Sequence[int] | None
    ) -> ArmsView:
        """Every version of every arm, or of one."""
        reach = asked.reach(Grain.HOUR)
        found = await self.readers.series.arms(asked.experiment.number, reach)
        told = arm_figures.figures(found, policy)
        cut, cells = await self.readers.arm_rates.read(asked.experiment.number)
        rates = await asyncio.to_thread(arm_rates.rates, asked.experiment, cells, policy)
        return ArmsView(
            **asked.framed(aligned(asked.span, Grain.HOUR)),
            maturity=await self.maturity(asked),
            rate_note=NAIVE,
            interval_note=NOT_BY_ARM,
            adaptive_note=ADAPTIVE,
            adaptive_cut=arm_rates.cut(cut),
            arms=tuple(
                ArmWithFigures(
                    **arm_fields(arm),
                    figures=tuple(told[arm.arm_no]),
                    rates=tuple(rates[arm.arm_no]),
                )
                for arm in asked.experiment.arms
                if arms is None or arm.arm_no in arms
            ),
            unlisted=tuple(told[UNLISTED]) if arms is None else (),
        )


def of_counts(counts: Counts, interval: Interval | None) -> dict[str, Any]:
    """The fields of figures."""
    return {
        "serves": counts.serves,
        "rewarded": counts.rewarded,
        "reward": counts.credit_micro / MICRO,
        "rate": counts.rate,
        "interval": interval,
    }


def _cumulated(
    found: Sequence[_Point], grain: Grain, mature_before: datetime
) -> Iterable[PointView]:
    points = [point for point, _ in found]
    serves = accumulate(point.counts.serves for point in points)
    credits = accumulate(point.counts.credit_micro for point in points)
    intervals = _intervals([sums for _, sums in found])
    for point, served, earned, (own, cumulated) in zip(
        points, serves, credits, intervals, strict=True
    ):
        yield PointView(
            **of_counts(point.counts, own),
            at=point.begins_at,
            mature=point.begins_at + grain.width <= mature_before,
            cumulative_serves=served,
            cumulative_reward=earned / MICRO,
            cumulative_rate=earned / MICRO / served if served else None,
            cumulative_interval=cumulated,
        )


def _intervals(
    several: Sequence[GroupSums | None],
) -> Iterable[tuple[Interval | None, Interval | None]]:
    """Of each bucket's rate and of that of all until then; of none where one of them has no sums."""
    told = [sums for sums in several if sums is not None]
    if not told or len(told) < len(several):
        return [(None, None)] * len(several)
    by_bucket = GroupSums.of_each(told)
    return [
        (own.interval if own else None, whole.interval if whole else None)
        for own, whole in zip(
            jackknife.rates(by_bucket), jackknife.rates(by_bucket.cumulated()), strict=True
        )
    ]


async def ask(
    reference: FromPath[str],
    analysis: NamedDependency[Analysis],
    since: Since = None,
    until: Until = None,
) -> Asked:
    """For the routes that go by time."""
    return await analysis.ask(reference, since, until)


def _policy(policy: OfPolicy = None) -> int | None:
    return policy_number(policy)


def _arms(asked: NamedDependency[Asked], arm: OfArm = None) -> tuple[int, ...] | None:
    return arm_numbers(asked.experiment, arm)


def _cohort(asked: NamedDependency[Asked], cohort: OfCohort = None) -> int | None:
    return cohort_number(asked.experiment, cohort)


FILTERED = {
    "asked": Provide(ask),
    "of_policy": Provide(_policy, sync_to_thread=False),
    "of_arms": Provide(_arms, sync_to_thread=False),
    "of_cohort": Provide(_cohort, sync_to_thread=False),
}
"""A route takes the filters that it asks for, as they are stored; the others are refused."""
