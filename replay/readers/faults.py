"""What cannot be true of a row of a bandit log, found in whole columns."""

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from replay.errors import DatasetError
from replay.log import LogBatch

_ROUNDING = 1e-3
"""How far the probabilities of a row may be from what they must be: logs hold single precision and fewer digits."""


def refuse_faults(batch: LogBatch, place: Callable[[int], str]) -> None:
    """Raise DatasetError for the first row at fault; `place` says where a row of the batch is, as "file, line 3"."""
    propensity, target = batch.propensity, batch.target
    _refuse(
        ~((propensity > 0) & (propensity <= 1)),
        place,
        "propensity",
        "above 0 and at most 1",
        propensity,
    )
    _refuse(~np.isfinite(batch.reward), place, "reward", "a finite number", batch.reward)
    _refuse(batch.slot < 1, place, "slot", "from 1", batch.slot)
    if target is not None:
        _refuse(~((target >= 0) & (target <= 1)), place, "target", "from 0 to 1", target)
    if batch.candidates is not None:
        _refuse_candidates(batch, place)


def _refuse(
    wrong: NDArray[np.bool_],
    place: Callable[[int], str],
    what: str,
    expected: str,
    found: NDArray[np.generic],
) -> None:
    if wrong.any():
        index = int(np.argmax(wrong))
        raise DatasetError(f"{place(index)}: {what} must be {expected}, found {found[index]}")


def _refuse_candidates(batch: LogBatch, place: Callable[[int], str]) -> None:
    listed = batch.candidates
    if listed is None:
        return
    row = np.repeat(np.arange(len(batch)), listed.size)
    chosen = listed.arm == batch.action[row]
    times = np.bincount(row[chosen], minlength=len(batch))
    _refuse(
        (times != 1) & (listed.size > 0), place, "the action", "among its candidates, once", times
    )
    if listed.probability is not None:
        total = np.bincount(row, listed.probability, minlength=len(batch))
        _refuse(
            (abs(total - 1) > _ROUNDING) & (listed.size > 0),
            place,
            "the probabilities' sum",
            "1",
            total,
        )
        own = np.bincount(row[chosen], listed.probability[chosen], minlength=len(batch))
        differs = (abs(own - batch.propensity) > _ROUNDING * batch.propensity) & (listed.size > 0)
        _refuse(differs, place, "propensity", "the probability of the action", batch.propensity)


class OutOfOrder:
    """Counts the rows that are earlier than the row before them."""

    def __init__(self) -> None:
        self.rows = 0
        self._last_us: int | None = None

    def count(self, batch: LogBatch) -> None:
        """Go on with the next batch."""
        if batch.time_us is None:
            return
        if self._last_us is not None and batch.time_us[0] < self._last_us:
            self.rows += 1
        self.rows += int((np.diff(batch.time_us) < 0).sum())
        self._last_us = int(batch.time_us[-1])
