"""What users get whom no policy serves: control's choice among candidates that need not be arms."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import lru_cache
from typing import Any

import numpy as np

from pullarm.domain.decision import UNLISTED
from pullarm.policies.base import Prepared
from pullarm.policies.control import Control
from pullarm.policies.parameters import Value
from pullarm.policies.posterior import Posterior
from pullarm.policies.registry import check


def fallback(params: Mapping[str, Value]) -> Control:
    """Control with `params`, those of the experiment's control policy where it has one, defaults for the rest."""
    values: dict[str, Any] = dict(check("control", params))
    return Control(**values)


IN_ORDER = Control()
"""What shows a forced arm: the caller's order, with that arm ahead."""


def ahead(arms: Sequence[int], first: int) -> list[int]:
    """The places of `arms`, numbers in the caller's order, with that of `first` before the others if it is there."""
    places = list(range(len(arms)))
    if first != UNLISTED and first in arms:
        places.insert(0, places.pop(arms.index(first)))
    return places


@lru_cache(maxsize=1_024)
def prepare_places(control: Control, count: int) -> Prepared:
    """`control` ready to choose among `count` places of the caller's list: row r is the candidate in place r."""
    nothing = np.zeros(count, dtype=np.int64)
    return control.prepare(Posterior(serves_micro=nothing, rewards_micro=nothing), grid=None)
