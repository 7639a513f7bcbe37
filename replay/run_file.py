"""The results of runs as a folder: results.json with all that is told of them, and two Parquet files.

runs.parquet      a row a run: policy, every, delay_min, run, decisions, reward, regret
curves.parquet    the same four, and point (1 to 100), decisions, reward, regret so far

The same bytes for the same data, plan and versions, wherever the runs were done.
"""

from __future__ import annotations

import platform
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Any

import msgspec
import numpy as np

from pullarm.policies.draw import KERNEL
from pullarm.policies.registry import check
from replay.comparison import Told, compare
from replay.engines.base import Engine
from replay.errors import DatasetError
from replay.learning import Setting
from replay.parquet import appearing, write_table
from replay.reports import RESULTS
from replay.runs import Plan, Task, World, outcomes
from replay.sources import SourceFile, unreadable
from replay.tally import Outcome

_RUNS, _CURVES = "runs.parquet", "curves.parquet"
_FORMAT = 1


@dataclass(frozen=True, slots=True, kw_only=True)
class Arm:
    """An arm of the catalogue and what showing it earns in truth, or in the log."""

    id: str
    label: str
    rate: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Under:
    """What is told of every policy under one setting."""

    setting: Setting
    policies: Mapping[str, Told]


@dataclass(frozen=True, slots=True, kw_only=True)
class Results:
    """Everything that a report needs, and everything that it takes to make it again."""

    way: str
    data: str
    events: int
    days: int
    arms: tuple[Arm, ...]
    policies: Mapping[str, Mapping[str, Any]]
    """By label: the name and all parameters."""
    runs: int
    seed: int
    under: tuple[Under, ...]
    arguments: tuple[str, ...]
    """Of `pullarm replay run`, after the data and --out."""
    sources: tuple[SourceFile, ...]
    versions: Mapping[str, str]
    format: int = _FORMAT


def execute(
    world: World,
    plan: Plan,
    *,
    engine: Engine,
    done: Callable[[int], None],
) -> list[tuple[Task, Outcome]]:
    """Every run; raises DatasetError for one that decided nothing, of which nothing could be told."""
    found = []
    for task, outcome in outcomes(world, plan, engine=engine, done=done):
        if not outcome.decisions:
            raise DatasetError(
                f"{world.label}: no event was kept for {task.candidate.label}, so that nothing can be told: give more "
                "events, or fewer arms"
            )
        found.append((task, outcome))
    return found


def told(
    world: World,
    plan: Plan,
    ran: Sequence[tuple[Task, Outcome]],
    *,
    arguments: Sequence[str],
    sources: Sequence[SourceFile],
) -> Results:
    """What is told of all runs of a plan."""
    control = next((each.label for each in plan.candidates if each.name == "control"), None)
    under = []
    for setting in plan.settings:
        by_policy = {
            candidate.label: [
                outcome
                for task, outcome in ran
                if (task.candidate, task.setting) == (candidate, setting)
            ]
            for candidate in plan.candidates
        }
        under.append(Under(setting=setting, policies=compare(by_policy, world.cohorts, control)))
    return Results(
        way=world.way,
        data=world.label,
        events=world.n_events,
        days=world.days,
        arms=tuple(
            Arm(id=arm.id, label=arm.label, rate=rate)
            for arm, rate in zip(world.arms, world.rates.tolist(), strict=True)
        ),
        policies={
            each.label: {"name": each.name, **check(each.name, each.params)}
            for each in plan.candidates
        },
        runs=plan.runs,
        seed=plan.seed,
        under=tuple(under),
        arguments=tuple(arguments),
        sources=tuple(sources),
        versions={
            "pullarm": version("pullarm"),
            "kernel": str(KERNEL),
            "python": platform.python_version(),
            **{name: version(name) for name in ("numpy", "numba", "scipy")},
        },
    )


def write(folder: Path, results: Results, ran: Sequence[tuple[Task, Outcome]]) -> None:
    """Write the three files, results.json last; raises DatasetError where that fails."""
    import pyarrow as pa

    write_table(folder / _RUNS, pa.Table.from_pylist([_row(*each) for each in ran]), None)
    write_table(folder / _CURVES, pa.table(_curves(ran)), None)
    with appearing(folder / RESULTS) as partial:
        said = msgspec.json.encode(results)
        partial.write_bytes(msgspec.json.format(said, indent=1) + b"\n")


def read(folder: Path) -> Results:
    """What `write` wrote; raises DatasetError naming what is missing or damaged."""
    path = folder / RESULTS
    try:
        said = path.read_bytes()
    except OSError as error:
        raise unreadable(path, error) from error
    try:
        results = msgspec.json.decode(said, type=Results)
    except msgspec.DecodeError as error:
        raise DatasetError(
            f"{path} is not what `pullarm replay run` writes: {error}; run it again"
        ) from error
    if results.format != _FORMAT:
        raise DatasetError(f"{path} has format {results.format}, not {_FORMAT}: run it again")
    return results


def _row(task: Task, outcome: Outcome) -> dict[str, Any]:
    return {
        "policy": task.candidate.label,
        "every": task.setting.every,
        "delay_min": task.setting.delay_min,
        "run": task.run,
        "decisions": outcome.decisions,
        "reward": outcome.reward,
        "regret": outcome.regret,
    }


def _curves(ran: Sequence[tuple[Task, Outcome]]) -> dict[str, Any]:
    points = len(ran[0][1].curve)
    rows = [_row(task, outcome) for task, outcome in ran]
    columns: dict[str, Any] = {
        name: [row[name] for row in rows for _ in range(points)]
        for name in ("policy", "every", "delay_min", "run")
    }
    columns["point"] = list(range(1, points + 1)) * len(ran)
    curves = np.concatenate([outcome.curve for _, outcome in ran])
    columns["decisions"] = curves[:, 0].astype(np.int64)
    return columns | {"reward": curves[:, 1], "regret": curves[:, 2]}
