"""The events of an experiment as they came, read back from the ledger's rows."""

from collections.abc import AsyncIterator
from uuid import UUID

from pullarm.domain.decision import Batch
from pullarm.storage.postgres.database import Database, queries
from pullarm.storage.postgres.rows import decision_of, reward_of, token_of

_SQL = queries("recall")
PAGE_DECISIONS = 2_000


async def recall(database: Database, experiment: int) -> AsyncIterator[Batch]:
    """All of them, each once, a page of decisions with their rewards and voids at a time.

    Folded into an empty ledger they give the posterior that this one must have. What serving told of itself, and which
    candidates were to become arms, is not among them. Pages are short transactions, as those of an export.
    """
    behind = UUID(int=0)
    while True:
        async with database.snapshot() as connection:
            found = await connection.fetch(_SQL["decisions"], experiment, behind, PAGE_DECISIONS)
            rewards = await connection.fetch(_SQL["rewards"], [row["uid"] for row in found])
        if not found:
            return
        behind = found[-1]["uid"]
        tokens = {row["uid"]: token_of(row) for row in found}
        yield Batch(
            [decision_of(row, tokens[row["uid"]]) for row in found if not row["stub"]],
            [reward_of(row, tokens[row["uid"]]) for row in rewards],
            [tokens[row["uid"]] for row in found if row["voided"]],
        )
