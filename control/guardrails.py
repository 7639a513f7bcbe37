"""Guardrails over REST: what they came to, and taking an experiment back or letting it go on by hand."""

from dataclasses import dataclass
from datetime import datetime
from http import HTTPStatus
from typing import Annotated, Protocol, runtime_checkable

from litestar import Controller, Response, get, post
from litestar.di import NamedDependency
from litestar.params import FromPath, QueryParameter

from control import bodies
from control.access import needs
from control.drafts import read_note
from control.experiments import PATH, IfMatch, answer, expected
from control.filters import moment
from control.paging import cut
from control.problems import AnyRequest
from control.views import ExperimentView
from pullarm.domain.access import Role
from pullarm.domain.audit import Author
from pullarm.domain.errors import invalid
from pullarm.domain.guardrail import NAMES, Check, Rollback, StoredCheck, Verdict
from pullarm.lifecycle import Lifecycle

MOST = 1_000
Before = Annotated[
    str | None, QueryParameter(format="date-time", description="`next` of the page before.")
]


@runtime_checkable
class GuardrailStore(Protocol):
    """Where checks are read from."""

    async def latest(self, number: int) -> list[StoredCheck]:
        """The newest check of each guardrail."""

    async def history(
        self, number: int, guardrail: str, *, before: datetime | None, count: int
    ) -> list[StoredCheck]:
        """At most `count` checks of one guardrail that were due before a moment, newest first."""

    async def rollbacks(self, number: int) -> list[Rollback]:
        """Those by guardrails, newest first."""

    async def states(self) -> list[tuple[str, str, str]]:
        """(experiment id, guardrail, newest verdict) of all experiments that are guarded."""


@dataclass(frozen=True, slots=True, kw_only=True)
class CheckView:
    """One guardrail at one time."""

    guardrail: str
    verdict: str
    why: str
    action: str
    """What a failure leads to."""
    policy: str
    """The one it is worst for; empty where it concerns none."""
    value: float | None
    warning: float
    limit: float
    uncertain: bool
    """Whether the value lies beyond the limit, and that may still be chance."""
    log_e: float | None
    """ln of the e-value against "the limit is kept", where it is a test: it fails from `log_e_needed` on."""
    log_e_needed: float | None
    sample: int
    policies: dict[str, float | None]
    """The value of each policy."""
    details: dict[str, float | None]
    due_at: datetime
    checked_at: datetime
    guard_epoch: int


@dataclass(frozen=True, slots=True, kw_only=True)
class RollbackView:
    """One rollback by guardrails."""

    guard_epoch: int
    at: datetime
    stopped: bool
    """For good, because there had been `max_rollbacks`."""
    reason: str
    evidence: tuple[str, ...]
    """The guardrails that spoke for it."""
    recheck_at: datetime | None
    """When the rewards it rests on have matured."""
    confirmed: bool | None
    """Whether matured rewards say the same; null before that is known."""


@dataclass(frozen=True, slots=True, kw_only=True)
class GuardrailsView:
    """How an experiment's guardrails stand."""

    id: str
    state: str
    guard_epoch: int
    verdict: str
    """The worst of all that are not off; unknown before the first check."""
    guardrails: dict[str, CheckView]
    rollbacks: tuple[RollbackView, ...]
    max_rollbacks: int


@dataclass(frozen=True, slots=True, kw_only=True)
class HistoryView:
    """Checks of one guardrail, newest first."""

    guardrail: str
    checks: tuple[CheckView, ...]
    next: datetime | None
    """To be given as `before` for the next page; null on the last."""


@dataclass(frozen=True, slots=True)
class Guarding:
    """Tells how guardrails stand."""

    lifecycle: Lifecycle
    store: GuardrailStore

    async def of(self, reference: str) -> GuardrailsView:
        """The newest check of each guardrail of an experiment; raises NotFound."""
        experiment = await self.lifecycle.find(reference)
        checks = await self.store.latest(experiment.number)
        verdicts = {
            each.check.verdict for each in checks if each.guard_epoch == experiment.guard_epoch
        }
        return GuardrailsView(
            id=experiment.id,
            state=experiment.state.value,
            guard_epoch=experiment.guard_epoch,
            verdict=next((each for each in WORST if each in verdicts), Verdict.UNKNOWN).value,
            guardrails={each.check.guardrail: _check(each) for each in checks},
            rollbacks=tuple(map(_rollback, await self.store.rollbacks(experiment.number))),
            max_rollbacks=experiment.spec.guardrails.max_rollbacks,
        )


