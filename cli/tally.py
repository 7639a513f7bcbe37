"""What a demo has seen so far: acknowledged decisions and rewards, by policy, and how long answers took."""

from dataclasses import dataclass, field

from pullarm.statistics.sketch import LatencySketch
from replay.traffic import OfferedRate


@dataclass(slots=True)
class PolicyTally:
    """One policy's acknowledged decisions."""

    serves: int = 0
    rewards: int = 0

    @property
    def rate(self) -> float:
        return self.rewards / self.serves if self.serves else 0.0


@dataclass(slots=True)
class Tally:
    """Grows while the traffic runs."""

    accountable: bool = True
    """Whether ids are kept, to be looked for in the ledger; traffic without an end would fill the memory."""
    decisions: int = 0
    decision_ids: list[str] = field(default_factory=list)
    """Of acknowledged decisions."""
    rewarded_ids: list[str] = field(default_factory=list)
    """Decisions whose reward was acknowledged."""
    select_ms: LatencySketch = field(default_factory=LatencySketch)
    policies: dict[str, PolicyTally] = field(default_factory=dict)
    offered: OfferedRate = field(default_factory=OfferedRate)
    retries: int = 0
    """Answers that were no answer: the platform was away, and was asked again."""
    failures: int = 0
    """Calls that failed however often they were tried."""
    problem: str = ""
    """What the last failed call said."""

    def decided(self, decision_id: str, policy: str, took_ms: float) -> None:
        """An acknowledged selection."""
        self.decisions += 1
        if self.accountable:
            self.decision_ids.append(decision_id)
        self.select_ms.add(took_ms)
        self.policies.setdefault(policy, PolicyTally()).serves += 1

    def rewarded(self, decision_id: str, policy: str) -> None:
        """An acknowledged reward."""
        if self.accountable:
            self.rewarded_ids.append(decision_id)
        self.policies.setdefault(policy, PolicyTally()).rewards += 1

    def percentiles_ms(self) -> dict[str, float]:
        """p50, p95 and p99 of Select as the caller saw it, within 1 %; zeros before the first answer."""
        return {
            name: round(self.select_ms.quantile(q) or 0.0, 3)
            for name, q in (("p50", 0.5), ("p95", 0.95), ("p99", 0.99))
        }
