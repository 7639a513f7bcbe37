"""Exclusion groups over REST."""

import secrets
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from http import HTTPStatus

from litestar import Controller, Response, get, patch, post
from litestar.di import NamedDependency
from litestar.params import FromPath

from control import bodies
from control.access import needs
from control.fields import Fields, Problems, shown
from control.problems import AnyRequest
from pullarm.clock import Clock
from pullarm.domain.access import Role
from pullarm.domain.assignment import BUCKETS, MICRO
from pullarm.domain.audit import Author
from pullarm.domain.errors import NotFound, invalid
from pullarm.domain.experiment import Experiment
from pullarm.domain.groups import FREEING, NAME, Group
from pullarm.domain.ports import ExperimentStore, GroupStore

MAX_GROUPS = 1_000


@dataclass(frozen=True, slots=True, kw_only=True)
class Member:
    """An experiment's place in a group."""

    id: str
    key: str
    state: str
    share: float
    """Of the group's users that it has reserved."""


@dataclass(frozen=True, slots=True, kw_only=True)
class GroupView:
    """A group with the experiments that have a place in it."""

    name: str
    holdout_pct: float
    """Share of all users that are in none of its experiments."""
    free_share: float
    """Of its users, what no experiment has reserved."""
    experiments: tuple[Member, ...]
    created_at: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class GroupList:
    """Groups by name; `all` is every experiment's and there for its holdout."""

    groups: tuple[GroupView, ...]


class Groups:
    """Making groups, listing them and holding users out."""

    def __init__(self, store: GroupStore, experiments: ExperimentStore, clock: Clock) -> None:
        self._store = store
        self._experiments = experiments
        self._clock = clock

    async def all(self) -> tuple[GroupView, ...]:
        """All, by name."""
        experiments = await self._experiments.all()
        return tuple(_view(group, experiments) for group in await self._store.all())

    async def one(self, name: str) -> GroupView:
        """By name; raises NotFound."""
        for view in await self.all():
            if view.name == name:
                return view
        raise NotFound(f"there is no group {name[:80]!r}")

    async def create(self, body: object, author: Author) -> GroupView:
        """Make a group as it is asked for in JSON; raises InvalidInput with every problem."""
        given, problems = _read(body, ("name", "holdout_pct"))
        name = given.text("name", "", limit_bytes=64)
        if name and not NAME.fullmatch(name):
            given.note("name", "must be lower-case letters, digits, hyphens and underscores")
        holdout_micro = _read_holdout(given)
        problems.raise_if_any()
        if len(await self._store.all()) >= MAX_GROUPS:
            raise invalid("name", f"there are {MAX_GROUPS} groups, and no more can be")
        group = Group(
            name=name,
            salt=secrets.token_bytes(16),
            holdout_micro=holdout_micro,
            created_at=datetime.fromtimestamp(self._clock() / 1000, UTC),
        )
        await self._store.create(group, author)
        return _view(group, ())

    async def hold_out(self, name: str, body: object, author: Author) -> GroupView:
        """Change a group's holdout; raises InvalidInput with every problem, NotFound."""
        given, problems = _read(body, ("holdout_pct",))
        if "holdout_pct" not in given:
            given.note("holdout_pct", "is required")
        holdout_micro = _read_holdout(given)
        problems.raise_if_any()
        if not NAME.fullmatch(name):
            raise NotFound(f"there is no group {name[:80]!r}")
        await self._store.hold_out(name, holdout_micro, author, self._clock())
        return await self.one(name)


def _read(body: object, known: Sequence[str]) -> tuple[Fields, Problems]:
    if not isinstance(body, Mapping):
        raise invalid("body", f"must be a JSON object, not {shown(body)}")
    problems = Problems()
    given = Fields(body, problems)
    given.only(known)
    return given, problems


def _read_holdout(given: Fields) -> int:
    share = given.number("holdout_pct", 0.0, 0.0, 1.0, "is a fraction from 0 to 1: 0.05 means 5 %")
    return round(share * MICRO)


def _view(group: Group, experiments: Sequence[Experiment]) -> GroupView:
    members = tuple(
        Member(
            id=each.id,
            key=each.key,
            state=each.state.value,
            share=seat.buckets / BUCKETS,
        )
        for each in experiments
        for seat in each.seats
        if seat.group == group.name and seat.ranges is not None and each.state not in FREEING
    )
    reserved = sum(round(member.share * BUCKETS) for member in members)
    return GroupView(
        name=group.name,
        holdout_pct=group.holdout_micro / MICRO,
        free_share=(BUCKETS - reserved) / BUCKETS,
        experiments=members,
        created_at=group.created_at,
    )


class GroupController(Controller):
    """`/api/groups`."""

    path = "/api/groups"
    tags = ("Groups",)
    opt = needs(Role.OPERATOR)

    @get(opt=needs(Role.VIEWER))
    async def list(self, groups: NamedDependency[Groups]) -> GroupList:
        """List exclusion groups, with what their experiments have reserved of them."""
        return GroupList(groups=await groups.all())

    @post(operation_class=bodies.CreateGroup)
    async def create(
        self,
        request: AnyRequest,
        groups: NamedDependency[Groups],
        author: NamedDependency[Author],
    ) -> Response[GroupView]:
        """Make a group: a user is in one of its experiments at most, and in none where held out."""
        body = await bodies.read_json(request)
        return Response(await groups.create(body, author), status_code=HTTPStatus.CREATED)

    @get("/{name:str}", opt=needs(Role.VIEWER))
    async def one(self, name: FromPath[str], groups: NamedDependency[Groups]) -> GroupView:
        """Show one group."""
        return await groups.one(name)

    @patch("/{name:str}", operation_class=bodies.ChangeGroup)
    async def hold_out(
        self,
        name: FromPath[str],
        request: AnyRequest,
        groups: NamedDependency[Groups],
        author: NamedDependency[Author],
    ) -> GroupView:
        """Change the holdout, for its experiments at once; those held out before stay so in a larger one."""
        return await groups.hold_out(name, await bodies.read_json(request), author)
