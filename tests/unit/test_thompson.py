"""Thompson's machinery: grids, incremental rows, fallbacks, and arithmetic without a platform."""

import inspect
import math

import numpy as np
import pytest

from pullarm.policies import elementary, quadrature
from pullarm.policies.base import Offer
from pullarm.policies.grid import Grid
from pullarm.policies.planning import MAX_PANELS
from pullarm.policies.posterior import Posterior
from pullarm.policies.slab import Slab
from pullarm.policies.thompson import PreparedThompson, Thompson
from tests.posteriors import classes, posterior

POLICY = Thompson()


def some_posterior(n_arms: int = 30, seed: int = 1) -> Posterior:
    rng = np.random.default_rng(seed)
    serves = rng.integers(0, 1000, n_arms)
    return posterior(serves, rng.binomial(serves, 0.2))


def changed(given: Posterior, rows: list[int]) -> Posterior:
    serves, rewards = given.serves_micro.copy(), given.rewards_micro.copy()
    serves[rows] += 1_000_000
    rewards[rows] += 250_000
    return Posterior(serves_micro=serves, rewards_micro=rewards)


def all_weights(ready: PreparedThompson) -> bytes:
    return ready.weights(Offer.of(range(ready.n_arms))).tobytes()


def test_a_grid_survives_its_bytes() -> None:
    grid = POLICY.plan_grid(some_posterior(), None).numbered(7)
    again = Grid.from_bytes(7, grid.to_bytes())
    assert again.number == 7
    assert again.points.tobytes() == grid.points.tobytes()


@pytest.mark.parametrize(
    "points", [[0.5], [0.0, 0.0], [0.2, 0.1], [-0.1, 1.0], [0.0, 1.6], [0.0, math.nan]]
)
def test_a_bad_grid_is_refused(points: list[float]) -> None:
    with pytest.raises(ValueError, match="grid points must"):
        Grid(number=1, points=np.array(points))


def test_the_grid_stays_while_it_serves_and_goes_when_arms_mature() -> None:
    given = some_posterior()
    grid = POLICY.plan_grid(given, None)
    assert POLICY.plan_grid(given, grid) is grid
    assert POLICY.plan_grid(changed(given, [3, 4]), grid) is grid
    matured = Posterior(
        serves_micro=given.serves_micro * 20, rewards_micro=given.rewards_micro * 20
    )
    finer = POLICY.plan_grid(matured, grid)
    assert finer is not grid
    assert len(finer.points) > len(grid.points)
    assert POLICY.plan_grid(given, finer) is not finer  # needlessly fine now


def test_a_grid_does_not_serve_arms_it_does_not_reach() -> None:
    """An unserved arm on the grid of mature ones: Beta(1, 1) reaches everywhere."""
    old = posterior([10_000, 10_000], [1000, 1010])
    grid = POLICY.plan_grid(old, None)
    joined = posterior([10_000, 10_000, 0], [1000, 1010, 0])
    with pytest.raises(ValueError, match="the grid misses arm row 2; plan it"):
        POLICY.prepare(joined, grid=grid)
    wider = POLICY.plan_grid(joined, grid)
    assert wider is not grid
    weights = POLICY.prepare(joined, grid=wider).weights(Offer.of([0, 1, 2]))
    assert weights[2] == pytest.approx(0.9, abs=0.01)


def test_no_grid_is_an_error_and_no_arms_are_none() -> None:
    with pytest.raises(ValueError, match="needs the grid"):
        POLICY.prepare(some_posterior(), grid=None)
    nobody = posterior([], [])
    grid = POLICY.plan_grid(nobody, None)
    assert POLICY.plan_grid(nobody, grid) is grid
    assert POLICY.prepare(nobody, grid=grid).n_arms == 0


def test_changed_rows_on_a_kept_grid_equal_a_preparation_from_nothing() -> None:
    given = some_posterior()
    grid = POLICY.plan_grid(given, None)
    ready = POLICY.prepare(given, grid=grid)
    before = all_weights(ready)
    for step in range(40):  # more than the slab's spare room holds
        given = changed(given, [step % 30, (7 * step) % 30])
        newer = POLICY.prepare(given, grid=grid, previous=ready)
        assert all_weights(newer) == all_weights(POLICY.prepare(given, grid=grid))
        if step == 0:
            assert newer.slab is ready.slab
            assert all_weights(ready) == before
        ready = newer


def test_a_full_slab_is_replaced() -> None:
    given = some_posterior(200)
    grid = POLICY.plan_grid(given, None)
    first = ready = POLICY.prepare(given, grid=grid)
    for _ in range(4):
        given = changed(given, list(range(200)))
        ready = POLICY.prepare(given, grid=grid, previous=ready)
    assert ready.slab is not first.slab
    assert all_weights(ready) == all_weights(POLICY.prepare(given, grid=grid))


