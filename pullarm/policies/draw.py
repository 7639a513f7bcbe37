"""The draw and the slate: what is logged is what was drawn from.

Candidate i is shown with probability exactly q_i / T for integers q and T = sum q, so logged
propensities carry no rounding of ours, whatever approximated the weights.
"""

from __future__ import annotations

import struct
from collections.abc import Callable, Sequence
from itertools import accumulate
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from pullarm.policies import exact
from pullarm.policies.base import Policy, Prepared

# The number of the arithmetic, logged with every decision. Whatever could change one bit of
# the weights or the draw, here or in a file it calls, must increment it.
KERNEL = 2

UID_BYTES = 16
WEIGHT_ONE = exact.WEIGHT_ONE  # what a weight of 1 becomes

_halves: Callable[[bytes], tuple[int, int]] = struct.Struct("<qq").unpack
_INT64 = np.dtype(np.int64)
_EVERY = np.empty(0, _INT64)
_KEY = np.dtype("<i8")


def integer_weights(weights: NDArray[np.float64], floor: float) -> NDArray[np.uint64]:
    """Weights (k,) summing to 1, mixed with the floor in [0, 1], as integers (k,).

    q_i = max(1, rint(w'_i 2^32)) with w' = (1 - floor) w + floor / k, and 0 where w'_i is 0.
    """
    return exact.integer_weights(weights, floor)


def draw(integers: NDArray[np.uint64], uid: bytes, slot: int) -> int:
    """The index drawn for decision `uid` (16 bytes) in `slot`: i with probability q_i / sum q.

    The same arguments always give the same index: Philox4x64-10 keyed by the uid.

    Raises:
        ValueError: for a uid of another length, or if all integers are 0.
    """
    if not integers.any():
        raise ValueError("all integer weights are 0; there is nothing to draw from")
    keys = np.array(_key(uid)).view(np.uint64)
    return int(exact.draw_index(integers, keys[0], keys[1], np.uint64(slot))[0])


def number(total: int, uid: bytes, slot: int) -> int:
    """The integer below `total` that decides a slot: drawn is the first index at which the sum of q exceeds it.

    Raises:
        ValueError: for a uid of another length, or a total below 1.
    """
    if total < 1:
        raise ValueError(f"total must be at least 1, not {total}")
    keys = np.array(_key(uid)).view(np.uint64)
    return int(exact.word_below(np.uint64(total), keys[0], keys[1], np.uint64(slot)))


class Choice(NamedTuple):
    """The arm drawn for one slot, and the integers its propensity is made of."""

    row: int
    """Arm row."""
    weight: int
    """q of the arm drawn, >= 1."""
    total: int
    """T, the sum of q over the candidates of this slot."""

    @property
    def propensity(self) -> float:
        """The probability with which this arm was drawn in this slot."""
        return self.weight / self.total


def choose(
    policy: Policy,
    prepared: Prepared,
    candidates: Sequence[int] | NDArray[np.int64] | None,
    *,
    slots: int,
    uid: bytes,
) -> list[Choice]:
    """Fill up to `slots` slots from `candidates`, the one way that serving and replay share.

    Args:
        policy: the configured policy; its floor applies in each slot.
        prepared: what `policy.prepare` made of a posterior.
        candidates: arm rows in the caller's order; duplicates count once. Only control looks
            at the order. None for `prepared.offered`, which costs less.
        slots: at least 1; the slate ends early when the candidates do.
        uid: the decision's 16 bytes, which key the generator.

    Returns:
        One choice a slot, of distinct arms. Each slot's weights are the policy's over the
        candidates left; past `prepared.recomputed_slots` they are the last ones computed,
        renormalised over those left (uniform when nothing of them is left).

    Raises:
        ValueError: for no candidates, a row outside [0, prepared.n_arms), slots < 1, a uid
            that is not 16 bytes, or a `prepared` of a policy with another floor.
    """
    rows = _EVERY if candidates is None else _packed(candidates)
    if not (prepared.offered if candidates is None else rows).size:
        raise ValueError("candidates is empty; give at least one arm row")
    if slots < 1:
        raise ValueError(f"slots must be at least 1, not {slots}")
    if prepared.floor != policy.floor:
        raise ValueError(f"prepared has floor {prepared.floor}, but the policy {policy.floor}")
    key_0, key_1 = _key(uid)
    if slots == 1:
        drawn = prepared.draw(rows, key_0, key_1)
        if drawn[0] >= 0:
            return [tuple.__new__(Choice, drawn)]  # its own constructor is Python's, and slower
    elif slate := prepared.slate(rows, slots, key_0, key_1):
        return [Choice(*filled) for filled in slate]
    raise ValueError(f"candidates must be arm rows from 0 to {prepared.n_arms - 1}")


def choose_each(
    policy: Policy,
    prepared: Prepared,
    candidates: Sequence[NDArray[np.int64]],
    uids: Sequence[bytes],
) -> list[Choice]:
    """Fill the first slot of several decisions, each as `choose` does, in one compiled call.

    Args:
        policy: as for `choose`.
        prepared: as for `choose`.
        candidates: of each decision, as for `choose`; none is empty or None.
        uids: of each.

    Raises:
        ValueError: as `choose`, for any of them.
    """
    if prepared.floor != policy.floor:
        raise ValueError(f"prepared has floor {prepared.floor}, but the policy {policy.floor}")
    if not all(map(len, candidates)):
        raise ValueError("candidates is empty; give at least one arm row")
    if len(uids) != len(candidates):
        raise ValueError(f"{len(candidates)} decisions have {len(uids)} uids; give one for each")
    if any(len(uid) != UID_BYTES for uid in uids):
        raise ValueError(f"uids must be {UID_BYTES} bytes each")
    ends = np.array(list(accumulate(map(len, candidates))), _INT64)
    keys = np.frombuffer(bytearray(b"".join(uids)), _KEY).reshape(-1, 2)
    drawn = prepared.draw_each(_packed(np.concatenate(candidates)), ends, keys).tolist()
    if any(row < 0 for row, _, _ in drawn):
        raise ValueError(f"candidates must be arm rows from 0 to {prepared.n_arms - 1}")
    return [tuple.__new__(Choice, each) for each in drawn]


def _packed(candidates: Sequence[int] | NDArray[np.int64]) -> NDArray[np.int64]:
    """Candidates as the kind of array that all kernels are compiled for: contiguous, of one's own memory.

    Packing a list is several times faster than numpy's conversion, and refuses fractions.
    """
    if isinstance(candidates, np.ndarray):
        if candidates.dtype is _INT64 and candidates.flags.carray:
            return candidates  # nearly always; what follows costs as much as a small draw
        if candidates.dtype.kind not in "iu":
            raise ValueError(f"candidates must be arm rows, not {candidates.dtype}")
        rows = np.ascontiguousarray(candidates, _INT64)
        return rows if rows.flags.writeable else rows.copy()
    try:
        return np.frombuffer(bytearray(struct.pack(f"{len(candidates)}q", *candidates)), _INT64)
    except struct.error as error:
        raise ValueError(f"candidates must be arm rows: {error}") from error


def _key(uid: bytes) -> tuple[int, int]:
    try:
        return _halves(uid)
    except struct.error:
        raise ValueError(f"uid must be {UID_BYTES} bytes, not {len(uid)}") from None
