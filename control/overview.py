"""What an experiment's figures say at this moment."""

from datetime import UTC, datetime
from typing import Protocol

from control.lifecycle import Lifecycle
from control.views import SummaryView, summary_view
from pullarm.clock import Clock
from pullarm.domain.experiment import Experiment
from pullarm.storage.postgres.summary import Summary


class Summaries(Protocol):
    """Where the figures come from."""

    async def of(self, experiment: Experiment) -> Summary:
        """The figures as of this moment."""


class Overview:
    """Answers summaries."""

    def __init__(self, lifecycle: Lifecycle, summaries: Summaries, clock: Clock) -> None:
        self._lifecycle = lifecycle
        self._summaries = summaries
        self._clock = clock

    async def of(self, reference: str) -> SummaryView:
        """One experiment's summary; raises NotFound."""
        experiment = await self._lifecycle.find(reference)
        summary = await self._summaries.of(experiment)
        now = datetime.fromtimestamp(self._clock() / 1000, UTC)
        return summary_view(experiment, summary, now)
