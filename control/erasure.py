"""Erasing a user over REST."""

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from http import HTTPStatus

from litestar import Controller, post
from litestar.di import NamedDependency
from litestar.params import FromPath

from control import bodies
from control.access import needs
from control.experiments import PATH
from control.fields import Fields, Problems, shown
from control.problems import AnyRequest
from pullarm.clock import Clock
from pullarm.domain.access import Role
from pullarm.domain.audit import Author
from pullarm.domain.erasure import Erased
from pullarm.domain.errors import invalid
from pullarm.domain.experiment import Experiment
from pullarm.domain.ports import ExperimentStore
from pullarm.lifecycle import find_experiment

_MAX_BYTES = 128

Erase = Callable[[Experiment, str, Author, int], Awaitable[Erased]]
"""Erases a user from an experiment, on somebody's account and at a time in milliseconds."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ErasedView:
    """What was rewritten of a user, who is not named any more."""

    known_as: str
    """What their decisions are logged under from now on."""
    decisions: int
    rewards: int
    forced: bool
    """Whether they were given a policy or an arm; they are not any more."""
    archived_days: int
    """Of how many removed days there are files of the experiment: workers take the user out of those soon."""


class Erasing:
    """Finds the experiment and erases a user from it."""

    def __init__(self, experiments: ExperimentStore, erase: Erase, clock: Clock) -> None:
        self._experiments = experiments
        self._erase = erase
        self._clock = clock

    async def erase(self, reference: str, body: object, author: Author) -> ErasedView:
        """Erase the user that JSON names; raises InvalidInput, NotFound, Conflict."""
        if not isinstance(body, Mapping):
            raise invalid("body", f"must be a JSON object, not {shown(body)}")
        problems = Problems()
        given = Fields(body, problems)
        given.only(("user_id", "note"))
        user_id = given.text("user_id", "", limit_bytes=_MAX_BYTES)
        note = given.text("note", "", limit_bytes=1_000, empty=True)
        problems.raise_if_any()
        experiment = await find_experiment(self._experiments, reference)
        noted = author._replace(note=note)
        erased = await self._erase(experiment, user_id, noted, self._clock())
        return ErasedView(
            known_as=erased.known_as,
            decisions=erased.decisions,
            rewards=erased.rewards,
            forced=erased.forced,
            archived_days=erased.archived_days,
        )


class Erasures(Controller):
    """`/api/experiments/{reference}/erase`."""

    path = f"{PATH}/{{reference:str}}/erase"
    tags = ("Experiments",)
    opt = needs(Role.ADMIN)

    @post(operation_class=bodies.EraseUser, status_code=HTTPStatus.OK)
    async def erase(
        self,
        reference: FromPath[str],
        request: AnyRequest,
        erasing: NamedDependency[Erasing],
        author: NamedDependency[Author],
    ) -> ErasedView:
        """Replace a user's id and hash, attributes, and ids of requests and rewards in the ledger; every sum stays.

        What is still on its way (stream, spool), set aside or in a backup is not reached: erase again once it has come.
        """
        return await erasing.erase(reference, await bodies.read_json(request), author)
