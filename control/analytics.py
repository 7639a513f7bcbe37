"""The analytics of one experiment over REST."""

from typing import Annotated

from litestar import Controller, get
from litestar.di import NamedDependency
from litestar.params import FromPath, QueryParameter

from control.access import needs
from control.analysis import FILTERED, Analysis, Asked
from control.analysis_views import (
    AllocationView,
    EpochsView,
    PartView,
    RegretView,
    TimeseriesView,
)
from control.cohort_figures import CohortsView, told
from control.comparison import Comparison
from control.experiments import PATH
from control.filters import InBuckets, OfArm, OfPolicy, arm_numbers
from control.overview import Overview
from control.posteriors import PoliciesView, Posteriors
from control.serving_figures import LatencyView, latency
from control.views import SummaryView
from pullarm.domain.access import Role

Limit = Annotated[
    int, QueryParameter(name="limit", ge=1, le=10_000, description="How many to list at most.")
]


class Analytics(Controller):
    """What came of an experiment, from the roll-ups and user statistics that the workers keep."""

    path = f"{PATH}/{{reference:str}}"
    tags = ("Analytics",)
    opt = needs(Role.VIEWER)
    dependencies = FILTERED

    @get("/summary")
    async def summary(
        self,
        asked: NamedDependency[Asked],
        overview: NamedDependency[Overview],
        comparison: NamedDependency[Comparison],
        of_policy: NamedDependency[int | None],
        of_arms: NamedDependency[tuple[int, ...] | None],
        of_cohort: NamedDependency[int | None],
    ) -> SummaryView | PartView:
        """Show what came of each policy so far; with a filter, what came of that part."""
        if asked.whole and (of_policy, of_arms, of_cohort) == (None, None, None):
            return await overview.of(asked.experiment.id)
        return await comparison.part(asked, policy=of_policy, arms=of_arms, cohort=of_cohort)

    @get("/timeseries")
    async def timeseries(
        self,
        asked: NamedDependency[Asked],
        analysis: NamedDependency[Analysis],
        of_policy: NamedDependency[int | None],
        of_arms: NamedDependency[tuple[int, ...] | None],
        of_cohort: NamedDependency[int | None],
        grain: InBuckets = None,
    ) -> TimeseriesView:
        """Show serves, rewards and rate of each policy over time, by bucket and cumulated."""
        return await analysis.timeseries(
            asked, grain, policy=of_policy, arms=of_arms, cohort=of_cohort
        )

    @get("/cohorts")
    async def cohorts(
        self,
        asked: NamedDependency[Asked],
        analysis: NamedDependency[Analysis],
        of_policy: NamedDependency[int | None],
        of_cohort: NamedDependency[int | None],
    ) -> CohortsView:
        """Show what came of each cohort under each policy, by whole days, and how unequal they are."""
        return await told(analysis, asked, policy=of_policy, cohort=of_cohort)

    @get("/latency")
    async def latency(
        self,
        asked: NamedDependency[Asked],
        analysis: NamedDependency[Analysis],
        of_policy: NamedDependency[int | None],
        grain: InBuckets = None,
    ) -> LatencyView:
        """Show how long Select took and how often it failed."""
        return await latency(analysis.readers.latency, asked, grain, of_policy)

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
        of_policy: NamedDependency[int | None],
        of_cohort: NamedDependency[int | None],
    ) -> RegretView:
        """Show each policy's lift over the baseline and its gap to the best; without a time, of the newest epoch."""
        return await comparison.regret(asked, policy=of_policy, cohort=of_cohort)

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
