"""A made-up catalogue with stated click rates, for a machine that holds no data set."""

from collections.abc import Iterator

import numpy as np

from replay.traffic import BLOCK_VISITS, ArmSpec, Block, Visit, check_handful

# 2.0 % to 11.5 % in steps of half a point; the factor 7 keeps the arms' order from giving it away.
CLICK_RATES = tuple((20 + 5 * (7 * arm % 20)) / 1000 for arm in range(20))


class Visits:
    """Made-up users before random candidates; each is clicked with its arm's stated rate."""

    label = "SYNTHETIC catalogue: 20 made-up arms with stated click rates, made-up users"

    def __init__(self, *, seed: int, handful: int = 10, users: int = 20_000) -> None:
        """Raises ValueError where `handful` does not fit the catalogue or nobody can visit."""
        check_handful(handful, len(CLICK_RATES))
        if users < 1:
            raise ValueError(f"users must be at least 1, not {users}")
        self._seed = seed
        self._handful = handful
        self._user_ids = [f"synthetic-user-{user}" for user in range(users)]
        self.arms = tuple(
            ArmSpec(id=f"synthetic-{arm:02d}", label=f"Synthetic {arm:02d}, click rate {rate:.1%}")
            for arm, rate in enumerate(CLICK_RATES)
        )

    def visits(self) -> Iterator[Visit]:
        """Endless; every call starts again from the seed."""
        arm_ids = [arm.id for arm in self.arms]
        for block in self.blocks():
            yield from block.visits(self._user_ids, arm_ids)

    def blocks(self) -> Iterator[Block]:
        """The same visits as index arrays."""
        rng = np.random.Generator(np.random.PCG64(self._seed))
        rate = np.array(CLICK_RATES)
        size = np.full(BLOCK_VISITS, self._handful)
        while True:
            user = rng.integers(len(self._user_ids), size=BLOCK_VISITS)
            key = rng.random((BLOCK_VISITS, len(rate)))
            candidates = np.argsort(key, axis=1, kind="stable")[:, : self._handful]
            clicked = rng.random(candidates.shape) < rate[candidates]
            outcomes = clicked.astype(np.int8)
            yield Block(user=user, candidates=candidates, outcomes=outcomes, size=size)
