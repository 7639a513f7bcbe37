"""The one compiled call a decision, against the same decision made slowly, step by step."""

import hashlib
from functools import reduce
from operator import add
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from pullarm.policies import quadrature, registry
from pullarm.policies.base import Offer, Policy, Prepared
from pullarm.policies.draw import Choice, choose, choose_each, draw, integer_weights
from pullarm.policies.grid import Grid
from pullarm.policies.posterior import Posterior
from pullarm.policies.thompson import Thompson
from tests.posteriors import classes, drawn_posterior, posterior, prepared

UID = bytes(range(16))
ALL = [
    *(registry.build(name, {}) for name in ("control", "thompson", "egreedy", "ucb")),
    registry.build("control", {"mode": "uniform"}),
    registry.build("thompson", {"floor": 0.0}),
    registry.build("egreedy", {"epsilon": 0.0}),
    registry.build("ucb", {"floor": 0.0}),
]


def slowly(
    policy: Policy, ready: Prepared, candidates: list[int], slots: int, uid: bytes
) -> list[Choice]:
    """`choose` as its documentation says it, one slot after the other."""
    offer, weights, slate = Offer.of(candidates), np.empty(0), list[Choice]()
    while len(slate) < slots and len(offer.rows):
        if len(slate) < ready.recomputed_slots:
            weights = ready.weights(offer)
        else:
            total = reduce(add, weights.tolist())
            weights = weights / total if total > 0.0 else np.full(len(weights), 1 / len(weights))
        integers = integer_weights(weights, policy.floor)
        index = draw(integers, uid, len(slate))
        slate.append(Choice(int(offer.rows[index]), int(integers[index]), int(integers.sum())))
        weights, offer = np.delete(weights, index), offer.without(index)
    return slate


def catalogue(n_arms: int, seed: int) -> Posterior:
    rng = np.random.default_rng(seed)
    return drawn_posterior(rng, rng.integers(0, 900, n_arms).astype(float), rng.random(n_arms))


@pytest.mark.parametrize("policy", ALL, ids=repr)
@pytest.mark.parametrize("n_arms", [1, 2, 17, 64, 65, 200])
def test_one_call_is_to_the_bit_what_the_steps_give(policy: Policy, n_arms: int) -> None:
    rng = np.random.default_rng(n_arms)
    for seed in range(4):
        ready = prepared(policy, catalogue(n_arms, seed))
        candidates = rng.integers(0, n_arms, rng.integers(1, 2 * n_arms + 1)).tolist()
        uid = rng.bytes(16)
        for slots in (1, 2, 15):
            expected = slowly(policy, ready, candidates, slots, uid)
            assert choose(policy, ready, candidates, slots=slots, uid=uid) == expected


@pytest.mark.parametrize("policy", ALL, ids=repr)
@pytest.mark.parametrize("n_arms", [1, 2, 65])
def test_several_in_one_call_are_to_the_bit_what_each_gives(policy: Policy, n_arms: int) -> None:
    rng = np.random.default_rng(n_arms)
    ready = prepared(policy, catalogue(n_arms, 1))
    for count in (1, 2, 30):
        candidates = [
            rng.integers(0, n_arms, rng.integers(1, 2 * n_arms + 1)) for _ in range(count)
        ]
        uids = [rng.bytes(16) for _ in range(count)]
        expected = [
            choose(policy, ready, rows, slots=1, uid=uid)
            for rows, uid in zip(candidates, uids, strict=True)
        ]
        assert [[each] for each in choose_each(policy, ready, candidates, uids)] == expected


@pytest.mark.parametrize("name", classes(np.random.default_rng(0), 2))
def test_slates_of_every_class_are_to_the_bit_what_the_steps_give(name: str) -> None:
    """Taking an arm out of the sum of logs leaves what the others add up to, wherever they lie."""
    policy = Thompson()
    rng = np.random.default_rng(5)
    ready = prepared(policy, classes(rng, 60)[name])
    for _ in range(5):
        candidates, uid = rng.choice(60, 40, replace=False).tolist(), rng.bytes(16)
        expected = slowly(policy, ready, candidates, 12, uid)
        assert choose(policy, ready, candidates, slots=12, uid=uid) == expected


