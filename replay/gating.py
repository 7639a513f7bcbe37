"""Whether a policy is shown to earn what control does, or nearly."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass

from replay.engines.base import Engine
from replay.engines.local import ALONE
from replay.evaluating import evaluate
from replay.evaluation import Settings
from replay.gates import Findings
from replay.intervals.base import Bounds
from replay.intervals.normal import difference
from replay.log import BanditLog
from replay.targets import First, Logged, Target

CONTROL = "control"


@dataclass(frozen=True, slots=True, kw_only=True)
class Verdict:
    """What came of the gate."""

    findings: Mapping[str, Findings]
    """Of `policy` and of `control`."""
    value: float | None = None
    """The policy's estimate; None, as the rest, where either cannot be estimated."""
    control: float | None = None
    bounds: Bounds | None = None
    """Of value - (1 - margin) * control."""

    @property
    def passes(self) -> bool:
        """Whether the lower bound is 0 or above."""
        return self.bounds is not None and self.bounds.lower >= 0.0


def gate(
    log: BanditLog,
    target: Target,
    *,
    logged_by: Iterable[str],
    margin: float,
    settings: Settings,
    done: Callable[[int], None],
    engine: Engine = ALONE,
) -> Verdict:
    """Hold `target` against control on the rows that `logged_by` chose; arguments and errors as for `evaluate`.

    Control is what its own rows earned, if the log has any: every weight of theirs is 1. Else it is estimated as the
    caller's first candidate, from the rows that the target is estimated from.

    Raises:
        ValueError: unless margin is in [0, 1].
    """
    if not 0.0 <= margin <= 1.0:
        raise ValueError(f"margin must be between 0 and 1, not {margin}")
    policies = list(logged_by)
    own = CONTROL in log.head.policies
    against: Target = Logged() if own else First()
    asked = {"policy": (target, policies), "control": (against, [CONTROL] if own else policies)}
    evaluations = {
        name: evaluate(log, of, logged_by=rows, settings=settings, engine=engine, done=done)
        for name, (of, rows) in asked.items()
    }
    findings = {name: each.findings() for name, each in evaluations.items()}
    if not all(each.estimable for each in findings.values()):
        return Verdict(findings=findings)
    policy, control = (each.best for each in evaluations.values())
    return Verdict(
        findings=findings,
        value=policy.get(),
        control=control.get(),
        bounds=difference(policy, control, share=1.0 - margin, alpha=settings.alpha),
    )
