"""How long answers took and how many failed, by experiment, policy and minute.

Not in the event: it is written before the acknowledgement it would have to measure. Absolute figures of one process's
life, sent every few seconds; the ledger keeps the newest of each, so that repetition and order change nothing.
"""

from pullarm.domain.decision import ServingMinute
from pullarm.statistics.sketch import LatencySketch

SEND_EVERY_S = 5.0
WARNING_MS = 100.0
CRITICAL_MS = 120.0
_MS_PER_MINUTE = 60_000
_KEPT_MINUTES = 2

_Key = tuple[int, int, int]  # experiment, policy, minute


class _Figures:
    __slots__ = ("calls", "changed", "errors", "over_critical", "over_warning", "sketch")

    def __init__(self) -> None:
        self.calls = self.errors = self.over_warning = self.over_critical = 0
        self.sketch = LatencySketch()
        self.changed = False


class Counters:
    """One process's figures."""

    def __init__(self, process: str) -> None:
        self._process = process
        self._figures: dict[_Key, _Figures] = {}
        self._sequence = 0

    def record(
        self, experiment: int, policy: int, now_ms: int, took_ms: float, *, error: bool
    ) -> None:
        """Count one call of a unit that was assigned to `policy`; 0 outside the experiment."""
        key = (experiment, policy, now_ms // _MS_PER_MINUTE)
        figures = self._figures.get(key)
        if figures is None:
            figures = self._figures[key] = _Figures()
        figures.calls += 1
        figures.errors += error
        figures.over_warning += took_ms > WARNING_MS
        figures.over_critical += took_ms > CRITICAL_MS
        figures.sketch.add(took_ms)
        figures.changed = True

    def take(self) -> list[ServingMinute]:
        """What changed since it was last taken; minutes long past are forgotten once they were sent."""
        self._sequence += 1
        changed = [
            ServingMinute(
                process=self._process,
                sequence=self._sequence,
                experiment=experiment,
                policy=policy,
                minute=minute,
                calls=figures.calls,
                errors=figures.errors,
                over_100ms=figures.over_warning,
                over_120ms=figures.over_critical,
                sketch=dict(figures.sketch.counts),
            )
            for (experiment, policy, minute), figures in self._figures.items()
            if figures.changed
        ]
        newest = max((minute for _, _, minute in self._figures), default=0)
        for key, figures in list(self._figures.items()):
            figures.changed = False
            if key[2] < newest - _KEPT_MINUTES:
                del self._figures[key]
        return changed
