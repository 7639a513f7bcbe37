"""The analytics of one experiment over REST."""

from typing import Annotated

from litestar import Controller, get
from litestar.di import NamedDependency
from litestar.params import FromPath, QueryParameter

from control.access import needs
from control.analysis import BY_TIME, Analysis, Asked
from control.analysis_views import (
    AllocationView,
    EpochsView,
    RegretView,
    TimeseriesView,
)
from control.cohort_figures import CohortsView, told
from control.comparison import Comparison
from control.experiments import PATH
from control.filters import (
    InBuckets,
    OfArm,
    OfCohort,
    OfPolicy,
    arm_numbers,
    cohort_number,
    only_declared,
    policy_number,
)
from control.posteriors import PoliciesView, Posteriors
from control.serving_figures import LatencyView, latency
from pullarm.domain.access import Role

Limit = Annotated[
    int, QueryParameter(name="limit", ge=1, le=10_000, description="How many to list at most.")
]


class Analytics(Controller):
    """What came of an experiment, from the roll-ups and user statistics that the workers keep."""

    path = f"{PATH}/{{reference:str}}"
    tags = ("Analytics",)
    opt = needs(Role.VIEWER)
    guards = (only_declared,)
    dependencies = BY_TIME

    @get("/timeseries")
    async def timeseries(
        self,
        asked: NamedDependency[Asked],
        analysis: NamedDependency[Analysis],
        grain: InBuckets = None,
        policy: OfPolicy = None,
        arm: OfArm = None,
        cohort: OfCohort = None,
    ) -> TimeseriesView:
        """Show serves, rewards and rate of each policy over time, by bucket and cumulated."""
        return await analysis.timeseries(
            asked,
            grain,
            policy=policy_number(policy),
            arms=arm_numbers(asked.experiment, arm),
            cohort=cohort_number(asked.experiment, cohort),
        )

    @get("/cohorts")
    async def cohorts(
        self,
        asked: NamedDependency[Asked],
        analysis: NamedDependency[Analysis],
        policy: OfPolicy = None,
        cohort: OfCohort = None,
    ) -> CohortsView:
        """Show what came of each cohort under each policy, by whole days, and how unequal they are."""
        number = cohort_number(asked.experiment, cohort)
        return await told(analysis, asked, policy=policy_number(policy), cohort=number)

    @get("/latency")
    async def latency(
        self,
        asked: NamedDependency[Asked],
        analysis: NamedDependency[Analysis],
        grain: InBuckets = None,
        policy: OfPolicy = None,
    ) -> LatencyView:
        """Show how long Select took and how often it failed."""
        return await latency(analysis.readers.latency, asked, grain, policy_number(policy))

    @get("/allocation")
    async def allocation(
        self,
        asked: NamedDependency[Asked],
        comparison: NamedDependency[Comparison],
        grain: InBuckets = None,
    ) -> AllocationView:
        """Show how traffic was split between policies and arms, and whether users were split as configured."""
        return await comparison.allocation(asked, grain)

    @get("/regret")
    async def regret(
        self,
        asked: NamedDependency[Asked],
        comparison: NamedDependency[Comparison],
        cohort: OfCohort = None,
    ) -> RegretView:
        """Show each policy's lift over control and its gap to the best; without a time, of the newest epoch."""
        return await comparison.regret(asked, cohort_number(asked.experiment, cohort))

    @get("/epochs")
    async def epochs(
        self,
        reference: FromPath[str],
        analysis: NamedDependency[Analysis],
        comparison: NamedDependency[Comparison],
    ) -> EpochsView:
        """Show the stretches in which figures are comparable, and what came of each."""
        return await comparison.epochs(await analysis.ask(reference))

    @get("/policies")
    async def policies(
        self,
        reference: FromPath[str],
        analysis: NamedDependency[Analysis],
        posteriors: NamedDependency[Posteriors],
        policy: OfPolicy = None,
        arm: OfArm = None,
        limit: Limit = 100,
    ) -> PoliciesView:
        """Show what each policy has learned of each arm, as it is published for serving."""
        experiment = (await analysis.ask(reference)).experiment
        arms = arm_numbers(experiment, arm)
        return await posteriors.of(experiment, policy=policy, arms=arms, limit=limit)
