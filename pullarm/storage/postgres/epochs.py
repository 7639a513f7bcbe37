"""The epochs of an experiment, and what came of each."""

from pullarm.domain.analysis import Epoch
from pullarm.domain.experiment import POLICY_NAMES
from pullarm.domain.summary import PolicyFigures
from pullarm.storage.figures import figures
from pullarm.storage.postgres.database import Database, queries
from pullarm.storage.postgres.summary import sums_of

_SQL = queries("epochs")


class PostgresEpochs:
    """Reads the versions of an experiment that began an epoch."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def of(self, experiment: int) -> list[Epoch]:
        """Oldest first."""
        async with self._database.connection() as connection:
            rows = await connection.fetch(_SQL["epochs"], experiment)
        return [
            Epoch(
                allocation_epoch=row["allocation_epoch"],
                guard_epoch=row["guard_epoch"],
                config_no=row["config_no"],
                began_at=row["at"],
                action=row["action"],
                state=row["state"],
                traffic_pct=row["traffic_pct"],
                buckets=row["buckets"],
            )
            for row in rows
        ]

    async def figures(self, experiment: int) -> dict[int, dict[str, PolicyFigures]]:
        """By allocation epoch and policy, of the units that were shown something in it."""
        async with self._database.connection() as connection:
            rows = await connection.fetch(_SQL["sums"], experiment)
        found: dict[int, dict[str, PolicyFigures]] = {}
        for row in rows:
            of_policy = figures(sums_of(row), row["r"])
            found.setdefault(row["allocation_epoch"], {})[POLICY_NAMES[row["policy"]]] = of_policy
        return found
