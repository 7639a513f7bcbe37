"""The part of the Open Bandit Dataset in tests/fixtures/obd: rounds as estimators take them, and reference figures."""

import csv
import gzip
import json
from functools import cache
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from replay.estimators.base import Rounds

_FOLDER = Path(__file__).parent / "fixtures" / "obd"
RUNS = ("random->bts", "random->random", "bts->bts", "bts->random")
"""Log, then target."""


class Run(NamedTuple):
    """One policy's value from one log, and what others made of the same numbers."""

    rounds: Rounds
    reference: dict[str, Any]


@cache
def run(name: str) -> Run:
    """The log of `name` seen as the estimators of its target do, each round a user of its own."""
    log, target = name.split("->")
    with gzip.open(_FOLDER / f"rows_{log}.csv.gz", "rt") as file:
        rows = np.array([[float(cell) for cell in row] for row in list(csv.reader(file))[1:]])
    item, position = rows[:, 0].astype(np.int64), rows[:, 1].astype(np.int64)
    chosen, predicted = _table(f"action_dist_{target}"), _table(f"qhat_tabular_k10_{log}")
    rounds = Rounds(
        user=np.arange(len(rows)),
        reward=rows[:, 2],
        propensity=rows[:, 3],
        target=chosen[item, position],
        predicted=predicted[item, position],
        value=(chosen * predicted).sum(axis=0)[position],
    )
    return Run(rounds, json.loads((_FOLDER / "reference.json").read_text())["runs"][name])


def _table(name: str) -> NDArray[np.float64]:
    """(n_items, n_positions)."""
    with (_FOLDER / f"{name}.csv").open() as file:
        return np.array([[float(cell) for cell in row[1:]] for row in list(csv.reader(file))[1:]])
