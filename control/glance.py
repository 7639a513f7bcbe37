"""Experiments as a list shows how they go: whether they are healthy, who is ahead, what the verdict is."""

import asyncio
from dataclasses import dataclass
from datetime import timedelta

from litestar import Controller, get
from litestar.di import NamedDependency, Provide

from control.access import needs
from control.analysis import Analysis
from control.analysis_views import Interval
from control.experiments import read_wish
from control.guardrails import WORST, GuardrailStore
from control.intervals import lift_of_users
from control.listing import Wish, page
from pullarm.domain.access import Principal, Role
from pullarm.domain.experiment import Experiment, State
from pullarm.domain.guardrail import Verdict
from pullarm.judging import Judge
from pullarm.lifecycle import Lifecycle

_GUARDED = (State.RUNNING, State.SHIPPED)
_COMPARED = (State.RUNNING, State.ROLLED_BACK)


@dataclass(frozen=True, slots=True, kw_only=True)
class Glance:
    """How one experiment goes."""

    health: str | None
    """The worst verdict of its guardrails; null where none is checked."""
    concerns: tuple[str, ...]
    """The guardrails that it is the verdict of, unless that is a pass."""
    leading: str | None
    """The policy with the highest lift; null before anything can be compared."""
    lift: float | None
    """Over the baseline; 0.03 is 3 % more."""
    interval: Interval | None
    """95 % over all looks at once."""
    verdict: str | None
    verdict_policy: str
    """The one to ship; empty where none is."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Glances:
    """By experiment id, those that have started."""

    experiments: dict[str, Glance]


class GlanceController(Controller):
    """`/api/glance`: takes what the list of experiments takes."""

    path = "/api/glance"
    tags = ("Experiments",)
    opt = needs(Role.VIEWER, filtered=True)

    @get(dependencies={"wish": Provide(read_wish, sync_to_thread=False)})
    async def glance(
        self,
        lifecycle: NamedDependency[Lifecycle],
        analysis: NamedDependency[Analysis],
        judge: NamedDependency[Judge],
        guardrails: NamedDependency[GuardrailStore],
        principal: NamedDependency[Principal],
        wish: NamedDependency[Wish],
    ) -> Glances:
        """Show of the experiments of a list how they go: health, who is ahead, newest verdict."""
        visible = [each for each in await lifecycle.all() if principal.sees(each.number)]
        shown, _ = page(visible, wish)
        started = [each for each in shown if each.started_at is not None]
        checked: dict[str, dict[str, str]] = {}
        for experiment, guardrail, verdict in await guardrails.states():
            checked.setdefault(experiment, {})[guardrail] = verdict
        found = await asyncio.gather(
            *(_glance(each, analysis, judge, checked.get(each.id, {})) for each in started)
        )
        return Glances(experiments={each.id: one for each, one in zip(started, found, strict=True)})


async def _glance(
    experiment: Experiment, analysis: Analysis, judge: Judge, checked: dict[str, str]
) -> Glance:
    _, verdicts = await judge.page(experiment.id, before=None, count=1)
    newest = verdicts[0].verdict if verdicts else None
    guarded = experiment.state in _GUARDED
    told = checked.values() if guarded else ()
    health = next((each for each in WORST if each in told), None)
    leading, lift, interval = await _leading(experiment, analysis)
    return Glance(
        health=health.value if health else None,
        concerns=()
        if health is Verdict.PASS
        else tuple(name for name, verdict in checked.items() if verdict == health),
        leading=leading,
        lift=lift,
        interval=interval,
        verdict=newest.outcome.value if newest else None,
        verdict_policy=newest.policy if newest else "",
    )


async def _leading(
    experiment: Experiment, analysis: Analysis
) -> tuple[str | None, float | None, Interval | None]:
    if experiment.state not in _COMPARED:
        return None, None, None
    upto = analysis.now() + timedelta(days=2)
    sums = await analysis.readers.summary.sums(experiment, experiment.allocation_epoch, upto)
    baseline = experiment.spec.decision.baseline
    lifts = {
        name: lift
        for name, each in sums.items()
        if name != baseline and (lift := lift_of_users(each, sums.get(baseline))) is not None
    }
    if not lifts:
        return None, None, None
    name = max(lifts, key=lambda name: (lifts[name].value, name))
    return name, lifts[name].value, lifts[name].anytime_interval
