"""The adaptively valid rates of arms, as far as they are (docs/decisions/0026)."""

from pullarm.domain.arm_rates import ArmCell, ArmRates, LeftOut
from pullarm.domain.decision import uid_ms
from pullarm.storage.postgres.database import Database, queries
from pullarm.storage.postgres.times import at

_SQL = queries("arm_rates")


class PostgresArmRates:
    """Reads the sums that workers keep."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def read(self, experiment: int) -> ArmRates:
        """The sums as they are, and what they are of."""
        async with self._database.snapshot() as connection:
            head = await connection.fetchrow(_SQL["head"], experiment)
            cells = await connection.fetch(_SQL["newest"], experiment)
            days = await connection.fetchrow(_SQL["days"], experiment)
        assert days is not None  # an aggregate has one row
        reached = uid_ms(head["next_uid"].bytes) if head else 0
        return ArmRates(
            decided_before=at(reached) if reached else None,
            mature_before=head["mature_before"] if head else None,
            counted=days["counted"],
            left_out=LeftOut(
                hashed=days["hashed"],
                other_kernel=days["other_kernel"],
                unpublished=days["unpublished"],
                differing=days["differing"],
            ),
            cells=tuple(
                ArmCell(
                    allocation_epoch=row["allocation_epoch"],
                    policy=row["policy"],
                    arm_no=row["arm_no"],
                    counts=(row["offered"], row["served"], row["rewarded"], row["credit"]),
                    scored=(row["h"], row["hg"], row["hh"], row["hhg"], row["hhgg"]),
                )
                for row in cells
            ),
        )
