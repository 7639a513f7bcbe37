"""The outbox of alerts: written where something happens, delivered from here until it is taken or given up."""

from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from datetime import timedelta

from pullarm.domain.alert import Alert, Delivery, Level
from pullarm.storage.postgres.database import Connection, Database, queries
from pullarm.storage.postgres.times import at

_SQL = queries("alerts")
TOLD_AGAIN_AFTER = timedelta(hours=6)


class PostgresAlerts:
    """The outbox."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def put(self, alert: Alert, channels: Mapping[str, Level], now_ms: int) -> None:
        """Keep an alert for the channels that take its level, unless the same was told lately."""
        async with self._database.transaction() as connection:
            await put(connection, alert, channels, now_ms)

    @asynccontextmanager
    async def next(self, channel: str, now_ms: int) -> AsyncIterator["Handed | None"]:
        """The oldest delivery of a channel that is due, for nobody else meanwhile; None where there is none."""
        async with self._database.transaction() as connection:
            row = await connection.fetchrow(_SQL["due"], channel, at(now_ms))
            if row is None:
                yield None
                return
            alert = Alert(
                key=row["key"],
                level=Level(row["level"]),
                title=row["title"],
                text=row["text"],
                experiment=row["experiment_id"],
            )
            delivery = Delivery(
                alert_no=row["alert_no"], at=row["at"], alert=alert, attempts=row["attempts"]
            )
            yield Handed(connection, channel, delivery)


class Handed:
    """One delivery, to be told how it went."""

    def __init__(self, connection: Connection, channel: str, delivery: Delivery) -> None:
        self.delivery = delivery
        self._connection = connection
        self._channel = channel

    async def delivered(self, now_ms: int) -> None:
        """It was taken."""
        await self._connection.execute(
            _SQL["delivered"], self.delivery.alert_no, self._channel, at(now_ms)
        )

    async def failed(self, problem: str, again_ms: int | None) -> None:
        """It was not; try again at that time, or (None) never."""
        again = None if again_ms is None else at(again_ms)
        await self._connection.execute(
            _SQL["failed"], self.delivery.alert_no, self._channel, again, problem
        )


async def put(
    connection: Connection, alert: Alert, channels: Mapping[str, Level], now_ms: int
) -> None:
    """As `PostgresAlerts.put`, within the caller's transaction."""
    takers = [name for name, least in channels.items() if alert.level.rank >= least.rank]
    await connection.execute(
        _SQL["raise"],
        at(now_ms),
        alert.key,
        alert.level.value,
        alert.experiment,
        alert.title,
        alert.text,
        at(now_ms) - TOLD_AGAIN_AFTER,
        takers,
    )
