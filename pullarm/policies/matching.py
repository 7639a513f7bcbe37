"""Which logged events a policy would have chosen itself: one draw an event, from one posterior, over one catalogue."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from pullarm.policies.base import Offer, Prepared
from pullarm.policies.compile import background_kernel
from pullarm.policies.exact import integer_weights
from pullarm.policies.slate import draw_from


@background_kernel
def _matches(
    ends: NDArray[np.uint64],
    arms: NDArray[np.int64],
    keys: NDArray[np.int64],
    first: int,
    most: int,
) -> tuple[NDArray[np.int64], int]:
    found = np.empty(most, dtype=np.int64)
    n, event = 0, first
    while event < len(arms) and n < most:
        if draw_from(ends, keys[event, 0], keys[event, 1])[0] == arms[event]:
            found[n] = event
            n += 1
        event += 1
    return found[:n], event


def matches(
    prepared: Prepared,
    arms: NDArray[np.int64],
    keys: NDArray[np.int64],
    *,
    first: int,
    most: int,
) -> tuple[NDArray[np.int64], int]:
    """The events, from `first` on, whose arm is the one drawn; at most `most` of them.

    Each draw is `choose`'s from the whole catalogue with the event's key as uid.

    Args:
        prepared: the posterior, of a policy that offers every row.
        arms: (n,) the logged arm rows.
        keys: (n, 2) a uid for each event, as two signed integers.
        first: the first event to look at.
        most: at least 1.

    Returns:
        (k,) indices of events, ascending, and the index of the first event not looked at.
    """
    weights = prepared.weights(Offer.of(prepared.offered))
    ends = np.zeros(prepared.n_arms, dtype=np.uint64)
    ends[prepared.offered] = integer_weights(weights, prepared.floor)
    return _matches(np.cumsum(ends), arms, keys, first, most)
