"""What a policy gave each candidate of past decisions, worked out again from the publication that they name."""

from __future__ import annotations

from collections.abc import Iterable
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from pullarm.domain.decision import UNLISTED
from pullarm.domain.experiment import POLICY_NAMES
from pullarm.domain.publication import Published
from pullarm.policies.base import Offer, Prepared
from pullarm.policies.draw import integer_weights
from pullarm.policies.grid import Grid
from pullarm.policies.posterior import Posterior
from pullarm.policies.registry import build

ALL = b""
"""Packed candidates of a decision that named none."""


class Offered(NamedTuple):
    """What the first slot was drawn from."""

    arms: NDArray[np.int64]  # (k,) arm numbers, ascending
    weights: NDArray[np.uint64]  # (k,) integers; the propensity is one by their sum


class Redrawing:
    """Goes from one publication of an experiment to another; what did not change between two is kept."""

    def __init__(self) -> None:
        self._before: dict[int, Prepared] = {}

    def weights(
        self, published: Published, policy: int, candidates: Iterable[bytes]
    ) -> dict[bytes, Offered | None]:
        """Of each set of candidates, packed as they are logged, under a policy by number.

        None for a set that is not one of arms, and for all where the publication is not sound.
        """
        experiment = published.experiment
        assert experiment is not None  # the ledger always has the version
        chooser = build(POLICY_NAMES[policy], experiment.spec.params_of(POLICY_NAMES[policy]))
        number = published.head.grid_no
        try:
            grid = Grid.from_bytes(number, published.grid) if number and published.grid else None
            posterior = Posterior.from_bytes(published.posteriors[policy])
            prepared = chooser.prepare(posterior, grid=grid, previous=self._before.get(policy))
        except ValueError:
            return dict.fromkeys(candidates)
        self._before[policy] = prepared
        active = [arm.arm_no for arm in experiment.active()]
        return {
            packed: _weigh(prepared, active if packed == ALL else _numbers(packed), chooser.floor)
            for packed in candidates
        }


def _numbers(packed: bytes) -> list[int]:
    if len(packed) % 4:
        return []
    return np.frombuffer(packed, dtype="<u4").tolist()


def _weigh(prepared: Prepared, candidates: list[int], floor: float) -> Offered | None:
    rows = [arm - 1 for arm in candidates if arm != UNLISTED]
    if not rows or max(rows) >= prepared.n_arms:
        return None
    offer = Offer.of(rows)
    return Offered(offer.rows + 1, integer_weights(prepared.weights(offer), floor))
