"""Policies beside each other: how traffic was split between them, and what each earned less than the best."""

from collections import defaultdict
from collections.abc import Callable, Mapping
from datetime import datetime, timedelta
from math import log
from typing import Any, TypeVar

from control.analysis import Analysis, Asked, of_counts
from control.analysis_views import (
    BY_GROUPS,
    AllocationView,
    Concentration,
    EpochPolicy,
    EpochsView,
    EpochView,
    Figures,
    Lift,
    PolicyRegret,
    RegretView,
    SampleRatio,
    SharePoint,
)
from control.filters import aligned, grained
from control.intervals import lift_of_groups, lift_of_users, of_rate
from control.views import interval_of
from pullarm.domain.analysis import Epoch
from pullarm.domain.assignment import BUCKETS
from pullarm.domain.experiment import POLICY_NAMES, POLICY_NUMBERS, Experiment
from pullarm.domain.rollup import ArmCounts, Grain, Point, Span
from pullarm.domain.summary import PolicyFigures
from pullarm.statistics import srm
from pullarm.statistics.jackknife import GroupSums
from pullarm.statistics.ratio import Sums

BASELINE = "control"
_GAP = (
    "the best policy is picked for having earned most, so that gaps are at least 0, and above it by noise alone: "
    "look at lift and its interval first"
)
_SEVERAL_EPOCHS = (
    "weights were changed, and users keep the policy of their first exposure: there is no one split "
    "to compare with"
)
_ONE_POLICY = "there are not two policies with traffic to split users between"

_Lifts = tuple[Lift | None, Lift | None]
"""Of everything, and of what is mature."""
_Compared = tuple[Figures, _Lifts]
_Kind = TypeVar("_Kind", Sums, GroupSums)


