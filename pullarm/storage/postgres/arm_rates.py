"""The adaptively valid rates of arms, as far as they are (docs/decisions/0026)."""

import numpy as np

from pullarm.domain.arm_rates import LeftOut, RatesCut
from pullarm.domain.decision import uid_ms
from pullarm.statistics.arm_rates import ArmCells, ArmSums
from pullarm.storage.postgres.database import Database, queries
from pullarm.storage.postgres.packed import columns
from pullarm.storage.postgres.times import at

_SQL = queries("arm_rates")
_KEYS = ("allocation_epoch", "policy", "arm_no")
_COUNTS = ("offered", "served", "rewarded", "credit")
_SCORED = ("h", "hg", "hh", "hhg", "hhgg")


class PostgresArmRates:
    """Reads the sums that workers keep."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def read(self, experiment: int) -> tuple[RatesCut, ArmCells]:
        """What the sums are of, and the sums as they are."""
        async with self._database.snapshot() as connection:
            head = await connection.fetchrow(_SQL["head"], experiment)
            newest = await connection.fetchrow(_SQL["newest"], experiment)
            days = await connection.fetchrow(_SQL["days"], experiment)
        assert days is not None  # an aggregate has one row
        reached = uid_ms(head["next_uid"].bytes) if head else 0
        cut = RatesCut(
            decided_before=at(reached) if reached else None,
            mature_before=head["mature_before"] if head else None,
            counted=days["counted"],
            left_out=LeftOut(
                hashed=days["hashed"],
                other_kernel=days["other_kernel"],
                unpublished=days["unpublished"],
                differing=days["differing"],
            ),
        )
        found = columns(newest)
        order = np.lexsort([found[name] for name in reversed(_KEYS)])
        epochs, policies, arm_nos = (found[name][order].astype(np.int64) for name in _KEYS)
        sums = ArmSums(
            counts=np.stack([found[name][order] for name in _COUNTS], axis=1),
            scored=np.stack([found[name][order] for name in _SCORED], axis=1).astype(np.float64),
        )
        return cut, ArmCells(
            allocation_epochs=epochs, policies=policies, arm_nos=arm_nos, sums=sums
        )