@pytest.mark.parametrize("name", ["flat", "click rates", "ten and a million", "one to a million"])
def test_sums_of_logs_are_exact(name: str) -> None:
    """A thousand logs: any order gives the same bits, and half of them can be taken out again."""
    rng = np.random.default_rng(6)
    ready = Thompson().prepare(
        given := classes(rng, 1000)[name], grid=Thompson().plan_grid(given, None)
    )
    size = int(ready.places[:, 2].max())

    def added(sums: NDArray[np.float64], rows: NDArray[np.int64]) -> NDArray[np.float64]:
        quadrature.add_logs(sums, ready.slab.values, ready.places, rows, 0, size)
        return sums

    some, others = np.arange(500), np.arange(500, 1000)
    together = added(np.zeros(size), rng.permutation(1000))
    apart = added(added(np.zeros(size), others), some[::-1].copy())
    assert together.tobytes() == apart.tobytes()
    bottom, _ = quadrature.contest(ready.places, np.arange(1000))
    left = np.arange(1000)
    for row in some:
        left = left[1:]
        bottom = quadrature.forget(
            together, ready.slab.values, ready.places, left, int(row), bottom
        )
    assert together[bottom:].tobytes() == added(np.zeros(size), others)[bottom:].tobytes()


@pytest.mark.parametrize("policy", ALL, ids=repr)
@pytest.mark.parametrize("n_arms", [1, 5, 300, 10_000])
def test_the_whole_catalogue_is_to_the_bit_all_its_rows(policy: Policy, n_arms: int) -> None:
    ready = prepared(policy, catalogue(n_arms, 1))
    rng = np.random.default_rng(2)
    everything = list(range(n_arms))
    for slots in (1,) * 60 + (3,):
        uid = rng.bytes(16)
        whole = choose(policy, ready, None, slots=slots, uid=uid)
        assert whole == choose(policy, ready, everything, slots=slots, uid=uid)


@pytest.mark.parametrize("policy", ALL, ids=repr)
def test_the_whole_catalogue_follows_changed_and_joining_arms(policy: Policy) -> None:
    before, after = catalogue(50, 3), catalogue(60, 4)
    everybody = posterior(
        np.concatenate([before.serves_micro, after.serves_micro]) / 1e6,
        np.concatenate([before.rewards_micro, after.rewards_micro]) / 1e6,
    )
    grid = policy.plan_grid(everybody, None)
    old = policy.prepare(before, grid=grid)
    first = choose(policy, old, None, slots=4, uid=UID)
    new = policy.prepare(after, grid=grid, previous=old)
    for slots in (1, 4):
        fresh = choose(policy, policy.prepare(after, grid=grid), None, slots=slots, uid=UID)
        assert choose(policy, new, None, slots=slots, uid=UID) == fresh
    assert choose(policy, old, None, slots=4, uid=UID) == first


@pytest.mark.parametrize("policy", ALL, ids=repr)
@pytest.mark.parametrize("offered", [[0], [64], [1, 2, 63, 64], list(range(3, 65, 2))], ids=len)
def test_the_rows_offered_are_to_the_bit_the_whole_catalogue(
    policy: Policy, offered: list[int]
) -> None:
    given = catalogue(65, 1)
    grid = policy.plan_grid(given, None)
    whole = policy.prepare(given, grid=grid)
    ready = policy.prepare(given, grid=grid, previous=whole, offered=np.array(offered))
    rng = np.random.default_rng(2)
    for slots in (1,) * 60 + (3, 65):
        uid = rng.bytes(16)
        named = choose(policy, whole, offered, slots=slots, uid=uid)
        assert choose(policy, ready, None, slots=slots, uid=uid) == named
    assert choose(policy, ready, [5, 7], slots=2, uid=UID) == choose(
        policy, whole, [5, 7], slots=2, uid=UID
    )


def test_the_whole_of_no_arms_is_refused() -> None:
    policy = registry.build("ucb", {})
    with pytest.raises(ValueError, match="candidates is empty"):
        choose(policy, prepared(policy, posterior([], [])), None, slots=1, uid=UID)


@pytest.mark.parametrize("policy", ALL, ids=repr)
def test_no_rows_offered_are_refused_and_named_ones_are_not(policy: Policy) -> None:
    given = catalogue(5, 1)
    nothing = np.empty(0, dtype=np.int64)
    ready = policy.prepare(given, grid=policy.plan_grid(given, None), offered=nothing)
    with pytest.raises(ValueError, match="candidates is empty"):
        choose(policy, ready, None, slots=1, uid=UID)
    assert choose(policy, ready, [3], slots=1, uid=UID)[0].row == 3


