"""Small bandit logs of three arms for tests."""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from replay.log import BanditLog, Candidates, LogHead, Offered, batch, in_memory

ARMS = ("a", "b", "c")
RATES = np.array([0.1, 0.3, 0.5])


def bandit_log(
    rows: int = 6_000,
    *,
    seed: int = 11,
    logging: Sequence[float] = (0.5, 0.3, 0.2),
    stated: Sequence[float] | None = None,
    control: int = 0,
    offered: Offered = "listed",
) -> BanditLog:
    """A log of the policy `random`, whose propensities are said to be `stated`, and of so many rows of `control`.

    Every row offers the arms in some order, and control takes the first.
    """
    rng = np.random.default_rng(seed)
    n = rows + control
    order = rng.permuted(np.tile(np.arange(3), (n, 1)), axis=1)
    action = rng.choice(3, size=n, p=logging)
    propensity = np.array(logging if stated is None else stated)[action]
    own = np.arange(n) >= rows
    action[own], propensity[own] = order[own, 0], 1.0
    listed = Candidates(start=np.arange(n + 1) * 3, arm=order.ravel().astype(np.int32))
    head = LogHead(
        name="small",
        arms=ARMS,
        policies=("random", "control") if control else ("random",),
        rows=n,
        offered=offered,
        users_known=True,
    )
    columns = batch(
        action=action,
        propensity=propensity,
        reward=rng.random(n) < RATES[action],
        user=rng.integers(800, size=n),
        policy=own,
        candidates=listed if offered == "listed" else None,
    )
    return in_memory(head, [columns])


def nothing(rows: int) -> None:
    """Progress that nobody watches."""
    del rows


def orders(log: BanditLog) -> NDArray[np.int32]:
    """The arms of each row in the caller's order, (n, 3)."""
    (whole,) = log.batches()
    assert whole.candidates is not None
    return whole.candidates.arm.reshape(-1, 3)