WORST = (Verdict.FAIL, Verdict.UNKNOWN, Verdict.WARN, Verdict.PASS, Verdict.OFF)
"""Verdicts, the one that tells most first."""


class GuardrailController(Controller):
    """`/api/experiments/{id}/guardrails`, and the actions that go with them."""

    path = PATH
    tags = ("Guardrails",)
    opt = needs(Role.OPERATOR)

    @get("/{reference:str}/guardrails", opt=needs(Role.VIEWER))
    async def latest(
        self,
        reference: FromPath[str],
        guarding: NamedDependency[Guarding],
    ) -> GuardrailsView:
        """Show the newest check of each guardrail, and the rollbacks by them."""
        return await guarding.of(reference)

    @get("/{reference:str}/guardrails/{guardrail:str}", opt=needs(Role.VIEWER))
    async def history(
        self,
        reference: FromPath[str],
        guardrail: FromPath[str],
        lifecycle: NamedDependency[Lifecycle],
        guardrails: NamedDependency[GuardrailStore],
        before: Before = None,
        limit: Annotated[int, QueryParameter(ge=1, le=MOST)] = 100,
    ) -> HistoryView:
        """Show the checks of one guardrail, newest first."""
        if guardrail not in NAMES:
            raise invalid("guardrail", f"must be one of {', '.join(NAMES)}; got {guardrail[:60]!r}")
        earlier_than = moment("before", before)
        experiment = await lifecycle.find(reference)
        found = await guardrails.history(
            experiment.number, guardrail, before=earlier_than, count=limit + 1
        )
        page, following = cut(found, limit, lambda each: each.due_at)
        return HistoryView(guardrail=guardrail, checks=tuple(map(_check, page)), next=following)

    @post("/{reference:str}/rollback", status_code=HTTPStatus.OK, operation_class=bodies.Rollback)
    async def rollback(
        self,
        reference: FromPath[str],
        request: AnyRequest,
        lifecycle: NamedDependency[Lifecycle],
        author: NamedDependency[Author],
        if_match: IfMatch = None,
    ) -> Response[ExperimentView]:
        """Give everybody control until the experiment is resumed; again is harmless."""
        author = author._replace(note=read_note(await bodies.read_json(request, default={})))
        experiment, warnings = await lifecycle.rollback(reference, author, expected(if_match))
        return answer(experiment, warnings=warnings)

    @post("/{reference:str}/resume", status_code=HTTPStatus.OK)
    async def resume(
        self,
        reference: FromPath[str],
        lifecycle: NamedDependency[Lifecycle],
        author: NamedDependency[Author],
        if_match: IfMatch = None,
    ) -> Response[ExperimentView]:
        """Let an experiment that was rolled back go on, in a new guard epoch."""
        experiment, warnings = await lifecycle.resume(reference, author, expected(if_match))
        return answer(experiment, warnings=warnings)


def _check(stored: StoredCheck) -> CheckView:
    check: Check = stored.check
    return CheckView(
        guardrail=check.guardrail,
        verdict=check.verdict.value,
        why=check.why,
        action=check.configured.action.value,
        policy=check.policy,
        value=check.value,
        warning=check.configured.warning,
        limit=check.configured.limit,
        uncertain=check.uncertain,
        log_e=check.log_e,
        log_e_needed=check.needed,
        sample=check.sample,
        policies=dict(check.policies),
        details=dict(check.details),
        due_at=stored.due_at,
        checked_at=stored.checked_at,
        guard_epoch=stored.guard_epoch,
    )


def _rollback(rollback: Rollback) -> RollbackView:
    return RollbackView(
        guard_epoch=rollback.guard_epoch,
        at=rollback.at,
        stopped=rollback.stopped,
        reason=rollback.reason,
        evidence=tuple(check.guardrail for check in rollback.evidence),
        recheck_at=rollback.recheck_at,
        confirmed=rollback.confirmed,
    )
