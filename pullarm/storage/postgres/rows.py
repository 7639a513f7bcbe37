"""Rows of the ledger as the events that they were made of."""

from asyncpg import Record

from pullarm.domain.decision import Decision, Reward, Token
from pullarm.storage.postgres.times import ms


def token_of(row: Record) -> Token:
    """From a row of `decision`."""
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


def decision_of(row: Record, token: Token) -> Decision:
    """From a row of `decision` that is no stub; without its newcomers, which are not kept."""
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


def reward_of(row: Record, token: Token) -> Reward:
    """From a row of `reward`, and its decision's token."""
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
