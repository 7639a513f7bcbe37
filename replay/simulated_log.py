"""What a logger would have written of a run in the truth way, for `evaluate`: propensities and the truth are known."""

from __future__ import annotations

from pathlib import Path

import msgspec

from pullarm.domain.assignment import MICRO
from replay.log_table import write_log
from replay.parquet import appearing
from replay.runs import Plan, Task
from replay.truth import Served, Truth

POSTERIORS = "posteriors.json"


def write(folder: Path, world: Truth, plan: Plan) -> None:
    """The first run of each policy under the first setting, as folder/logs/LABEL/log.parquet.

    Beside it posteriors.json: what the policy had learned at each version of its log, for --posterior of `evaluate`.
    """
    for candidate in plan.candidates:
        task = Task(candidate, plan.settings[0], 0)
        log, served = world.log(
            candidate.label, candidate.build(), task.setting, plan.seed_of(task)
        )
        into = folder / "logs" / candidate.label
        write_log(into, log)
        with appearing(into / POSTERIORS) as partial:
            partial.write_bytes(msgspec.json.encode([_said(each, world) for each in served]))


def _said(served: Served, world: Truth) -> dict[str, object]:
    known = served.posterior
    arms = {
        arm.id: {"serves": serves / MICRO, "rewards": rewards / MICRO}
        for arm, serves, rewards in zip(
            world.arms,
            known.serves_micro.tolist(),
            known.rewards_micro.tolist(),
            strict=True,
        )
    }
    grid = [] if served.grid is None else served.grid.points.tolist()
    return {"version": served.version, "arms": arms, "grid": grid}