def test_a_slab_hands_out_space_once() -> None:
    slab = Slab(10)
    assert [slab.take(4), slab.take(6), slab.take(1), slab.take(0)] == [0, 4, None, 10]


def test_arms_that_join_are_appended() -> None:
    wide = posterior([5] * 4, [1] * 4)
    grid = POLICY.plan_grid(wide, None)
    ready = POLICY.prepare(wide, grid=grid)
    joined = posterior([5] * 6, [1, 1, 1, 1, 2, 0])
    newer = POLICY.prepare(joined, grid=grid, previous=ready)
    assert newer.n_arms == 6
    assert all_weights(newer) == all_weights(POLICY.prepare(joined, grid=grid))


def test_other_priors_and_other_grids_start_from_nothing() -> None:
    given = some_posterior()
    grid = POLICY.plan_grid(given, None)
    ready = POLICY.prepare(given, grid=grid)
    sceptic = Thompson(prior_beta=20.0)
    own = sceptic.plan_grid(given, None)
    assert all_weights(sceptic.prepare(given, grid=own, previous=ready)) == all_weights(
        sceptic.prepare(given, grid=own)
    )


def test_the_number_of_panels_is_bounded_and_nothing_falls_between() -> None:
    """10^9 serves an arm are far finer than the grid: the best still wins, each subset answers."""
    rates = np.random.default_rng(2).permutation(np.linspace(0.05, 0.95, 1000))
    serves = np.full(1000, 1e9)
    given = posterior(serves, np.rint(serves * rates))
    grid = POLICY.plan_grid(given, None)
    assert len(grid.points) <= MAX_PANELS + 1
    ready = POLICY.prepare(given, grid=grid)
    for rows in np.random.default_rng(3).choice(1000, (50, 20)):
        offer = Offer.of(rows)
        weights = ready.weights(offer)
        ranked = np.sort(rates[offer.rows])
        if ranked[-1] - ranked[-2] > 0.005:
            assert weights[np.argmax(rates[offer.rows])] > 0.99


def test_an_empty_contest_goes_to_the_arms_that_reach_it() -> None:
    """Rows of zeros give no total: arms 1 and 2 end at node 6 or above, arm 0 below it."""
    places = np.array([[0, 0, 5], [0, 2, 7], [0, 6, 9]])
    slab = np.zeros(20, dtype=np.float32)
    weights = quadrature.probability_best(slab, places, np.arange(3))
    assert weights.tolist() == [0.0, 0.5, 0.5]


@pytest.mark.parametrize("name", ["exp", "log"])
def test_elementary_functions_are_accurate_and_the_same_without_a_compiler(name: str) -> None:
    """A compiler that fused a multiplication with an addition would change the last bit."""
    rng = np.random.default_rng(4)
    compiled = getattr(elementary, name)
    interpreted, true = inspect.unwrap(compiled), getattr(math, name)
    points = rng.uniform(-690.0, 1.0, 2000) if name == "exp" else 10.0 ** rng.uniform(-300, 9, 2000)
    for x in points.tolist():
        assert compiled(x) == interpreted(x)
        assert compiled(x) == pytest.approx(true(x), rel=1e-15)
    assert elementary.exp(-1e4) == 0.0
    assert elementary.log(1.0) == 0.0


def test_a_row_holds_the_distribution_function() -> None:
    """For Beta(2, 1) the CDF is rate^2, and in the angle the density is 4 sin^3 cos."""
    given = posterior([1], [1])
    grid = POLICY.plan_grid(given, None)
    ready = POLICY.prepare(given, grid=grid)
    low, high = ready.places[0, 1:]
    logs, hazards = ready.slab.values[: 2 * (high - low)].reshape(2, -1)
    angles = ready.tables.nodes[low:high]
    cdf = np.sin(angles) ** 4
    assert logs == pytest.approx(np.log(cdf), rel=1e-6, abs=1e-9)
    density = 4.0 * np.sin(angles) ** 3 * np.cos(angles)
    assert hazards == pytest.approx(ready.tables.weights[low:high] * density / cdf, rel=1e-5)


@pytest.mark.parametrize("seed", range(3))
def test_quadrature_sums_to_one_before_it_is_normalised(seed: int) -> None:
    """Each row integrates to 1 by itself: sum of weight times density over the nodes."""
    for given in classes(np.random.default_rng(seed), 20).values():
        ready = POLICY.prepare(given, grid=POLICY.plan_grid(given, None))
        for row in range(ready.n_arms):
            start, low, high = ready.places[row]
            row_values = ready.slab.values[start : start + 2 * (high - low)].astype(float)
            logs, hazards = row_values.reshape(2, -1)
            assert (np.exp(logs) * hazards).sum() == pytest.approx(1.0, abs=2e-3)
