"""How long answers took, how many failed, and which rewards were refused, by experiment, policy and minute.

Not in the event: it is written before the acknowledgement it would have to measure. Absolute figures of one process's
life, sent every few seconds; the ledger keeps the newest of each, so that repetition and order change nothing.
"""

from collections import Counter
from collections.abc import Mapping

from pullarm.domain.decision import RewardStatus, ServingMinute
from pullarm.domain.experiment import POLICY_NAMES
from pullarm.statistics.sketch import bucket_of
from serving.vitals import Calls

SEND_EVERY_S = 5.0
WARNING_MS = 100.0
CRITICAL_MS = 120.0
_MS_PER_MINUTE = 60_000
_KEPT_MINUTES = 2

_Key = tuple[int, int, int]  # experiment, policy, minute


class _Life:
    """Of one experiment and policy, since the process began."""

    __slots__ = ("calls", "errors", "latencies")

    def __init__(self, latencies: Counter[int]) -> None:
        self.calls = self.errors = 0
        self.latencies = latencies
        """Of the policy in all experiments."""


class _Figures:
    """Of one experiment, policy and minute."""

    __slots__ = (
        *("calls", "errors", "latencies", "life", "over_critical", "over_warning"),
        *("changed", "refused", "rewards"),
    )

    def __init__(self) -> None:
        self.calls = self.errors = self.over_warning = self.over_critical = self.rewards = 0
        self.latencies: Counter[int] = Counter()
        self.refused: Counter[int] = Counter()
        self.life: _Life | None = None
        """None before the first call."""
        self.changed = False


class Counters:
    """One process's figures."""

    def __init__(self, process: str) -> None:
        self.rewards: Counter[int] = Counter()
        """Those that were answered, by RewardStatus."""
        self.refusals: Counter[tuple[str, str]] = Counter()
        """Calls answered with an error, by method and gRPC status."""
        self._process = process
        self._noted: list[tuple[Mapping[tuple[int, int], int], int, float, bool]] = []
        self._figures: dict[_Key, _Figures] = {}
        self._lives: dict[tuple[int, int], _Life] = {}
        self._latencies: dict[int, Counter[int]] = {}
        self._sequence = 0
        self.decided = 0
        """Requests, and the seconds that it took to decide them."""
        self.deciding_s = 0.0

    def record(
        self, units: Mapping[tuple[int, int], int], now_ms: int, took_ms: float, *, error: bool
    ) -> None:
        """Note one call: how many units of each experiment and assigned policy, 0 outside it. Counted by `count`."""
        self._noted.append((units, now_ms, took_ms, error))

    def record_reward(self, experiment: int, policy: int, now_ms: int, status: int) -> None:
        """Count one reward that is answered; experiment and policy 0 where its decision id told none."""
        self.rewards[status] += 1
        figures = self._of_minute(experiment, policy, now_ms)
        figures.rewards += 1
        if not RewardStatus(status).kept:
            figures.refused[status] += 1

    def count(self) -> None:
        """Count what was noted: many at a time, which costs less than one by one beside the requests."""
        noted, self._noted = self._noted, []
        for units, now_ms, took_ms, error in noted:
            bucket = bucket_of(took_ms)
            for (experiment, policy), calls in units.items():
                figures = self._of_minute(experiment, policy, now_ms)
                figures.calls += calls
                figures.errors += calls * error
                figures.over_warning += calls * (took_ms > WARNING_MS)
                figures.over_critical += calls * (took_ms > CRITICAL_MS)
                figures.latencies[bucket] += calls
                if figures.life is None:
                    figures.life = self._life(experiment, policy)
                life = figures.life
                life.calls += calls
                life.errors += calls * error
                life.latencies[bucket] += calls

    def calls(self, ids: Mapping[int, str]) -> dict[tuple[str, str], Calls]:
        """As counted since the process began, by experiment id (see `ids`) and assigned policy; from any thread."""
        return {
            (ids.get(experiment, str(experiment)), POLICY_NAMES[policy]): Calls(
                count=life.calls, errors=life.errors
            )
            for (experiment, policy), life in list(self._lives.items())
        }

    def latencies(self) -> dict[str, dict[int, int]]:
        """As counted since the process began, by assigned policy: counts of a LatencySketch; from any thread."""
        return {POLICY_NAMES[p]: dict(counts) for p, counts in list(self._latencies.items())}

    def _of_minute(self, experiment: int, policy: int, now_ms: int) -> _Figures:
        """The figures that something of this moment changes."""
        key = (experiment, policy, now_ms // _MS_PER_MINUTE)
        figures = self._figures.get(key)
        if figures is None:
            figures = self._figures[key] = _Figures()
        figures.changed = True
        return figures

    def _life(self, experiment: int, policy: int) -> _Life:
        key = (experiment, policy)
        if key not in self._lives:
            self._lives[key] = _Life(self._latencies.setdefault(policy, Counter()))
        return self._lives[key]

    def take(self) -> list[ServingMinute]:
        """What changed since it was last taken; minutes long past are forgotten once they were sent."""
        self.count()
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
                sketch=dict(figures.latencies),
                rewards=figures.rewards,
                refused=dict(figures.refused),
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
