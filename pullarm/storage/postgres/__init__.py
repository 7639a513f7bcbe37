"""PostgreSQL: the ledger, the experiments and everything that has to be provable."""

from pullarm.storage.postgres.database import Database
from pullarm.storage.postgres.erasure import PostgresErasure
from pullarm.storage.postgres.experiments import PostgresExperiments
from pullarm.storage.postgres.groups import PostgresGroups
from pullarm.storage.postgres.history import PostgresHistory
from pullarm.storage.postgres.intake import PostgresIntake
from pullarm.storage.postgres.ledger import PostgresLedger
from pullarm.storage.postgres.migrate import migrate
from pullarm.storage.postgres.publications import PostgresPublications
from pullarm.storage.postgres.repair import PostgresRepair
from pullarm.storage.postgres.rollups import PostgresStatistics
from pullarm.storage.postgres.series import PostgresSeries
from pullarm.storage.postgres.summary import PostgresSummary
from pullarm.storage.postgres.tokens import PostgresTokens
from pullarm.storage.postgres.trail import PostgresTrail
from pullarm.storage.postgres.user_groups import PostgresUserGroups

__all__ = [
    "Database",
    "PostgresErasure",
    "PostgresExperiments",
    "PostgresGroups",
    "PostgresHistory",
    "PostgresIntake",
    "PostgresLedger",
    "PostgresPublications",
    "PostgresRepair",
    "PostgresSeries",
    "PostgresStatistics",
    "PostgresSummary",
    "PostgresTokens",
    "PostgresTrail",
    "PostgresUserGroups",
    "migrate",
]
