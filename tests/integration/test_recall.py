"""What the ledger holds of an experiment comes back as the events it was."""

import pytest

from pullarm.domain.decision import RewardStatus
from pullarm.storage import events
from pullarm.storage.postgres import Database, PostgresExperiments, PostgresLedger
from pullarm.storage.postgres import recall as module
from pullarm.storage.postgres.recall import recall
from tests.ledger_events import START_MS, Events, batch, draft


async def test_events_are_read_back_as_they_came(
    database_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "PAGE_DECISIONS", 3)
    make = Events()
    async with Database(database_url) as database:
        experiments, ledger = PostgresExperiments(database), PostgresLedger(database)
        one, other = [(await experiments.create(draft(key), START_MS)).number for key in "ab"]
        tokens = [make.token(one, arms=(2, 0, 1), learn_slots=2) for _ in range(8)]
        decided = [make.decision(token)._replace(request_id="r") for token in tokens[:6]]
        decided[0] = decided[0]._replace(candidates=b"", candidates_hash=-5, withheld=2)
        decided[1] = decided[1]._replace(candidates=b"", all_arms=2, unlisted=1)
        rewards = [
            make.reward(tokens[2], credit=0.25, slot=2, kind="buy", reward_id="a", feeds=False),
            make.reward(tokens[2], credit=0.5, reward_id="a", retract=True, after_ms=5_000),
            make.reward(tokens[7], status=RewardStatus.LATE),  # of a decision that never came
        ]
        voided = tokens[4:7]  # the last of them, too
        logged = batch(*decided, *rewards, *voided)
        await ledger.fold(logged, START_MS)
        await ledger.fold(batch(make.decision(make.token(other))), START_MS)
        pages = [page async for page in recall(database, one)]
        assert len(pages) == 3
        found = events.merge(pages)
        assert [sorted(kind) for kind in found[:3]] == [sorted(kind) for kind in logged[:3]]
        assert found.events() == logged.events()
