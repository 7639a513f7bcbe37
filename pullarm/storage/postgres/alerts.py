"""The outbox of alerts: written where something happens, delivered from here until it is taken or given up."""

from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from datetime import datetime

from pullarm.domain.alert import TOLD_AGAIN_AFTER, Alert, Delivery, Level
from pullarm.storage.postgres.database import Connection, Database, queries
from pullarm.storage.postgres.times import at

_SQL = queries("alerts")


class PostgresAlerts:
    """The outbox."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def put(self, alert: Alert, now: datetime) -> None:
        """Keep an alert, unless the same was told lately, or since it holds."""
        async with self._database.transaction() as connection:
            await put(connection, alert, now)

    async def hand_out(self, channels: Mapping[str, Level]) -> None:
        """Let each channel have the new alerts from its level on."""
        takes = [
            (name, level)
            for name in channels
            for level in Level
            if level.rank >= channels[name].rank
        ]
        names, levels = [name for name, _ in takes], [level.value for _, level in takes]
        async with self._database.connection() as connection:
            await connection.execute(_SQL["hand_out"], names, levels)

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


async def put(connection: Connection, alert: Alert, now: datetime) -> None:
    """As `PostgresAlerts.put`, within the caller's transaction."""
    lately = now - TOLD_AGAIN_AFTER
    await connection.execute(
        _SQL["raise"],
        now,
        alert.key,
        alert.level.value,
        alert.experiment,
        alert.title,
        alert.text,
        lately if alert.began_at is None else min(lately, alert.began_at),
    )
