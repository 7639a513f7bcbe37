"""Verdicts over REST: judging, what experiments came to, and shipping by it."""

from dataclasses import dataclass
from datetime import datetime
from http import HTTPStatus
from typing import Annotated

from litestar import Controller, Response, get, post
from litestar.di import NamedDependency
from litestar.params import FromPath, QueryParameter

from control import bodies
from control.access import needs
from control.drafts import read_object
from control.experiments import PATH, IfMatch, answer, expected
from control.fields import Fields, Problems
from control.paging import cut
from control.problems import AnyRequest
from control.views import ExperimentView
from pullarm.domain.access import Role
from pullarm.domain.audit import Author
from pullarm.domain.experiment import Experiment, State
from pullarm.domain.looks import next_due, unjudged
from pullarm.domain.verdict import Criteria, PolicyDetails, StoredVerdict, Verdict
from pullarm.judging import Judge

MOST = 400
_LIVES = (State.RUNNING, State.ROLLED_BACK, State.STOPPED)


@dataclass(frozen=True, slots=True, kw_only=True)
class VerdictView:
    """A verdict as it was frozen, with the data that it was made on."""

    verdict_no: int
    """From 1, by experiment."""
    at: datetime
    name: str
    """What was judged: a day of an allocation epoch, or a rollback."""
    allocation_epoch: int
    config_no: int
    """The version of the experiment that was judged."""
    fold_no: int
    """The data cut: every fold up to this one."""
    watermark: datetime | None
    """All events of before are in it."""
    verdict: Verdict
    details: dict[str, PolicyDetails]
    """Cohorts and arms by policy, as they were then; nothing follows from them."""


@dataclass(frozen=True, slots=True, kw_only=True)
class VerdictsView:
    """What an experiment came to so far, newest first."""

    id: str
    state: str
    criteria: Criteria
    final: bool
    """Whether the newest verdict stands, whatever comes later."""
    next_at: datetime | None
    """When another day has matured and is judged; null where there is none to come."""
    no_verdict_because: str
    """Why nothing can be judged; empty where it can."""
    verdicts: tuple[VerdictView, ...]
    next: int | None
    """To be given as `before` for the next page; null on the last."""


class DecisionController(Controller):
    """`/api/experiments/{id}/decisions`, and `ship`."""

    path = PATH
    tags = ("Decisions",)
    opt = needs(Role.OPERATOR)

    @get("/{reference:str}/decisions", opt=needs(Role.VIEWER))
    async def list(
        self,
        reference: FromPath[str],
        judge: NamedDependency[Judge],
        before: Annotated[int | None, QueryParameter(ge=1, le=2**31 - 1)] = None,
        limit: Annotated[int, QueryParameter(ge=1, le=MOST)] = 30,
    ) -> VerdictsView:
        """Show the verdicts of an experiment with their evidence, newest first."""
        experiment, found = await judge.page(reference, before=before, count=limit + 1)
        newest = (
            found if before is None else (await judge.page(reference, before=None, count=1))[1]
        )[:1]
        final = any(each.verdict.final for each in newest)
        day = newest[0].verdict.day if newest else 0
        page, following = cut(found, limit, lambda each: each.verdict_no)
        return VerdictsView(
            id=experiment.id,
            state=experiment.state.value,
            criteria=experiment.spec.decision,
            final=final,
            next_at=None if final else _next_at(experiment, day),
            no_verdict_because=unjudged(experiment),
            verdicts=tuple(map(_view, page)),
            next=following,
        )

    @post("/{reference:str}/decisions", status_code=HTTPStatus.OK)
    async def judge(self, reference: FromPath[str], judge: NamedDependency[Judge]) -> VerdictView:
        """Judge an experiment now: a day that was judged, or a final verdict, stands and is answered again."""
        return _view(await judge.judge(reference))

    @post("/{reference:str}/ship", status_code=HTTPStatus.OK, operation_class=bodies.Ship)
    async def ship(
        self,
        reference: FromPath[str],
        request: AnyRequest,
        judge: NamedDependency[Judge],
        author: NamedDependency[Author],
        if_match: IfMatch = None,
    ) -> Response[ExperimentView]:
        """Give everybody the policy that the verdict says to ship, or the one that is named; it goes on learning."""
        problems = Problems()
        given = Fields(read_object(await bodies.read_json(request, default={})), problems)
        given.only(("policy", "note"))
        policy = given.text("policy", "", limit_bytes=64, empty="policy" not in given)
        note = given.text("note", "", limit_bytes=1_000, empty=True)
        problems.raise_if_any()
        author = author._replace(note=note)
        shipped, warnings = await judge.ship(reference, policy, author, expected(if_match))
        return answer(shipped, warnings=warnings)


def _next_at(experiment: Experiment, day: int) -> datetime | None:
    if experiment.started_at is None or experiment.state not in _LIVES or unjudged(experiment):
        return None
    return next_due(experiment, experiment.started_at, day)


def _view(stored: StoredVerdict) -> VerdictView:
    return VerdictView(
        verdict_no=stored.verdict_no,
        at=stored.at,
        name=stored.name,
        allocation_epoch=stored.allocation_epoch,
        config_no=stored.config_no,
        fold_no=stored.fold_no,
        watermark=stored.watermark,
        verdict=stored.verdict,
        details=dict(stored.details),
    )
