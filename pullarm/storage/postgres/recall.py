"""The events of an experiment as they came, read back from the ledger's rows."""

from collections.abc import AsyncIterator
from uuid import UUID

import asyncpg

from pullarm.domain.decision import Batch, Decision, Reward, Token
from pullarm.storage.postgres.database import Database, queries
from pullarm.storage.postgres.times import ms

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
        tokens = {row["uid"]: _token(row) for row in found}
        yield Batch(
            [_decision(row, tokens[row["uid"]]) for row in found if not row["stub"]],
            [_reward(row, tokens[row["uid"]]) for row in rewards],
            [tokens[row["uid"]] for row in found if row["voided"]],
        )


def _token(row: asyncpg.Record) -> Token:
    return Token(
        uid=row["uid"].bytes,
        experiment=row["experiment_id"],
        allocation_epoch=row["allocation_epoch"],
        assigned=row["assigned"],
        acting=row["acting"],
        reason=row["reason"],
        learn_slots=row["learn_slots"],
        unit_hash=row["unit_hash"],
        cohort=row["cohort"],
        arms=row["arms"],
    )


def _decision(row: asyncpg.Record, token: Token) -> Decision:
    return Decision(
        token=token,
        config_no=row["config_no"],
        pub_no=row["pub_no"],
        kernel=row["kernel"],
        unit=row["unit"],
        bucket=row["bucket"],
        candidates=row["candidates"],
        weights=row["weights"],
        totals=row["totals"],
        attributes=row["attributes"],
        request_id=row["request_id"],
        unlisted=row["unlisted"],
        newcomers=[],
        candidates_hash=row["candidates_hash"] or 0,
        all_arms=row["all_arms"] or 0,
        withheld=row["withheld"] or 0,
    )


def _reward(row: asyncpg.Record, token: Token) -> Reward:
    return Reward(
        token=token,
        reward_uid=row["reward_uid"].bytes,
        slot=row["slot"],
        kind=row["kind"],
        reward_id=row["reward_id"],
        source=row["source"],
        value=row["value"],
        credit_micro=row["credit"],
        feeds=row["feeds"],
        retract=row["retract"],
        status=row["status"],
        occurred_ms=ms(row["occurred_at"]),
    )
