"""Figures of one experiment over time, by arm and by cohort, from the roll-ups."""

import asyncio
from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass
from datetime import UTC, datetime, timedelta
from itertools import accumulate
from typing import Any

import numpy as np
from litestar.di import NamedDependency, Provide
from litestar.params import FromPath

from control import arm_rates
from control.analysis_views import (
    ADAPTIVE,
    NAIVE,
    NO_PART,
    ArmFigures,
    ArmsView,
    ArmWithFigures,
    CohortFigures,
    CohortsView,
    Fairness,
    Figures,
    Maturity,
    PointView,
    TimeseriesView,
)
from control.filters import Since, Until, aligned, grained, window
from control.problems import BadParameter
from control.views import arm_view
from pullarm.clock import Clock
from pullarm.domain.assignment import MICRO
from pullarm.domain.decision import GRACE_MS, UNLISTED
from pullarm.domain.experiment import POLICY_NAMES, Experiment
from pullarm.domain.rollup import ArmCounts, CohortCounts, Counts, Grain, Point, Span
from pullarm.domain.summary import DataCut
from pullarm.lifecycle import Lifecycle
from pullarm.statistics.cohorts import LEAST_IMPRESSIONS
from pullarm.storage.postgres.readers import PostgresReaders

_DAY = timedelta(days=1)


@dataclass(frozen=True, slots=True, kw_only=True)
class Asked:
    """One experiment, and the time of it that is asked for."""

    experiment: Experiment
    span: Span
    whole: bool
    """Whether no time is asked for."""
    as_of: datetime
    data_cut: DataCut

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

    async def ask(
        self, reference: str, since: datetime | None = None, until: datetime | None = None
    ) -> Asked:
        """Raises InvalidInput where there is nothing of that time."""
        experiment = await self._lifecycle.find(reference)
        now = datetime.fromtimestamp(self._clock() / 1000, UTC)
        return Asked(
            experiment=experiment,
            span=window(experiment, since, until, now),
            whole=since is None and until is None,
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
        by_policy: defaultdict[str, list[Point]] = defaultdict(list)
        for point in points:
            if policy in (None, point.policy):
                by_policy[POLICY_NAMES[point.policy]].append(point)
        return TimeseriesView(
            **asked.framed(span),
            grain=grain,
            maturity=await self.maturity(asked),
            interval_note=NO_PART,
            policies={
                name: tuple(_cumulated(points, grain, asked.mature_before))
                for name, points in by_policy.items()
            },
        )

    async def arms(
        self, asked: Asked, *, policy: int | None, arms: Sequence[int] | None
    ) -> ArmsView:
        """Every version of every arm, or of one."""
        span = aligned(asked.span, Grain.HOUR)
        found = await self.readers.series.arms(asked.experiment.number, span)
        slots: defaultdict[tuple[int, int], int] = defaultdict(int)
        for each in found:
            slots[each.policy, each.first_slot] += each.counts.serves
        told: defaultdict[int, list[ArmFigures]] = defaultdict(list)
        for each in found:
            if policy in (None, each.policy):
                told[each.arm_no].append(_arm(each, slots[each.policy, each.first_slot]))
        adaptive = await self.readers.arm_rates.read(asked.experiment.number)
        rates = await asyncio.to_thread(arm_rates.rates, asked.experiment, adaptive, policy)
        return ArmsView(
            **asked.framed(span),
            maturity=await self.maturity(asked),
            rate_note=NAIVE,
            interval_note=NO_PART,
            adaptive_note=ADAPTIVE,
            adaptive_cut=arm_rates.cut(adaptive),
            arms=tuple(
                ArmWithFigures(
                    **asdict(arm_view(arm)),
                    figures=tuple(told[arm.arm_no]),
                    rates=tuple(rates[arm.arm_no]),
                )
                for arm in asked.experiment.arms
                if arms is None or arm.arm_no in arms
            ),
            unlisted=tuple(told[UNLISTED]) if arms is None else (),
        )

    async def cohorts(self, asked: Asked, *, policy: int | None, cohort: int | None) -> CohortsView:
        """By policy, then cohort."""
        span = aligned(asked.span, Grain.DAY)
        found = [
            each
            for each in await self.readers.series.cohorts(asked.experiment.number, span)
            if policy in (None, each.policy)
        ]
        policies = sorted({each.policy for each in found})
        return CohortsView(
            **asked.framed(span),
            maturity=await self.maturity(asked),
            interval_note=NO_PART,
            least_serves=LEAST_IMPRESSIONS,
            cohorts=tuple(_cohort(each) for each in found if cohort in (None, each.cohort)),
            fairness=tuple(
                _fairness(POLICY_NAMES[number], [c for c in found if c.policy == number])
                for number in policies
            ),
        )


def figures(counts: Counts) -> Figures:
    """Without an interval."""
    return Figures(**_figures(counts))


def _figures(counts: Counts) -> dict[str, Any]:
    return {
        "serves": counts.serves,
        "rewarded": counts.rewarded,
        "reward": counts.credit_micro / MICRO,
        "rate": counts.rate,
        "interval": None,
    }


def _cumulated(
    points: Sequence[Point], grain: Grain, mature_before: datetime
) -> Iterable[PointView]:
    serves = accumulate(point.counts.serves for point in points)
    credits = accumulate(point.counts.credit_micro for point in points)
    for point, served, earned in zip(points, serves, credits, strict=True):
        yield PointView(
            **_figures(point.counts),
            at=point.begins_at,
            mature=point.begins_at + grain.width <= mature_before,
            cumulative_serves=served,
            cumulative_reward=earned / MICRO,
            cumulative_rate=earned / MICRO / served if served else None,
        )


def _arm(found: ArmCounts, served: int) -> ArmFigures:
    return ArmFigures(
        policy=POLICY_NAMES[found.policy],
        first_slot=found.first_slot,
        serves=found.counts.serves,
        rewarded=found.counts.rewarded,
        reward=found.counts.credit_micro / MICRO,
        share=found.counts.serves / served,
        naive_rate=found.counts.rate,
    )


def _cohort(found: CohortCounts) -> CohortFigures:
    return CohortFigures(
        **_figures(found.counts), policy=POLICY_NAMES[found.policy], cohort=found.cohort
    )


def _fairness(policy: str, found: Sequence[CohortCounts]) -> Fairness:
    rates = np.array(
        [each.counts.rate for each in found if each.counts.serves >= LEAST_IMPRESSIONS]
    )
    told = len(rates) > 1 and rates.mean() > 0
    return Fairness(
        policy=policy,
        cohorts=len(rates),
        naive_cv=float(rates.std(ddof=1) / rates.mean()) if told else None,
        corrected_cv=None,
        p_value=None,
    )


async def ask(
    reference: FromPath[str],
    analysis: NamedDependency[Analysis],
    since: Since = None,
    until: Until = None,
) -> Asked:
    """For the routes that go by time."""
    return await analysis.ask(reference, since, until)


BY_TIME = {"asked": Provide(ask)}
