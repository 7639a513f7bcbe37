"""`pullarm rollback`: everybody gets control, with the control plane or, where that is away, without it."""

import asyncio
import sys
from pathlib import Path
from typing import Annotated

from typer import Argument, Option

from cli.remote import DEFAULT_STATE, DEFAULT_URL, ControlPlane, ControlUrl, TokenState
from cli.state import surroundings
from pullarm.domain.errors import NotFound, Unavailable
from pullarm.domain.experiment import next_state
from pullarm.environment import required
from pullarm.lifecycle import find_published
from pullarm.storage.redis import RedisBoard, reach


def command(
    experiment: Annotated[str, Argument(help="Its id or key.")],
    note: Annotated[str, Option(help="Why, for the audit trail and the alert.")] = "",
    control_url: ControlUrl = DEFAULT_URL,
    state: TokenState = DEFAULT_STATE,
) -> None:
    """Give everybody control within a second, until the experiment is resumed.

    Where the control plane does not answer, serving is told by way of Redis (REDIS_URL, or that of the state folder),
    and a worker stores it once PostgreSQL is there.
    """
    try:
        with ControlPlane.found(control_url, state) as control:
            told = control.rollback(experiment, note)
    except Unavailable as error:
        print(f"warning: {error}", file=sys.stderr)
        number = asyncio.run(_halt(experiment, note, state))
        print(f"{number} is rolled_back with serving; a worker stores that in the ledger")
        return
    print(f"{told['id']} is {told['state']}")
    for warning in told["warnings"]:
        print(f"warning: {warning}", file=sys.stderr)


async def _halt(reference: str, note: str, folder: Path) -> str:
    redis = reach(required(surroundings(folder), "REDIS_URL"))
    board = RedisBoard(redis)
    try:
        experiment = await find_published(board, reference)
        if experiment is None:
            raise NotFound(f"serving knows no experiment {reference!r}")
        state = next_state("rollback", experiment.state)
        await board.halt(experiment.number, state, experiment.guard_epoch, note)
        return experiment.id
    finally:
        await redis.aclose()