@pytest.mark.parametrize("policy", ALL, ids=repr)
def test_candidates_may_be_any_sequence_of_whole_numbers(policy: Policy) -> None:
    ready = prepared(policy, catalogue(40, 5))
    for slots in (1, 3):
        expected = choose(policy, ready, [5, 6, 7, 8, 9], slots=slots, uid=UID)
        rows = np.arange(5, 10)
        same: Any
        for same in ((5, 6, 7, 8, 9), range(5, 10), rows, rows.astype(np.int32), list(rows)):
            assert choose(policy, ready, same, slots=slots, uid=UID) == expected
        strided = np.arange(5, 15).repeat(2)[:10:2]
        assert choose(policy, ready, strided, slots=slots, uid=UID) == expected


def test_fractions_and_giants_are_no_rows() -> None:
    policy = registry.build("thompson", {})
    ready = prepared(policy, catalogue(4, 6))
    wrong: list[Any] = [[0.5], [2**70], np.array([0.5])]
    for bad in wrong:
        with pytest.raises(ValueError, match="candidates must be arm rows"):
            choose(policy, ready, bad, slots=1, uid=UID)


@pytest.mark.parametrize("slots", [1, 2])
@pytest.mark.parametrize("policy", ALL, ids=repr)
def test_a_bad_row_among_good_ones_is_refused(policy: Policy, slots: int) -> None:
    ready = prepared(policy, catalogue(4, 6))
    for bad in ([0, 4], [3, -1], [0, 2**62], [0, -(2**63)]):
        with pytest.raises(ValueError, match="candidates must be arm rows from 0 to 3"):
            choose(policy, ready, bad, slots=slots, uid=UID)


def test_one_of_several_that_cannot_be_drawn_is_refused() -> None:
    policy = registry.build("thompson", {})
    ready = prepared(policy, catalogue(4, 6))
    good = np.arange(4)
    for bad, uid, message in (
        (np.array([0, 4]), UID, "candidates must be arm rows from 0 to 3"),
        (np.array([0, -1]), UID, "candidates must be arm rows from 0 to 3"),
        (np.array([0.5]), UID, "candidates must be arm rows, not float64"),
        (np.empty(0, np.int64), UID, "candidates is empty"),
        (good, UID[1:], "uids must be 16 bytes each"),
    ):
        with pytest.raises(ValueError, match=message):
            choose_each(policy, ready, [good, bad, good], [UID, uid, UID])
    with pytest.raises(ValueError, match="1 decisions have 2 uids"):
        choose_each(policy, ready, [good], [UID, UID])
    with pytest.raises(ValueError, match=r"prepared has floor 0\.05, but the policy 0\.1"):
        choose_each(registry.build("thompson", {"floor": 0.1}), ready, [good], [UID])


def test_what_another_policy_prepared_is_refused() -> None:
    ready = prepared(Thompson(floor=0.1), catalogue(4, 6))
    with pytest.raises(ValueError, match=r"prepared has floor 0\.1, but the policy 0\.05"):
        choose(Thompson(), ready, [0, 1], slots=1, uid=UID)


# As in test_draw: if one of these fails, count KERNEL up.
DIGESTS = {
    "control": "ac30dcb51fbc6b1e",
    "thompson": "97aaa9e8bf86da51",
    "egreedy": "e256fa991fdde4d5",
    "ucb": "0e1493728221c2a6",
}


@pytest.mark.parametrize("name", DIGESTS)
def test_the_bits_of_long_slates_are_recorded(name: str) -> None:
    policy = registry.build(name, {"mode": "uniform"} if name == "control" else {})
    serves = np.arange(40) ** 2 * 3.0
    learned = posterior(serves, serves * (np.arange(40) % 7 + 1) / 64)
    grid = Grid(number=1, points=np.linspace(0.0, 1.5703125, 97))
    ready = policy.prepare(learned, grid=grid)
    slate = choose(policy, ready, None, slots=14, uid=b"0123456789abcdef")
    bits = repr([tuple(choice) for choice in slate])
    assert hashlib.sha256(bits.encode()).hexdigest()[:16] == DIGESTS[name]
