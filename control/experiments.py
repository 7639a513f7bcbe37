"""Experiments over REST."""

import re
from http import HTTPStatus
from typing import Annotated, Literal

from litestar import Controller, Response, get, patch, post
from litestar.di import NamedDependency, Provide
from litestar.params import FromPath, HeaderParameter, QueryParameter

from control import bodies
from control.access import needs
from control.drafts import editing, read_clone, read_draft, read_note
from control.listing import Wish, page, read_states
from control.problems import AnyRequest
from control.views import (
    ExperimentList,
    ExperimentView,
    Preview,
    listed,
    preview,
    whole,
)
from pullarm.domain.access import Principal, Role
from pullarm.domain.audit import Author
from pullarm.domain.experiment import Experiment
from pullarm.lifecycle import Expected, Lifecycle

PATH = "/api/experiments"

IfMatch = Annotated[
    str | None,
    HeaderParameter(name="If-Match", description="The ETag that the change is based on."),
]


Sort = Literal["created", "-created", "updated", "-updated", "name", "-name", "state", "-state"]


def read_wish(
    states: Annotated[
        str, QueryParameter(name="state", description="States with commas between, or all.")
    ] = "",
    search: Annotated[
        str, QueryParameter(max_length=200, description="In id, key, name or notes.")
    ] = "",
    sort: Annotated[Sort, QueryParameter(description="A hyphen turns it round.")] = "-created",
    after: Annotated[
        str, QueryParameter(max_length=80, description="`next` of the last page.")
    ] = "",
    limit: Annotated[int, QueryParameter(ge=1, le=1000, description="How many at most.")] = 1000,
) -> Wish:
    """What a list of experiments goes by."""
    return Wish(states=read_states(states), search=search, sort=sort, after=after, limit=limit)


class Experiments(Controller):
    """`/api/experiments`; an experiment is named by its id or its key."""

    path = PATH
    tags = ("Experiments",)
    opt = needs(Role.OPERATOR)

    @post(operation_class=bodies.Create)
    async def create(
        self,
        request: AnyRequest,
        lifecycle: NamedDependency[Lifecycle],
        author: NamedDependency[Author],
    ) -> Response[ExperimentView]:
        """Create a draft; the answer lists every default."""
        draft = read_draft(await bodies.read_json(request), lifecycle.now())
        return _created(await lifecycle.create(draft, author))

    @post("/validate", operation_class=bodies.Create, status_code=HTTPStatus.OK)
    async def validate(self, request: AnyRequest, lifecycle: NamedDependency[Lifecycle]) -> Preview:
        """Say what creating an experiment would make, or every problem; nothing is stored."""
        draft = read_draft(await bodies.read_json(request), lifecycle.now())
        return preview(None, lifecycle.drafted(draft))

    @get(
        opt=needs(Role.VIEWER, filtered=True),
        dependencies={"wish": Provide(read_wish, sync_to_thread=False)},
    )
    async def list(
        self,
        lifecycle: NamedDependency[Lifecycle],
        principal: NamedDependency[Principal],
        wish: NamedDependency[Wish],
    ) -> ExperimentList:
        """List experiments without their arms, newest first unless told otherwise; archived ones only when asked."""
        visible = [each for each in await lifecycle.all() if principal.sees(each.number)]
        shown, following = page(visible, wish)
        return ExperimentList(experiments=tuple(map(listed, shown)), next=following)

    @get("/{reference:str}", opt=needs(Role.VIEWER))
    async def one(
        self, reference: FromPath[str], lifecycle: NamedDependency[Lifecycle]
    ) -> Response[ExperimentView]:
        """Show one experiment with everything that is configured."""
        return answer(await lifecycle.find(reference))

    @patch("/{reference:str}", operation_class=bodies.Change)
    async def edit(
        self,
        reference: FromPath[str],
        request: AnyRequest,
        lifecycle: NamedDependency[Lifecycle],
        author: NamedDependency[Author],
        if_match: IfMatch = None,
    ) -> Response[ExperimentView]:
        """Change the given fields of a draft or running experiment."""
        plan = editing(await bodies.read_json(request), lifecycle.now())
        return answer(await lifecycle.revise(reference, plan, author, expected(if_match)))

    @post("/{reference:str}/validate", operation_class=bodies.Change, status_code=HTTPStatus.OK)
    async def validate_edit(
        self,
        reference: FromPath[str],
        request: AnyRequest,
        lifecycle: NamedDependency[Lifecycle],
        if_match: IfMatch = None,
    ) -> Preview:
        """Say what a change would make, and of how many users, or every problem; nothing is stored."""
        plan = editing(await bodies.read_json(request), lifecycle.now())
        return preview(*await lifecycle.planned(reference, plan, expected(if_match)))

    @post("/{reference:str}/start", status_code=HTTPStatus.OK)
    async def start(
        self,
        reference: FromPath[str],
        lifecycle: NamedDependency[Lifecycle],
        author: NamedDependency[Author],
        if_match: IfMatch = None,
    ) -> Response[ExperimentView]:
        """Start a draft."""
        return answer(await lifecycle.start(reference, author, expected(if_match)))

    @post("/{reference:str}/stop", status_code=HTTPStatus.OK, operation_class=bodies.Stop)
    async def stop(
        self,
        reference: FromPath[str],
        request: AnyRequest,
        lifecycle: NamedDependency[Lifecycle],
        author: NamedDependency[Author],
        if_match: IfMatch = None,
    ) -> Response[ExperimentView]:
        """Stop for good; stopping again is harmless."""
        author = author._replace(note=read_note(await bodies.read_json(request, default={})))
        experiment, warnings = await lifecycle.stop(reference, author, expected(if_match))
        return answer(experiment, warnings=warnings)

    @post("/{reference:str}/archive", status_code=HTTPStatus.OK)
    async def archive(
        self,
        reference: FromPath[str],
        lifecycle: NamedDependency[Lifecycle],
        author: NamedDependency[Author],
        if_match: IfMatch = None,
    ) -> Response[ExperimentView]:
        """Hide a draft, or an experiment that has ended, from lists."""
        return answer(await lifecycle.archive(reference, author, expected(if_match)))

    @post("/{reference:str}/clone", operation_class=bodies.Clone)
    async def clone(
        self,
        reference: FromPath[str],
        request: AnyRequest,
        lifecycle: NamedDependency[Lifecycle],
        author: NamedDependency[Author],
    ) -> Response[ExperimentView]:
        """Make a draft of an experiment that has ended: as it was configured, but for the given fields."""
        body = await bodies.read_json(request, default={})
        draft = read_clone(body, await lifecycle.find(reference), lifecycle.now())
        return _created(await lifecycle.create(draft, author))


def expected(if_match: str | None) -> Expected:
    """The versions an If-Match header names; tags that are none of ours name no version."""
    if if_match is None or if_match.strip() == "*":
        return None
    return frozenset(int(number) for number in re.findall(r'(?<!W/)"([0-9]{1,9})"', if_match))


def _created(experiment: Experiment) -> Response[ExperimentView]:
    location = {"Location": f"{PATH}/{experiment.id}"}
    return answer(experiment, status=HTTPStatus.CREATED, headers=location)


def answer(
    experiment: Experiment,
    *,
    status: HTTPStatus = HTTPStatus.OK,
    headers: dict[str, str] | None = None,
    warnings: tuple[str, ...] = (),
) -> Response[ExperimentView]:
    """An experiment with its ETag."""
    tag = {"ETag": f'"{experiment.config_no}"'}
    return Response(whole(experiment, warnings), status_code=status, headers=tag | (headers or {}))
