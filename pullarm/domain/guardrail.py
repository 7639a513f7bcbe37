"""Guardrails: what is watched while an experiment runs, from which values on, and what a failure leads to."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, fields
from datetime import datetime
from enum import StrEnum

CHECK_EVERY_S = 300


class Action(StrEnum):
    """What a guardrail that fails leads to."""

    OFF = "off"
    """It is not checked."""
    WARN = "warn"
    """An alert."""
    COUNT = "count"
    """An alert; with a second one that fails the experiment is rolled back."""
    CRITICAL = "critical"
    """The experiment is rolled back."""


class Verdict(StrEnum):
    """What one check of one guardrail came to."""

    PASS = "pass"
    WARN = "warn"
    FAIL = "fail"
    UNKNOWN = "unknown"
    """It cannot be told: too little data, none at all, or what there is is too old. Never a pass."""
    OFF = "off"


@dataclass(frozen=True, slots=True)
class Guardrail:
    """One guardrail as it is configured."""

    warning: float
    limit: float
    action: Action


@dataclass(frozen=True, slots=True, kw_only=True)
class Guardrails:
    """All of one experiment, with what they are unless told otherwise."""

    error_rate: Guardrail = Guardrail(0.005, 0.01, Action.CRITICAL)
    """Share of calls that failed, or fell back because of a fault."""
    latency_p95: Guardrail = Guardrail(100.0, 120.0, Action.CRITICAL)
    """95th percentile of `Select`, in milliseconds."""
    reward_drop: Guardrail = Guardrail(0.03, 0.05, Action.CRITICAL)
    """By how much a policy's reward a serve lies below control's: 0.05 is 5 % of it."""
    arm_concentration: Guardrail = Guardrail(0.4, 0.5, Action.WARN)
    """Largest share that one arm has of a policy's serves: what a bandit is for."""
    sample_ratio: Guardrail = Guardrail(0.05, 0.01, Action.COUNT)
    """Anytime-valid p-value of the users' split between the policies; small ones are bad."""
    propensity: Guardrail = Guardrail(0.05, 0.01, Action.COUNT)
    """Anytime-valid p-value that arms were drawn as often as their logged propensities say; small ones are bad."""
    refused_rewards: Guardrail = Guardrail(0.05, 0.2, Action.WARN)
    """Share of reported rewards that were refused."""
    worker_lag: Guardrail = Guardrail(60.0, 300.0, Action.WARN)
    """How far behind the figures are, in seconds; beyond the limit what rests on them is unknown."""
    max_rollbacks: int = 3
    """Automatic rollbacks after which the next one stops the experiment for good."""

    def __iter__(self) -> Iterator[tuple[str, Guardrail]]:
        for name in NAMES:
            yield name, getattr(self, name)


NAMES = tuple(each.name for each in fields(Guardrails) if each.name != "max_rollbacks")
"""Of all guardrails, in the order they are told in."""
P_VALUES = ("sample_ratio", "propensity")
"""Those whose thresholds are probabilities of a false alarm: below them is bad."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Check:
    """One guardrail of one experiment at one time."""

    guardrail: str
    verdict: Verdict
    configured: Guardrail
    policy: str = ""
    """The policy it is worst for; empty where it concerns none."""
    value: float | None = None
    log_e: float | None = None
    """ln of the e-value against "the limit is kept", where it is a test."""
    needed: float | None = None
    """The ln(E) from which on it fails."""
    sample: int = 0
    """Calls, serves, users or reports that it rests on."""
    why: str = ""
    policies: Mapping[str, float | None] = field(default_factory=dict)
    """The value of each policy."""
    details: Mapping[str, float | None] = field(default_factory=dict)

    @property
    def uncertain(self) -> bool:
        """Whether the value lies beyond its limit, and that may still be chance."""
        told = self.verdict in (Verdict.PASS, Verdict.WARN) and self.guardrail not in P_VALUES
        return told and self.value is not None and self.value > self.configured.limit

    @property
    def failing(self) -> bool:
        """Whether it speaks for a rollback."""
        return self.verdict is Verdict.FAIL and self.configured.action in (
            Action.COUNT,
            Action.CRITICAL,
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class StoredCheck:
    """A check as it was stored."""

    due_at: datetime
    """A multiple of five minutes: when it was owed."""
    checked_at: datetime
    guard_epoch: int
    check: Check


@dataclass(frozen=True, slots=True, kw_only=True)
class Rollback:
    """One rollback of an experiment by its guardrails."""

    guard_epoch: int
    """The one that it ended; there is one rollback for each at most."""
    at: datetime
    stopped: bool
    """Whether it stopped the experiment for good, because there had been too many."""
    reason: str
    evidence: tuple[Check, ...]
    recheck_at: datetime | None
    """When the rewards of the serves that spoke for it have matured; None where it does not rest on rewards."""
    confirmed: bool | None = None
    """Whether matured rewards say the same; None before that is known."""


def rollback_reason(checks: Sequence[Check]) -> str:
    """Why these checks, of one time, call for a rollback; empty where they do not."""
    failing = [check for check in checks if check.failing]
    if len(failing) < 2 and all(
        check.configured.action is not Action.CRITICAL for check in failing
    ):
        return ""
    return "; ".join(f"{check.guardrail}: {check.why}" for check in failing)