class Comparison:
    """Compares the policies of one experiment."""

    def __init__(self, analysis: Analysis) -> None:
        self._analysis = analysis
        self._readers = analysis.readers

    async def allocation(self, asked: Asked, grain: Grain | None) -> AllocationView:
        """Raises InvalidInput where the grain makes too many buckets."""
        span, grain = grained(asked.span, grain)
        experiment = asked.experiment
        points = await self._readers.series.timeseries(experiment.number, span, grain)
        arms = await self._readers.series.arms(experiment.number, aligned(asked.span, Grain.HOUR))
        serves: defaultdict[str, int] = defaultdict(int)
        for point in points:
            serves[POLICY_NAMES[point.policy]] += point.counts.serves
        configured = shares(experiment.buckets)
        ratio, note = await self._sample_ratio(asked, configured)
        return AllocationView(
            **asked.framed(span),
            grain=grain,
            traffic_pct=experiment.spec.traffic_pct,
            configured=configured,
            serves=dict(serves),
            observed=_normalised(serves),
            points=_share_points(points),
            concentration=_concentrations(experiment, arms),
            sample_ratio=ratio,
            sample_ratio_note=note,
        )

    async def _sample_ratio(
        self, asked: Asked, configured: Mapping[str, float]
    ) -> tuple[SampleRatio | None, str | None]:
        if asked.experiment.allocation_epoch > 1:
            return None, _SEVERAL_EPOCHS
        if len(configured) < 2:
            return None, _ONE_POLICY
        epoch = (await self._readers.epochs.figures(asked.experiment.number)).get(1, {})
        users = {name: epoch[name].users if name in epoch else 0 for name in configured}
        p_value = srm.p_value(list(users.values()), list(configured.values()))
        ratio = SampleRatio(
            users=users,
            expected=dict(configured),
            p_value=p_value,
            sound=p_value > srm.DAILY_ALPHA,
        )
        return ratio, None

    async def regret(self, asked: Asked, cohort: int | None = None) -> RegretView:
        """Of the newest allocation epoch; of a part of the time or a cohort, where one is asked for."""
        whole = asked.whole and cohort is None
        span = aligned(asked.span, Grain.MINUTE)
        if not whole:
            span = await self._part(asked, Grain.HOUR if cohort is None else Grain.DAY)
        counted = await (self._of_users(asked) if whole else self._of_part(asked, span, cohort))
        rates = {name: each[0].rate for name, each in counted.items()}
        earned = {name: rate for name, rate in rates.items() if rate is not None}
        best = max(earned, key=lambda name: (earned[name], name)) if earned else None
        return RegretView(
            **asked.framed(span),
            allocation_epoch=asked.experiment.allocation_epoch,
            baseline=BASELINE,
            best=best,
            maturity=await self._analysis.maturity(asked),
            interval_note=None if whole else BY_GROUPS,
            gap_note=_GAP,
            policies={
                name: _regret(each, lifts, earned[best] if best else None)
                for name, (each, lifts) in counted.items()
            },
        )

    async def _part(self, asked: Asked, grain: Grain) -> Span:
        """The time asked for, in whole buckets; of a cohort without a time the newest epoch's."""
        if not asked.whole:
            return aligned(asked.span, grain)
        epoch = asked.experiment.allocation_epoch
        epochs = await self._readers.epochs.of(asked.experiment.number)
        began_at = min(
            (each.began_at for each in epochs if each.allocation_epoch == epoch),
            default=asked.span.since,
        )
        return aligned(Span(since=began_at, until=asked.span.until), grain)

    async def _of_users(self, asked: Asked) -> dict[str, _Compared]:
        epochs = await self._readers.epochs.figures(asked.experiment.number)
        found = epochs.get(asked.experiment.allocation_epoch, {})
        sums, mature = await self._sums(asked)
        return {
            name: (
                Figures(**of_users(each)),
                (_over(name, sums, lift_of_users), _over(name, mature, lift_of_users)),
            )
            for name, each in found.items()
        }

    async def _of_part(self, asked: Asked, span: Span, cohort: int | None) -> dict[str, _Compared]:
        number, series = asked.experiment.number, self._readers.series
        if cohort is None:
            counts = await series.policies(number, span)
        else:
            found = await series.cohorts(number, span)
            counts = {each.policy: each.counts for each in found if each.cohort == cohort}
        # Buckets that end before then: the last one of these may have begun in the span.
        grain = Grain.HOUR if cohort is None else Grain.DAY
        begins = min(span.until, asked.mature_before - grain.width + timedelta(microseconds=1))
        mature = Span(since=span.since, until=max(span.since, begins))
        sums, matured = [await self._groups(number, each, cohort) for each in (span, mature)]
        return {
            name: (
                Figures(**of_counts(each, of_rate(sums.get(name)))),
                (_over(name, sums, lift_of_groups), _over(name, matured, lift_of_groups)),
            )
            for name, each in ((POLICY_NAMES[policy], each) for policy, each in counts.items())
        }

    async def _groups(self, number: int, span: Span, cohort: int | None) -> dict[str, GroupSums]:
        groups = self._readers.groups
        if cohort is None:
            by_policy = await groups.policies(number, span)
        else:
            found = await groups.cohorts(number, span, only=[cohort])
            by_policy = {policy: sums for (policy, _), sums in found.items()}
        return {POLICY_NAMES[policy]: sums for policy, sums in by_policy.items()}

    async def _sums(self, asked: Asked) -> tuple[dict[str, Sums], dict[str, Sums]]:
        """Over users, of all decisions of the newest allocation epoch and of those that are mature."""
        experiment, summary = asked.experiment, self._readers.summary
        epoch = experiment.allocation_epoch
        everything = await summary.sums(experiment, epoch, asked.as_of + timedelta(days=2))
        return everything, await summary.sums(experiment, epoch, asked.mature_before)

    async def epochs(self, asked: Asked) -> EpochsView:
        """Oldest first."""
        number = asked.experiment.number
        found = await self._readers.epochs.of(number)
        ends = [*(epoch.began_at for epoch in found[1:]), asked.experiment.end_at]
        by_epoch = await self._readers.epochs.figures(number)
        return EpochsView(
            experiment=asked.experiment.id,
            data_cut=asked.data_cut,
            epochs=tuple(_epoch(*each) for each in zip(found, ends, strict=True)),
            figures={
                epoch: {name: _epoch_policy(each) for name, each in policies.items()}
                for epoch, policies in by_epoch.items()
            },
        )


