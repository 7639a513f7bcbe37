"""A written history is one that workers could have folded: everything kept of it is what its rows say."""

from datetime import UTC, datetime

from benchmarks import history
from pullarm.storage.postgres import Database, PostgresLedger, PostgresStatistics, PostgresSummary


async def test_a_history_proves_its_posterior_and_its_roll_ups(database_url: str) -> None:
    async with Database(database_url) as database:
        until = datetime(2026, 8, 1, 12, tzinfo=UTC)
        experiment = await history.write(database, 2_000, until=until, days=1)
        assert await PostgresLedger(database).verify(experiment.number) == []
        assert await PostgresStatistics(database).verify(experiment.number) == []
        summary = await PostgresSummary(database).of(experiment)
    assert summary.decisions == 2_000
    assert summary.data_cut.folds_behind == 0
    assert min(policy.serves for policy in summary.policies.values()) > 400
    assert sum(policy.rewards for policy in summary.policies.values()) == summary.rewards_received
