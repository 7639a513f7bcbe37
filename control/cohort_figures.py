"""What came of each cohort under each policy, and how unequal the cohorts are."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from control.analysis import Analysis, Asked, of_counts
from control.analysis_views import BY_GROUPS, Figures, Framed, Lift, Maturity
from control.filters import aligned
from control.intervals import lift_of_groups, of_rate
from pullarm.domain.experiment import POLICY_NAMES, POLICY_NUMBERS, Experiment
from pullarm.domain.rollup import CohortCounts, Grain
from pullarm.statistics.cohorts import LEAST_IMPRESSIONS, Variation, variation
from pullarm.statistics.jackknife import GroupSums, Rate, rate

_Sums = Mapping[tuple[int, int], GroupSums]
"""By policy and cohort, where there is enough to be shown."""


@dataclass(frozen=True, slots=True, kw_only=True)
class CohortFigures(Figures):
    """One cohort under its users' policy; rate, interval and lift are withheld below `least_serves` serves."""

    policy: str
    cohort: int
    attribute: str | None
    """That makes it a cohort; None for 0, which is all that is told apart by nothing."""
    value: str | None
    """Of the attribute: the cohort's name."""
    withheld: bool
    lift: Lift | None
    """Over the baseline in the same cohort; None for the baseline, and where either is withheld."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Fairness:
    """How unequal a policy's rates are between cohorts."""

    policy: str
    cohorts: int
    """Those with enough serves to compare; none of an attribute that the experiment went by earlier."""
    naive_cv: float | None
    """Standard deviation by mean of their rates: above 0 by noise alone. None below two, or if one earned nothing."""
    corrected_cv: float | None
    """The same without the noise."""
    q: float | None
    """Cochran's, on one degree of freedom fewer than cohorts."""
    p_value: float | None
    """Of all cohorts being equal, by Cochran's Q."""


@dataclass(frozen=True, slots=True, kw_only=True)
class CohortsView(Framed):
    """Cohorts by assigned policy."""

    maturity: Maturity
    interval_note: str
    baseline: str
    least_serves: int
    """Of a cohort under a policy, for its rate to be shown and compared: with fewer, it is mostly noise."""
    cohorts: tuple[CohortFigures, ...]
    fairness: tuple[Fairness, ...]


async def told(
    analysis: Analysis, asked: Asked, *, policy: int | None, cohort: int | None
) -> CohortsView:
    """By policy, then cohort; how unequal they are is told of all cohorts, whichever is asked for."""
    span, number = aligned(asked.span, Grain.DAY), asked.experiment.number
    counted = await analysis.readers.series.cohorts(number, span)
    found = await analysis.readers.groups.cohorts(number, span)
    sums = {place: each for place, each in found.items() if each.m.sum() >= LEAST_IMPRESSIONS}
    rows = [each for each in counted if policy in (None, each.policy)]
    return CohortsView(
        **asked.framed(span),
        maturity=await analysis.maturity(asked),
        interval_note=BY_GROUPS,
        baseline=asked.baseline,
        least_serves=LEAST_IMPRESSIONS,
        cohorts=tuple(
            _figures(asked, each, sums) for each in rows if cohort in (None, each.cohort)
        ),
        fairness=tuple(
            _fairness(asked.experiment, each, sums)
            for each in dict.fromkeys(row.policy for row in rows)
        ),
    )


def _figures(asked: Asked, found: CohortCounts, sums: _Sums) -> CohortFigures:
    own, name = sums.get((found.policy, found.cohort)), asked.experiment.cohort(found.cohort)
    baseline = POLICY_NUMBERS[asked.baseline]
    fields = of_counts(found.counts, of_rate(own))
    return CohortFigures(
        **fields | ({"rate": None} if own is None else {}),
        policy=POLICY_NAMES[found.policy],
        cohort=found.cohort,
        attribute=name.attribute if name else None,
        value=name.value if name else None,
        withheld=own is None,
        lift=None
        if found.policy == baseline
        else lift_of_groups(own, sums.get((baseline, found.cohort))),
    )


def _fairness(experiment: Experiment, policy: int, sums: _Sums) -> Fairness:
    rates = [
        rate(each)
        for (number, cohort), each in sums.items()
        if number == policy and _gone_by(experiment, cohort)
    ]
    found = _variation([each for each in rates if each is not None])
    return Fairness(
        policy=POLICY_NAMES[policy],
        cohorts=len(rates),
        naive_cv=found.naive if found else None,
        corrected_cv=found.corrected if found else None,
        q=found.q if found else None,
        p_value=found.p if found else None,
    )


def _gone_by(experiment: Experiment, cohort: int) -> bool:
    """Whether it is one of those that the experiment tells apart now: users are in one of each attribute."""
    rule, known = experiment.spec.cohorts, experiment.cohort(cohort)
    return known is None or rule is None or known.attribute == rule.attribute


def _variation(rates: Sequence[Rate]) -> Variation | None:
    errors = [each.error for each in rates if each.error]
    if len(rates) < 2 or len(errors) < len(rates):
        return None
    return variation([each.value for each in rates], errors)
