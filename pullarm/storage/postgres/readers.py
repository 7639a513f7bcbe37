"""All that reads an experiment's figures and log, together."""

from dataclasses import dataclass
from typing import Self

from pullarm.storage.postgres.arm_rates import PostgresArmRates
from pullarm.storage.postgres.database import Database
from pullarm.storage.postgres.decisions import PostgresDecisions
from pullarm.storage.postgres.epochs import PostgresEpochs
from pullarm.storage.postgres.export import PostgresExport
from pullarm.storage.postgres.history import PostgresHistory
from pullarm.storage.postgres.latency import PostgresLatency
from pullarm.storage.postgres.series import PostgresSeries
from pullarm.storage.postgres.summary import PostgresSummary
from pullarm.storage.postgres.user_groups import PostgresUserGroups


@dataclass(frozen=True, slots=True, kw_only=True)
class PostgresReaders:
    """One reader of each kind over the same database."""

    summary: PostgresSummary
    series: PostgresSeries
    arm_rates: PostgresArmRates
    groups: PostgresUserGroups
    latency: PostgresLatency
    epochs: PostgresEpochs
    decisions: PostgresDecisions
    export: PostgresExport
    history: PostgresHistory

    @classmethod
    def of(cls, database: Database) -> Self:
        """Over this one."""
        return cls(
            summary=PostgresSummary(database),
            series=PostgresSeries(database),
            arm_rates=PostgresArmRates(database),
            groups=PostgresUserGroups(database),
            latency=PostgresLatency(database),
            epochs=PostgresEpochs(database),
            decisions=PostgresDecisions(database),
            export=PostgresExport(database),
            history=PostgresHistory(database),
        )
