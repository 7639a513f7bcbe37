"""Users who are given a policy or an arm to look at, over REST."""

from dataclasses import dataclass

from litestar import Controller, Response, get, put
from litestar.di import NamedDependency
from litestar.params import FromPath

from control import bodies
from control.access import needs
from control.experiments import PATH, IfMatch, expected
from control.fields import Fields, Problems, shown
from control.problems import AnyRequest
from pullarm.domain.access import Role
from pullarm.domain.admission import MAX_FORCED, Forced
from pullarm.domain.audit import Author
from pullarm.domain.experiment import Experiment
from pullarm.domain.ports import Revision
from pullarm.domain.transitions import forcing
from pullarm.lifecycle import Lifecycle

_MAX_BYTES = 128


@dataclass(frozen=True, slots=True, kw_only=True)
class ForcedUser:
    """A user and what they are given: a policy or an arm."""

    user_id: str
    policy: str | None
    arm: str | None


@dataclass(frozen=True, slots=True, kw_only=True)
class ForcedList:
    """Users who are given a policy or an arm, by their ids."""

    forced: tuple[ForcedUser, ...]


class ForcedUsers(Controller):
    """`/api/experiments/{reference}/forced`; changes are live in serving within a second."""

    path = f"{PATH}/{{reference:str}}/forced"
    tags = ("Experiments",)
    opt = needs(Role.OPERATOR)

    @get()
    async def list(
        self, reference: FromPath[str], lifecycle: NamedDependency[Lifecycle]
    ) -> Response[ForcedList]:
        """List the users who are given a policy or an arm."""
        return _answer(await lifecycle.find(reference))

    @put(operation_class=bodies.Force)
    async def replace(
        self,
        reference: FromPath[str],
        request: AnyRequest,
        lifecycle: NamedDependency[Lifecycle],
        author: NamedDependency[Author],
        if_match: IfMatch = None,
    ) -> Response[ForcedList]:
        """Give exactly these users a policy or an arm, whatever targeting, traffic and groups say.

        Already in a draft, and until the experiment ends or is rolled back. What they are shown is logged with
        reason FORCED, never learned from and never analysed; their rewards are NOT_IN_EXPERIMENT. An arm comes first
        where it is among the candidates, and the others in the caller's order.
        """
        body = await bodies.read_json(request)

        def plan(experiment: Experiment) -> Revision | None:
            return forcing(experiment, read_forced(body, experiment))

        return _answer(await lifecycle.revise(reference, plan, author, expected(if_match)))


def read_forced(body: object, experiment: Experiment) -> tuple[Forced, ...]:
    """Users with a policy or an arm of the experiment, by their ids; raises InvalidInput with every problem."""
    problems = Problems()
    policies = {policy.name: policy.name for policy in experiment.spec.policies}
    arms = {arm.arm_id for arm in experiment.live()}
    found: dict[str, Forced] = {}
    for one in Fields({"forced": body}, problems).entries("forced", MAX_FORCED, "user_id"):
        one.only(("user_id", "policy", "arm"))
        user_id = one.text("user_id", "", limit_bytes=_MAX_BYTES)
        policy = one.choice("policy", "", policies)
        arm_id = one.text("arm", "", limit_bytes=_MAX_BYTES, empty="arm" not in one)
        if ("policy" in one) == ("arm" in one):
            one.note("policy", "must be given, or arm instead, and not both")
        elif arm_id and arm_id not in arms:
            one.note("arm", f"{shown(arm_id)} is no arm of the experiment that can be shown")
        if user_id in found:
            one.note("user_id", f"{shown(user_id)} is listed twice")
        elif user_id:
            found[user_id] = Forced(user_id=user_id, policy=policy, arm_id=arm_id)
    problems.raise_if_any()
    return tuple(found[user_id] for user_id in sorted(found))


def _answer(experiment: Experiment) -> Response[ForcedList]:
    users = tuple(
        ForcedUser(user_id=each.user_id, policy=each.policy or None, arm=each.arm_id or None)
        for each in experiment.forced
    )
    return Response(ForcedList(forced=users), headers={"ETag": f'"{experiment.config_no}"'})
