"""`pullarm replay posteriors`: what every policy had learned whenever a log of its experiment was written."""

import asyncio
from collections.abc import Callable, Container, Iterable
from pathlib import Path
from typing import Annotated, Any

import msgspec
import numpy as np
from typer import Argument, Option

from cli.replay.progress import progress
from cli.replay.target import LEARNED
from cli.verify import database_url
from pullarm.domain.assignment import MICRO
from pullarm.domain.errors import invalid
from pullarm.domain.experiment import POLICY_NUMBERS
from pullarm.domain.publication import Published
from pullarm.policies.grid import Grid
from pullarm.policies.posterior import Posterior
from pullarm.storage.postgres import Database, PostgresExperiments
from pullarm.storage.postgres.history import PostgresHistory
from replay.log_table import open_log


def command(
    experiment: Annotated[str, Argument(help="Id or key, of a running platform or DATABASE_URL.")],
    log: Annotated[Path, Option(help="Its export, as `pullarm replay load` wrote it.")],
    out: Annotated[Path, Option(help="JSON file to write, for --posterior of the other commands.")],
    state: Annotated[
        Path, Option(help="State folder of a running `pullarm up`, where DATABASE_URL is not set.")
    ] = Path(".pullarm"),
) -> None:
    """Write what the policies had learned at each posterior version that a log's decisions were drawn from.

    All policies of an experiment are published together, so that any of them can be evaluated with its own posterior of
    that moment on the rows of the others. Parameters are not in the file: give those of the experiment as --param.
    """
    opened = open_log(log)
    versions = {each for batch in opened.batches() for each in np.unique(batch.version).tolist()}
    with progress("posteriors", "versions") as done:
        read = _read(database_url(state), experiment, sorted(versions), done)
        found = [_said(each, frozenset(opened.head.arms)) for each in asyncio.run(read)]
    try:
        out.write_bytes(msgspec.json.encode(found))
    except OSError as error:
        raise invalid("--out", f"{out} cannot be written: {error.strerror}") from error
    print(f"{len(found):,} versions in {out}")


async def _read(
    dsn: str, reference: str, versions: Iterable[int], done: Callable[[int], None]
) -> list[Published]:
    found = []
    async with Database(dsn, max_connections=1) as database:
        experiment = await PostgresExperiments(database).get(reference)
        async for each in PostgresHistory(database).publications(experiment.number, versions):
            found.append(each)
            done(1)
    return found


def _said(published: Published, logged: Container[str]) -> dict[str, Any]:
    head = published.head
    grid = Grid.from_bytes(head.grid_no, published.grid).points.tolist() if published.grid else []
    policies = {policy: _learned(published, policy, logged) for policy in LEARNED}
    return {"version": head.pub_no, "policies": policies, "grid": grid}


def _learned(published: Published, policy: str, logged: Container[str]) -> dict[str, Any]:
    assert published.experiment is not None  # read back of the ledger whole
    learned = Posterior.from_bytes(published.posteriors[POLICY_NUMBERS[policy]])
    # Of the versions of one arm the newest counts, which comes last.
    return {
        arm.arm_id: {"serves": serves / MICRO, "rewards": rewards / MICRO}
        for arm, serves, rewards in zip(
            published.experiment.arms,
            learned.serves_micro.tolist(),
            learned.rewards_micro.tolist(),
            strict=True,
        )
        if arm.arm_id in logged  # no other was a candidate
    }
