"""What an experiment's figures say at this moment."""

import asyncio
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from math import inf

from control.views import SummaryView, summary_view
from pullarm.clock import Clock
from pullarm.domain.experiment import Experiment
from pullarm.domain.summary import Summaries, Summary
from pullarm.lifecycle import Lifecycle

KEPT_S = 1.0
"""Every open page asks for a summary every other second."""

_Version = tuple[int, int]  # experiment, config_no


@dataclass(slots=True)
class _Kept:
    figures: asyncio.Task[Summary]
    as_of: datetime
    until_s: float = inf


class Overview:
    """Answers summaries; each is kept for a moment, and whoever asks meanwhile shares it."""

    def __init__(
        self,
        lifecycle: Lifecycle,
        summaries: Summaries,
        clock: Clock,
        monotonic: Callable[[], float],
    ) -> None:
        self._lifecycle = lifecycle
        self._summaries = summaries
        self._clock = clock
        self._monotonic = monotonic
        self._kept: dict[_Version, _Kept] = {}

    async def of(self, reference: str) -> SummaryView:
        """One experiment's summary; raises NotFound."""
        experiment = await self._lifecycle.find(reference)
        kept = self._recent(experiment)
        # Shielded, because a caller that hangs up must not take the figures from the others.
        return summary_view(experiment, await asyncio.shield(kept.figures), kept.as_of)

    def _recent(self, experiment: Experiment) -> _Kept:
        now_s = self._monotonic()
        self._kept = {key: kept for key, kept in self._kept.items() if now_s < kept.until_s}
        version = experiment.number, experiment.config_no
        if version not in self._kept:
            as_of = datetime.fromtimestamp(self._clock() / 1000, UTC)
            asking = asyncio.create_task(self._ask(experiment))
            self._kept[version] = kept = _Kept(asking, as_of)
            asking.add_done_callback(lambda done: self._expire(kept, done))
        return self._kept[version]

    async def _ask(self, experiment: Experiment) -> Summary:
        return await self._summaries.of(experiment)

    def _expire(self, kept: _Kept, done: asyncio.Task[Summary]) -> None:
        failed = done.cancelled() or done.exception() is not None
        kept.until_s = -inf if failed else self._monotonic() + KEPT_S
