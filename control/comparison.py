"""Policies beside each other: how traffic was split between them, and what each earned less than the best."""

from collections import Counter, defaultdict
from collections.abc import Callable, Mapping, Sequence
from datetime import datetime, timedelta
from math import log
from typing import Any, TypeVar

from control.analysis import Analysis, Asked, of_counts
from control.analysis_views import (
    BY_GROUPS,
    NOT_BY_ARM,
    AllocationView,
    Compared,
    Concentration,
    EpochPolicy,
    EpochsView,
    EpochView,
    Lift,
    PartView,
    PolicyRegret,
    RegretView,
    SampleRatio,
    SharePoint,
)
from control.filters import aligned, grained
from control.intervals import best_of, lift_of_groups, lift_of_users, of_rate, relative_error
from control.problems import BadParameter
from control.views import interval_of, values
from pullarm.domain.analysis import Epoch
from pullarm.domain.experiment import POLICY_NAMES, Experiment
from pullarm.domain.rollup import Counts, Grain, Point, Span
from pullarm.domain.summary import FirstExposures, PolicyFigures
from pullarm.statistics import srm
from pullarm.statistics.arm_counts import ArmCounts
from pullarm.statistics.jackknife import GroupSums
from pullarm.statistics.ratio import Sums
from pullarm.storage.figures import shares

