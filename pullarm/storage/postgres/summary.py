"""The figures of one experiment, straight from the ledger."""

from asyncpg import Record

from pullarm.domain.decision import NO_EXPERIMENT, Reason, RewardStatus
from pullarm.domain.experiment import POLICY_NAMES, Experiment, Exposure
from pullarm.domain.summary import PolicyFigures, Summary
from pullarm.storage.postgres.database import Database, queries

_SQL = queries("summary")


class PostgresSummary:
    """Answers summaries from the decisions and credits themselves."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def of(self, experiment: Experiment) -> Summary:
        """The figures as of this moment, all from one snapshot."""
        number, reward = experiment.number, experiment.spec.reward
        confirmed = reward.exposure is Exposure.CONFIRMED
        async with self._database.snapshot() as connection:
            policies = await connection.fetch(_SQL["per_policy"], number, reward.learns, confirmed)
            totals = await connection.fetchrow(_SQL["totals"], number)
            voided = await connection.fetch(_SQL["voided"], number)
            reasons = await connection.fetch(_SQL["reasons"], number)
            statuses = await connection.fetch(_SQL["reward_statuses"], number)
            refused = await connection.fetch(_SQL["refused_rewards"], number)
            fold = await connection.fetchrow(_SQL["fold"], number)
        assert totals is not None  # an aggregate has one row
        assert fold is not None  # made with the experiment
        found = {row["policy"]: row for row in policies}
        configured = [POLICY_NAMES[number] for number in sorted(experiment.policy_weights())]
        names = dict.fromkeys([*configured, *(POLICY_NAMES[number] for number in found)])
        by_name = {POLICY_NAMES[number]: row for number, row in found.items()}
        return Summary(
            policies={name: _figures(by_name.get(name)) for name in names},
            decisions=totals["decisions"],
            rewards_received=sum(row["rewards"] for row in statuses),
            duplicate_rewards=sum(row["rewards"] - row["distinct_rewards"] for row in statuses),
            decisions_by_reason={Reason(r["reason"]).name: r["decisions"] for r in reasons},
            rewards_by_status={RewardStatus(r["status"]).name: r["rewards"] for r in statuses},
            refused_rewards=_refused(refused, number),
            unattributed_rewards=_refused(refused, NO_EXPERIMENT),
            voided={POLICY_NAMES[row["policy"]]: row["decisions"] for row in voided},
            unlisted_candidates=totals["unlisted_candidates"],
            withheld_candidates=totals["withheld_candidates"],
            first_decision_at=totals["first_at"],
            last_decision_at=totals["last_at"],
            fold_no=fold["fold_no"],
            posterior_version=fold["pub_no"] or 0,
        )


def _refused(rows: list[Record], experiment: int) -> dict[str, int]:
    return {
        RewardStatus(row["status"]).name: row["rewards"]
        for row in rows
        if row["experiment_id"] == experiment
    }


def _figures(row: Record | None) -> PolicyFigures:
    if row is None:
        return PolicyFigures.of(users=0, serves=0, rewards=0, credit_micro=0, squared_micro=0)
    return PolicyFigures.of(
        users=row["users"],
        serves=row["serves"],
        rewards=row["rewards"],
        credit_micro=row["credit"],
        squared_micro=int(row["credit_squared"]),
    )