def shares(buckets: bytes) -> dict[str, float]:
    """Of the units in traffic, by policy name."""
    found = {name: buckets.count(number) / BUCKETS for name, number in POLICY_NUMBERS.items()}
    return {name: share for name, share in found.items() if share}


def _normalised(counts: Mapping[str, int]) -> dict[str, float]:
    total = sum(counts.values())
    return {name: count / total for name, count in counts.items() if total}


def _share_points(points: list[Point]) -> tuple[SharePoint, ...]:
    by_time: defaultdict[datetime, dict[str, int]] = defaultdict(dict)
    for point in points:
        by_time[point.begins_at][POLICY_NAMES[point.policy]] = point.counts.serves
    return tuple(
        SharePoint(at=at, serves=sum(serves.values()), shares=_normalised(serves))
        for at, serves in by_time.items()
    )


def _concentrations(experiment: Experiment, arms: list[ArmCounts]) -> tuple[Concentration, ...]:
    names = {arm.arm_no: arm.arm_id for arm in experiment.arms}
    by_policy: defaultdict[int, dict[int, int]] = defaultdict(dict)
    for each in arms:
        if each.first_slot == 1:
            by_policy[each.policy][each.arm_no] = each.counts.serves
    return tuple(_concentration(*each, names) for each in sorted(by_policy.items()))


def _concentration(policy: int, serves: dict[int, int], names: Mapping[int, str]) -> Concentration:
    total, top = sum(serves.values()), max(serves, key=lambda arm: (serves[arm], -arm))
    spread = -sum(n / total * log(n / total) for n in serves.values() if n)
    return Concentration(
        policy=POLICY_NAMES[policy],
        arms=len(serves),
        top_arm=names.get(top),
        top_share=serves[top] / total,
        entropy=spread / log(len(serves)) if len(serves) > 1 else 0.0,
    )


def of_users(found: PolicyFigures) -> dict[str, Any]:
    """The fields of figures that come from sums over users."""
    return {
        "serves": found.serves,
        "rewarded": found.rewards,
        "reward": (found.rate or 0.0) * found.serves,
        "rate": found.rate,
        "interval": interval_of(found),
    }


def _regret(counted: Figures, lifts: _Lifts, best: float | None) -> PolicyRegret:
    gap = None if best is None or counted.rate is None else best - counted.rate
    lift, mature_lift = lifts
    return PolicyRegret(
        serves=counted.serves,
        rewarded=counted.rewarded,
        reward=counted.reward,
        rate=counted.rate,
        interval=counted.interval,
        lift=lift,
        mature_lift=mature_lift,
        gap_to_best=gap,
        missed_reward=None if gap is None else gap * counted.serves,
    )


def _over(
    name: str,
    sums: Mapping[str, _Kind],
    lift: Callable[[_Kind | None, _Kind | None], Lift | None],
) -> Lift | None:
    return None if name == BASELINE else lift(sums.get(name), sums.get(BASELINE))


def _epoch(epoch: Epoch, ended_at: datetime | None) -> EpochView:
    return EpochView(
        allocation_epoch=epoch.allocation_epoch,
        guard_epoch=epoch.guard_epoch,
        config_no=epoch.config_no,
        action=epoch.action,
        state=epoch.state,
        began_at=epoch.began_at,
        ended_at=ended_at,
        traffic_pct=epoch.traffic_pct,
        shares=shares(epoch.buckets),
    )


def _epoch_policy(found: PolicyFigures) -> EpochPolicy:
    return EpochPolicy(users=found.users, **of_users(found))