_GAP = (
    "the best policy is picked for having earned most, so that gaps are at least 0, and above it by noise alone: "
    "look at lift and its interval first"
)
_NO_SPLIT = "nobody was shown anything yet while there were two policies to split users between"

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
        arms = await self._readers.series.arms(experiment.number, asked.reach(Grain.HOUR))
        serves: Counter[str] = Counter()
        for point in points:
            serves[POLICY_NAMES[point.policy]] += point.counts.serves
        ratio = _sample_ratio(await self._readers.summary.first_exposures(experiment.number))
        return AllocationView(
            **asked.framed(span),
            grain=grain,
            traffic_pct=experiment.spec.traffic_pct,
            configured=shares(experiment.buckets),
            serves=dict(serves),
            observed=_normalised(serves),
            points=_share_points(points),
            concentration=_concentrations(experiment, arms),
            sample_ratio=ratio,
            sample_ratio_note=None if ratio else _NO_SPLIT,
        )

    async def part(
        self,
        asked: Asked,
        *,
        policy: int | None,
        arms: Sequence[int] | None,
        cohort: int | None,
    ) -> PartView:
        """By hours, or by days where a cohort is asked for; raises InvalidInput for a cohort of an arm."""
        if arms is not None and cohort is not None:
            raise BadParameter("cohort", "is not kept by arm: ask for one of the two")
        span = aligned(asked.span, Grain.HOUR if cohort is None else Grain.DAY)
        if arms is None:
            compared = await self._of_part(asked, span, cohort)
        else:
            compared = await self._of_arms(asked, arms)
        return PartView(
            **asked.framed(span),
            baseline=asked.baseline,
            maturity=await self._analysis.maturity(asked),
            interval_note=BY_GROUPS if arms is None else NOT_BY_ARM,
            policies={
                name: each
                for name, each in compared.items()
                if policy is None or name == POLICY_NAMES[policy]
            },
        )

    async def regret(
        self, asked: Asked, *, policy: int | None = None, cohort: int | None = None
    ) -> RegretView:
        """Of the newest allocation epoch; of a part of the time or a cohort, where one is asked for."""
        whole = asked.whole and cohort is None
        span = aligned(asked.span, Grain.MINUTE)
        if not whole:
            span = await self._part(asked, Grain.HOUR if cohort is None else Grain.DAY)
        compared = await (self._of_users(asked) if whole else self._of_part(asked, span, cohort))
        earned = {name: each.rate for name, each in compared.items() if each.rate is not None}
        best = max(earned, key=lambda name: (earned[name], name)) if earned else None
        return RegretView(
            **asked.framed(span),
            allocation_epoch=asked.experiment.allocation_epoch,
            baseline=asked.baseline,
            best=best,
            maturity=await self._analysis.maturity(asked),
            interval_note=None if whole else BY_GROUPS,
            gap_note=_GAP,
            policies={
                name: _regret(each, earned[best] if best else None)
                for name, each in compared.items()
                if policy is None or name == POLICY_NAMES[policy]
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

    async def _of_users(self, asked: Asked) -> dict[str, Compared]:
        epochs = await self._readers.epochs.figures(asked.experiment.number)
        found = epochs.get(asked.experiment.allocation_epoch, {})
        sums, mature = await self._sums(asked)
        best = best_of({name: (each.rate, _error(sums, name)) for name, each in found.items()})
        return {
            name: Compared(
                **of_users(each),
                lift=_over(asked.baseline, name, sums, lift_of_users),
                mature_lift=_over(asked.baseline, name, mature, lift_of_users),
                best=best.get(name),
            )
            for name, each in found.items()
        }

    async def _of_part(self, asked: Asked, span: Span, cohort: int | None) -> dict[str, Compared]:
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
        named = {POLICY_NAMES[policy]: each for policy, each in counts.items()}
        best = best_of({name: (each.rate, _error(sums, name)) for name, each in named.items()})
        return {
            name: Compared(
                **of_counts(each, of_rate(sums.get(name))),
                lift=_over(asked.baseline, name, sums, lift_of_groups),
                mature_lift=_over(asked.baseline, name, matured, lift_of_groups),
                best=best.get(name),
            )
            for name, each in named.items()
        }

    async def _of_arms(self, asked: Asked, arms: Sequence[int]) -> dict[str, Compared]:
        """By acting policy, in the first slot; users are not told apart."""
        grain = Grain.DAY if asked.whole else Grain.HOUR
        found = await self._readers.series.arms_timeseries(
            asked.experiment.number, aligned(asked.span, grain), grain, arms
        )
        counts: dict[int, Counts] = {}
        for each in found:
            before = counts.get(each.policy)
            counts[each.policy] = before + each.counts if before else each.counts
        return {
            POLICY_NAMES[policy]: Compared(
                **of_counts(each, None), lift=None, mature_lift=None, best=None
            )
            for policy, each in counts.items()
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


def _sample_ratio(exposures: Sequence[FirstExposures]) -> SampleRatio | None:
    """None where nobody was shown anything while there were two policies."""
    tested = [each for each in exposures if len(each.shares) > 1]
    users: Counter[str] = Counter()
    expected: defaultdict[str, float] = defaultdict(float)
    for each in tested:
        counts, _ = each.counts_and_shares()
        users.update(dict(zip(each.shares, counts, strict=True)))
        for policy, share in each.shares.items():
            expected[policy] += share * sum(counts)
    if not users.total():
        return None
    p_value = srm.stratified_p_value(each.counts_and_shares() for each in tested)
    return SampleRatio(
        users=dict(users),
        expected={name: each / users.total() for name, each in expected.items()},
        p_value=p_value,
        sound=p_value > srm.DAILY_ALPHA,
    )


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


def _concentrations(experiment: Experiment, arms: ArmCounts) -> tuple[Concentration, ...]:
    names = {arm.arm_no: arm.arm_id for arm in experiment.arms}
    by_policy: defaultdict[int, dict[int, int]] = defaultdict(dict)
    columns = (arms.policies, arms.arm_nos, arms.first_slots, arms.serves)
    for policy, arm_no, first_slot, serves in zip(*(c.tolist() for c in columns), strict=True):
        if first_slot == 1:
            by_policy[policy][arm_no] = serves
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


def _regret(compared: Compared, best: float | None) -> PolicyRegret:
    gap = None if best is None or compared.rate is None else best - compared.rate
    return PolicyRegret(
        **values(compared),
        gap_to_best=gap,
        missed_reward=None if gap is None else gap * compared.serves,
    )


def _error(sums: Mapping[str, Sums] | Mapping[str, GroupSums], name: str) -> float | None:
    found = sums.get(name)
    return None if found is None else relative_error(found)


def _over(
    baseline: str,
    name: str,
    sums: Mapping[str, _Kind],
    lift: Callable[[_Kind | None, _Kind | None], Lift | None],
) -> Lift | None:
    return None if name == baseline else lift(sums.get(name), sums.get(baseline))


def _epoch(epoch: Epoch, ended_at: datetime | None) -> EpochView:
    known = values(epoch, but=("buckets",))
    return EpochView(**known, ended_at=ended_at, shares=shares(epoch.buckets))


def _epoch_policy(found: PolicyFigures) -> EpochPolicy:
    return EpochPolicy(users=found.users, **of_users(found))
