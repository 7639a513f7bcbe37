"""What was published under weights is found again to the last integer, and decisions made from it are redone."""

from collections.abc import AsyncIterator
from contextlib import suppress
from dataclasses import replace
from random import Random

import pytest

from pullarm.domain.audit import Author
from pullarm.domain.errors import NotFound
from pullarm.domain.experiment import Learning
from pullarm.domain.rebuild import Exclusion
from pullarm.storage.postgres import (
    PostgresHistory,
    PostgresLedger,
    PostgresPublications,
    PostgresRepair,
)
from pullarm.storage.postgres.retention import PostgresRetention
from pullarm.storage.postgres.times import at
from replay.explain import Verdict, redo
from tests.builders import ask, query
from tests.ledger_events import HOUR_MS, START_MS, THOMPSON, Event, Events
from tests.publishing import Scene, publishing
from tests.weighted import ALL, AT_CLOSE, HALVED, MINUTE_MS, WEIGHTED, published, running, some_days
from workers.publisher import Publisher


@pytest.fixture
async def scene(database_url: str, redis_url: str) -> AsyncIterator[Scene]:
    async with publishing(database_url, redis_url) as scene:
        yield scene


def _eventful(make: Events, number: int, random: Random, now_ms: int) -> list[Event]:
    """What happens between two looks: some of it to decisions long past, or taken back."""
    events: list[Event] = []
    for _ in range(6):
        token = make.token(
            number,
            at_ms=now_ms - random.randrange(6 * HOUR_MS),
            acting=random.choice([THOMPSON, 3, 4]),
            arms=[random.choice([1, 2])],
        )
        events.append(make.decision(token))
        if random.random() < 0.5:
            events.append(make.reward(token, credit=random.choice([1.0, 0.123457])))
        if random.random() < 0.2:
            events.append(token)
    return events


async def test_every_publication_is_found_again_to_the_last_integer(scene: Scene) -> None:
    """Random histories under changing weights, with rebuilds among them, over two days."""
    publications = PostgresPublications(scene.database, checkpoint_folds=2)
    scene.publisher = Publisher(publications, scene.board, scene.clock)
    repair, author = PostgresRepair(scene.database), Author("somebody", "command", "")
    history, random, there_was = PostgresHistory(scene.database), Random(8), {}
    experiment = await running(scene, ALL)
    number = experiment.number
    for _ in range(120):
        scene.clock.now_ms += random.choice([0, 0, MINUTE_MS, 7 * MINUTE_MS, HOUR_MS])
        if random.random() < 0.05:
            learning = random.choice([Learning(), WEIGHTED, HALVED, AT_CLOSE, ALL])
            spec = replace(experiment.spec, learning=learning)
            experiment = await scene.revise(experiment, spec)
        await scene.fold(*_eventful(scene.make, number, random, scene.clock.now_ms))
        if random.random() < 0.15:
            now_ms = scene.clock.now_ms
            excluded = Exclusion(from_at=at(now_ms - 4 * HOUR_MS), to_at=at(now_ms - HOUR_MS))
            await repair.rebuild(number, excluded, author, at(now_ms))
        if random.random() < 0.7:
            await scene.publisher.publish_due()
            then = await published(scene, number)
            there_was[then.head.pub_no] = then.posteriors
    assert len({p.complete for p in scene.board.handed}) == 2
    async with scene.database.connection() as connection:
        weightings = await connection.fetchval("SELECT count(*) FROM weighting")
        assert await connection.fetchval("SELECT count(*) FROM weighted_checkpoint") > weightings
    for pub_no, posteriors in there_was.items():
        found = await history.published(number, pub_no)
        assert found.posteriors == posteriors, (pub_no, found.weighting)
    assert await PostgresLedger(scene.database).verify(number) == []
    await check_without_its_first_days(scene, number, there_was)


async def check_without_its_first_days(
    scene: Scene, number: int, there_was: dict[int, dict[int, bytes]]
) -> None:
    """What came after the removed rows is found as before, and all else is an error."""
    history, retention = PostgresHistory(scene.database), PostgresRetention(scene.database)
    days = [stored.day for stored in await retention.days()]
    for day in days[:-1]:
        await retention.remove(day, scene.clock.now_ms)
    assert await retention.prune() > 0
    found = {}
    for pub_no in there_was:
        with suppress(NotFound):
            found[pub_no] = (await history.published(number, pub_no)).posteriors
    assert 5 < len(found) < len(there_was)
    assert found == {pub_no: there_was[pub_no] for pub_no in found}
    assert max(found) == max(there_was)
    assert await PostgresLedger(scene.database).verify(number) == []
    async with scene.database.connection() as connection:
        for weights in ("weighting", "weighted_checkpoint"):
            first = await connection.fetchval(f"SELECT min(weighting_no) FROM {weights}")
            assert first == await connection.fetchval(
                "SELECT min(weighting_no) FROM publication WHERE weighting_no > 0"
            )


async def test_decisions_of_a_weighted_experiment_are_redone_exactly(scene: Scene) -> None:
    """As `pullarm explain` does, from the ledger as it is a day later."""
    experiment = await running(scene, ALL)
    number, history = experiment.number, PostgresHistory(scene.database)
    await some_days(scene, number, Random(9), hours=30)
    scene.clock.now_ms = START_MS + 30 * HOUR_MS
    await scene.publisher.publish_due()
    await scene.publisher.audit()
    uids = []
    for user in range(60):
        await scene.served(number)
        asked = query("one", "two", reference=experiment.id, user=f"user-{user}")
        decision = ask(scene.refresher.snapshot, asked, entropy=user.to_bytes(10, "big")).decision
        uids.append(decision.token.uid)
        await scene.fold(decision, scene.make.reward(decision.token))
        scene.clock.now_ms += 2 * MINUTE_MS
        await scene.publisher.publish_due()
    await some_days(scene, number, Random(10), hours=30)
    verdicts = set()
    for uid in uids:
        logged = (await history.logged(uid)).decision
        assert logged is not None
        found = await history.published(number, logged.pub_no)
        assert found.weighting is not None
        verdicts.add(redo(logged, found).verdict)
    assert verdicts == {Verdict.REPRODUCED}
