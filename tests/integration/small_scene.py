"""One experiment with a few units."""

from dataclasses import dataclass, field

from pullarm.domain.decision import Token
from pullarm.domain.summary import Summary
from pullarm.storage.postgres import (
    PostgresStatistics,
    PostgresSummary,
)
from tests.integration.ledger_scene import LedgerScene
from tests.ledger_events import HOUR_MS, START_MS, Events


@dataclass
class Small:
    """One experiment, and figures that catch up when they are asked for."""

    scene: LedgerScene
    number: int
    make: Events = field(default_factory=Events)

    def __post_init__(self) -> None:
        self.statistics = PostgresStatistics(self.scene.database)
        self.summaries = PostgresSummary(self.scene.database)

    def token(self, unit: int, *, policy: int = 2, epoch: int = 1, hour: int = 0) -> Token:
        made = self.make.token(self.number, acting=policy, at_ms=START_MS + hour * HOUR_MS)
        return made._replace(unit_hash=unit, allocation_epoch=epoch)

    async def serve(self, *tokens: Token) -> None:
        await self.scene.fold(map(self.make.decision, tokens))

    async def summary(self) -> Summary:
        summary = await self.scene.summary(self.number)
        assert await self.statistics.verify(self.number) == []
        return summary

    async def execute(self, statement: str) -> None:
        async with self.scene.database.connection() as connection:
            await connection.execute(statement)
