"""An experiment's arms over REST."""

from http import HTTPStatus

from litestar import Controller, Response, get, post
from litestar.di import NamedDependency
from litestar.params import FromPath

from control import bodies
from control.access import needs
from control.analysis import FILTERED, Analysis, Asked
from control.analysis_views import ArmsView
from control.arm_list import moving, read_list, stating
from control.arm_views import ArmList, ArmView, arm_list, arm_view
from control.experiments import PATH, IfMatch, expected
from control.problems import AnyRequest
from pullarm.domain.access import Role
from pullarm.domain.arms import newest
from pullarm.domain.audit import Author
from pullarm.domain.experiment import Experiment
from pullarm.lifecycle import Lifecycle


class Arms(Controller):
    """`/api/experiments/{reference}/arms`; changes are live in serving within a second."""

    path = f"{PATH}/{{reference:str}}/arms"
    tags = ("Arms",)
    opt = needs(Role.OPERATOR)

    @get(opt=needs(Role.VIEWER), dependencies=FILTERED)
    async def list(
        self,
        asked: NamedDependency[Asked],
        analysis: NamedDependency[Analysis],
        of_policy: NamedDependency[int | None],
        of_arms: NamedDependency[tuple[int, ...] | None],
    ) -> Response[ArmsView]:
        """List every version of every arm, retired ones included, and what came of each under each policy."""
        view = await analysis.arms(asked, policy=of_policy, arms=of_arms)
        return Response(view, headers=_tag(asked.experiment))

    @post(operation_class=bodies.StateArms, status_code=HTTPStatus.OK)
    async def state(
        self,
        reference: FromPath[str],
        request: AnyRequest,
        lifecycle: NamedDependency[Lifecycle],
        author: NamedDependency[Author],
        if_match: IfMatch = None,
    ) -> Response[ArmList]:
        """Add arms, one or thousands, as JSON or CSV; all of them or, where one is at fault, none.

        An arm that is there with the same payload_hash stays; another payload_hash opens a new version, which learns
        anew. A `status` moves an arm that is there, too. The answer lists the arms named, as they are now.
        """
        stated = read_list(await bodies.read_arms(request))
        experiment = await lifecycle.revise(reference, stating(stated), author, expected(if_match))
        arms = newest(experiment.arms)
        named = [arms[each.arm_id] for each in stated]
        return Response(arm_list(named), headers=_tag(experiment))

    @post("/{arm_id:str}/pause", status_code=HTTPStatus.OK)
    async def pause(
        self,
        reference: FromPath[str],
        arm_id: FromPath[str],
        lifecycle: NamedDependency[Lifecycle],
        author: NamedDependency[Author],
        if_match: IfMatch = None,
    ) -> Response[ArmView]:
        """Show an arm no more until it is resumed; rewards of what was shown still count."""
        return await _move(lifecycle, reference, (arm_id, "pause"), author, if_match)

    @post("/{arm_id:str}/resume", status_code=HTTPStatus.OK)
    async def resume(
        self,
        reference: FromPath[str],
        arm_id: FromPath[str],
        lifecycle: NamedDependency[Lifecycle],
        author: NamedDependency[Author],
        if_match: IfMatch = None,
    ) -> Response[ArmView]:
        """Show a paused arm again, with what was learnt of it."""
        return await _move(lifecycle, reference, (arm_id, "resume"), author, if_match)

    @post("/{arm_id:str}/retire", status_code=HTTPStatus.OK)
    async def retire(
        self,
        reference: FromPath[str],
        arm_id: FromPath[str],
        lifecycle: NamedDependency[Lifecycle],
        author: NamedDependency[Author],
        if_match: IfMatch = None,
    ) -> Response[ArmView]:
        """Show an arm no more for good; added again it is a new version."""
        return await _move(lifecycle, reference, (arm_id, "retire"), author, if_match)


async def _move(
    lifecycle: Lifecycle,
    reference: str,
    move: tuple[str, str],
    author: Author,
    if_match: str | None,
) -> Response[ArmView]:
    experiment = await lifecycle.revise(reference, moving(*move), author, expected(if_match))
    return Response(arm_view(newest(experiment.arms)[move[0]]), headers=_tag(experiment))


def _tag(experiment: Experiment) -> dict[str, str]:
    return {"ETag": f'"{experiment.config_no}"'}
