"""Whole days are removed while folds go on, and the posterior stays proved; no past is guessed."""

import asyncio
from collections import Counter
from contextlib import suppress
from datetime import timedelta
from functools import partial
from random import Random

import pytest

from pullarm.domain.decision import RewardStatus, Token
from pullarm.domain.errors import Conflict, InvalidInput, NotFound, Refused, Unavailable
from pullarm.domain.experiment import Aggregation, Exposure
from pullarm.domain.rollup import Span
from pullarm.storage.postgres import PostgresLedger, PostgresSummary, PostgresUserGroups
from pullarm.storage.postgres.retention import PostgresRetention
from pullarm.storage.postgres.times import at
from tests.integration.retention_scene import DAY_MS, FIRST, RetentionScene
from tests.ledger_events import HOUR_MS, START_MS, batch
from workers.archive import Archiving
from workers.retention import due, remove_old


async def test_posterior_is_proved_by_opening_balances_and_the_rows_that_are_left(
    scene: RetentionScene,
) -> None:
    """Over every aggregation and exposure; the removed rows, and only they, are gone."""
    random = Random(3)
    numbers = [(await scene.experiment(a, e)).number for a in Aggregation for e in Exposure]
    for day in range(3):
        await scene.eventful_day(numbers, day, random)
    before = [await scene.ledger.posterior(number) for number in numbers]
    left = await scene.count("decision WHERE uid >= uid_floor($1)", at(START_MS + 2 * DAY_MS))
    for day in range(2):
        await scene.retention.remove(FIRST + timedelta(days=day), START_MS)
    assert [await scene.ledger.posterior(number) for number in numbers] == before
    assert [await scene.verify(number) for number in numbers] == [[]] * len(numbers)
    assert await scene.count("decision") == left > 0
    assert [stored.day for stored in await scene.retention.days()] == [FIRST + timedelta(days=2)]
    await scene.eventful_day(numbers, 2, random)
    assert [await scene.verify(number) for number in numbers] == [[]] * len(numbers)
    await scene.execute(
        "UPDATE opening SET n = n + 1 WHERE ctid IN (SELECT ctid FROM opening LIMIT 1)"
    )
    assert sum([len(await scene.verify(number)) for number in numbers]) == 1


async def _group_counts(scene: RetentionScene, number: int) -> Counter[tuple[int, int, int]]:
    """Serves by the half of a day, policy and group."""
    found = Counter[tuple[int, int, int]]()
    for half in range(6):
        since, until = (at(START_MS + (half + end) * DAY_MS // 2) for end in (0, 1))
        sums = await PostgresUserGroups(scene.database).policies(
            number, Span(since=since, until=until)
        )
        for policy, each in sums.items():
            found.update({(half, policy, place): m for place, m in enumerate(each.m.tolist()) if m})
    return found


async def test_summary_stays_and_goes_on(scene: RetentionScene) -> None:
    """Behind the statistics nothing is removed; damaged ones are made good but for removed days."""
    random, experiments = Random(6), [await scene.experiment(exposure=e) for e in Exposure]
    numbers = [experiment.number for experiment in experiments]
    summaries = PostgresSummary(scene.database)
    for day in range(3):
        await scene.eventful_day(numbers, day, random)
    for number in numbers:
        await scene.statistics.step(number)
    await scene.retention.remove(FIRST, START_MS)
    groups_of = [partial(_group_counts, scene, number) for number in numbers]
    groups_before = [await groups() for groups in groups_of]
    assert all(sum(days.values()) > 10 for days in groups_before)
    before = [await summaries.of(experiment) for experiment in experiments]
    assert all(summary.decisions > 20 for summary in before)
    await scene.retention.remove(FIRST + timedelta(days=1), START_MS)
    await scene.retention.prune()
    assert [await summaries.of(experiment) for experiment in experiments] == before
    assert [await groups() for groups in groups_of] == groups_before
    assert [await scene.verify(number) for number in numbers] == [[], []]
    await scene.execute("UPDATE rollup SET serves = serves + 1 WHERE marginal = 1")
    await scene.execute("UPDATE user_group SET m[1] = m[1] + 1 WHERE hours = 1 AND cohort = 0")
    await scene.execute("UPDATE tally SET n = n + 1")
    kept_from = (START_MS + 2 * DAY_MS) // 1000
    left = await scene.count("rollup WHERE marginal = 1 AND bucket * 60 >= $1", kept_from)
    groups = "user_group WHERE hours = 1 AND cohort = 0 AND bucket * 3600 >= $1"
    left += await scene.count(groups, kept_from)
    tallies = await scene.count("tally")
    assert sum([len(await scene.verify(number)) for number in numbers]) == left + tallies
    await scene.eventful_day(numbers, 2, random)
    for number in numbers:
        await scene.statistics.catch_up(number)
        await scene.statistics.rebuild(number)
        assert await scene.verify(number) == []


async def test_day_whose_rows_do_not_prove_the_posterior_stays(scene: RetentionScene) -> None:
    experiment = await scene.experiment()
    await scene.fold(scene.make.decision(scene.make.token(experiment.number)))
    await scene.execute("UPDATE posterior SET n = n + 1")
    with pytest.raises(Conflict, match="in 1 cells the posterior is not what they brought"):
        await scene.retention.remove(FIRST, START_MS)
    assert (await scene.count("decision"), await scene.count("opening")) == (1, 0)
    await scene.execute("UPDATE posterior SET n = n - 1")
    await scene.retention.remove(FIRST, START_MS)
    assert (await scene.count("decision"), await scene.count("opening")) == (0, 1)


@pytest.mark.parametrize("removed", [False, True])
@pytest.mark.parametrize("day", [-3, 0])
async def test_event_of_a_sealed_day_is_refused_and_says_why(
    scene: RetentionScene, removed: bool, day: int
) -> None:
    """Also by a worker that knows the day; nothing of the fold is kept, and no partition comes back."""
    number = (await scene.experiment()).number
    make = scene.make
    known = make.token(number)
    await scene.fold(make.decision(known))
    if removed:
        await scene.retention.remove(FIRST, START_MS)
    else:
        await scene.execute(f"SELECT seal_day('{FIRST}', now())")
    late = make.token(number, at_ms=START_MS + day * DAY_MS)
    fresh = make.token(number, at_ms=START_MS + DAY_MS)
    for event in (make.decision(late), make.reward(late), late):
        for ledger in (scene.ledger, PostgresLedger(scene.database)):
            with pytest.raises(Refused):
                await ledger.fold(batch(event, make.decision(fresh)), START_MS)
            with pytest.raises(Refused, match=r"its decision was made on .*retention removed"):
                await ledger.fold(batch(event, make.decision(fresh)), START_MS)
    for event in (make.reward(known), known):
        with pytest.raises(Refused):
            await scene.fold(event)
    assert await scene.count("decision") == (0 if removed else 1)
    await scene.fold(make.decision(fresh))
    assert await scene.verify(number) == []
    assert len(await scene.ledger.posterior(number)) == 2


async def test_past_is_told_or_refused_and_never_guessed(scene: RetentionScene) -> None:
    """Every past posterior is as it was or an error; those from the last fold of the removed rows on are there."""
    random = Random(5)
    numbers = [(await scene.experiment()).number for _ in range(2)]
    tokens = list[Token]()
    for day in range(3):
        tokens += await scene.eventful_day(numbers, day, random)
        for number in numbers:
            await scene.publish(number)
        # Of the day before, so that its rows reach into the folds of this one.
        await scene.fold(*(scene.make.reward(token) for token in tokens[-5:]))
    heads = {n: await scene.count("fold_log WHERE experiment_id = $1", n) for n in numbers}
    were = {
        (number, fold_no): await scene.history.posterior(number, fold_no)
        for number in numbers
        for fold_no in range(heads[number] + 1)
    }
    await scene.retention.remove(FIRST, START_MS)
    for pruned in (False, True):
        if pruned:
            assert await scene.retention.prune() > 0
        told = {}
        for (number, fold_no), was in were.items():
            with suppress(NotFound):
                told[number, fold_no] = await scene.history.posterior(number, fold_no)
                assert told[number, fold_no] == was
        horizons = {n: min(f for number, f in told if number == n) for n in numbers}
        assert told.keys() == {
            (n, fold_no) for n in numbers for fold_no in range(horizons[n], heads[n] + 1)
        }
        assert all(0 < horizons[n] < heads[n] for n in numbers)
    assert [await scene.verify(number) for number in numbers] == [[], []]


async def test_reward_that_came_too_late_to_count_costs_no_past(scene: RetentionScene) -> None:
    """It was folded much later, and no posterior has anything of it."""
    number, make = (await scene.experiment()).number, scene.make
    old = make.token(number)
    await scene.fold(make.decision(old))
    for day in range(1, 4):
        await scene.fold(make.decision(make.token(number, at_ms=START_MS + day * DAY_MS)))
    await scene.fold(make.reward(old, status=RewardStatus.LATE, after_ms=3 * DAY_MS))
    await scene.retention.remove(FIRST, START_MS)
    assert [len(await scene.history.posterior(number, fold)) for fold in range(1, 6)] == [1] * 5
    with pytest.raises(NotFound, match="retention removed rows that it was made of"):
        await scene.history.posterior(number, 0)


async def test_day_goes_whose_rows_came_before_the_last_of_the_day_before(
    scene: RetentionScene,
) -> None:
    number, make = (await scene.experiment()).number, scene.make
    old, young = make.token(number), make.token(number, at_ms=START_MS + DAY_MS)
    await scene.fold(make.decision(old))
    await scene.fold(make.decision(young))
    await scene.fold(make.reward(old))
    was = await scene.history.posterior(number, 3)
    for day in range(2):
        await scene.retention.remove(FIRST + timedelta(days=day), START_MS)
    assert await scene.history.posterior(number, 3) == was
    assert await scene.verify(number) == []


async def test_removed_decision_and_publication_say_that_retention_removed_them(
    scene: RetentionScene,
) -> None:
    number, make = (await scene.experiment()).number, scene.make
    old, young = make.token(number), make.token(number, at_ms=START_MS + DAY_MS)
    pub_nos = [await scene.publish(number)]
    for token in (old, young):
        await scene.fold(make.decision(token))
        pub_nos.append(await scene.publish(number))
    await scene.retention.remove(FIRST, START_MS)
    await scene.retention.prune()
    with pytest.raises(
        NotFound, match="made on 2025-10-14, and retention removed the days up to 2025-10-14"
    ):
        await scene.history.logged(old.uid)
    assert (await scene.history.logged(young.uid)).token == young
    with pytest.raises(NotFound, match=r"publication 1 of experiment .* retention removed"):
        await scene.history.published(number, pub_nos[0])
    for pub_no in pub_nos[1:]:
        assert (await scene.history.published(number, pub_no)).head.pub_no == pub_no


async def test_what_nothing_can_need_any_more_is_deleted_and_the_rest_stays(
    scene: RetentionScene,
) -> None:
    number, make = (await scene.experiment()).number, scene.make
    idle = (await scene.experiment()).number
    await scene.publish(idle)
    for fold in range(12):
        await scene.fold(make.decision(make.token(number, at_ms=START_MS + fold // 8 * DAY_MS)))
        await scene.publish(number)
    minute, sealed_end = START_MS // 60_000, (START_MS + DAY_MS) // 60_000
    for each in (minute, sealed_end - 1, sealed_end):
        for process, refused in (("p", "{}"), ("r", '{"5": 1}')):
            await scene.execute(
                "INSERT INTO serving_minute SELECT "
                f"{number}, 1, {each}, '{process}', 1, 1, 0, 0, 0, '{{}}', 1, '{refused}'"
            )
    for day in (0, 1):
        await scene.ledger.quarantine(f"{day}", "problem", b"", START_MS + day * DAY_MS)
    await scene.retention.remove(FIRST, START_MS)
    assert await scene.retention.prune() == 7 + 8 + 1 + 2 + 1
    assert await scene.retention.prune() == 0
    mine = "WHERE experiment_id = $1"
    kept = [await scene.count(f"{t} {mine}", number) for t in ("fold_log", "publication")]
    assert kept == [4, 5]
    assert await scene.count(f"publication {mine}", idle) == 1
    assert await scene.count("checkpoint WHERE fold_no = 8") == 1
    assert (await scene.count("serving_minute"), await scene.count("quarantine")) == (4, 1)
    await scene.fold(make.decision(make.token(number, at_ms=START_MS + DAY_MS)))
    assert await scene.publish(number) == 13
    assert await scene.verify(number) == []


async def test_folds_go_on_while_days_are_removed(scene: RetentionScene) -> None:
    """Removing waits for the folds in hand and they for it; everything that was folded is there, once."""
    number, make = (await scene.experiment(Aggregation.SUM)).number, scene.make
    for day in range(4):
        tokens = [make.token(number, at_ms=START_MS + day * DAY_MS) for _ in range(200)]
        await scene.fold(*map(make.decision, tokens), *map(make.reward, tokens))
    done, folded = asyncio.Event(), 0

    async def work() -> None:
        nonlocal folded
        while not done.is_set():
            tokens = [make.token(number, at_ms=START_MS + 5 * DAY_MS) for _ in range(5)]
            await scene.fold(*map(make.decision, tokens), *map(make.reward, tokens))
            folded += 5

    async with asyncio.TaskGroup() as tasks:
        for _ in range(3):
            tasks.create_task(work())
        for day in range(4):
            so_far = folded
            await scene.retention.remove(FIRST + timedelta(days=day), START_MS)
            while folded < so_far + 15:
                await asyncio.sleep(0.01)
        done.set()
    assert await scene.count("decision") == folded
    assert await scene.verify(number) == []
    assert sum(n for n, _ in (await scene.ledger.posterior(number)).values()) == folded + 800


async def test_reader_that_never_ends_is_given_way_to(scene: RetentionScene) -> None:
    """Folds go through between the tries; the day stays sealed, and is removed once the reader is gone."""
    number, make = (await scene.experiment()).number, scene.make
    await scene.fold(make.decision(make.token(number)))
    hold_up = timedelta(milliseconds=20)
    retention = PostgresRetention(scene.database, hold_up=hold_up, patience_s=0.1)
    await scene.ledger.ensure_day(FIRST + timedelta(days=1))
    async with scene.database.snapshot() as reader:
        await reader.fetch("SELECT FROM decision WHERE uid >= uid_floor('2025-10-15 00:00Z')")
        removing = asyncio.create_task(retention.remove(FIRST, START_MS))
        for _ in range(10):
            await scene.fold(make.decision(make.token(number, at_ms=START_MS + DAY_MS)))
        with pytest.raises(Unavailable, match="something reads the ledger all the time"):
            await removing
    assert await scene.count("opening") == 0
    assert await scene.verify(number) == []
    await retention.remove(FIRST, START_MS)
    assert (await scene.count("opening"), await scene.count("decision")) == (1, 10)
    assert await scene.verify(number) == []


async def test_days_that_are_due_and_days_that_are_too_few(scene: RetentionScene) -> None:
    experiment, make = await scene.experiment(), scene.make
    for day in range(5):
        await scene.fold(
            make.decision(make.token(experiment.number, at_ms=START_MS + day * DAY_MS))
        )
    now_ms = START_MS + 12 * DAY_MS + HOUR_MS
    archiving = Archiving(scene.database, "")
    assert [d.day for d in await due(scene.retention, 9, now_ms)] == [
        FIRST + timedelta(days=day) for day in range(3)
    ]
    with pytest.raises(InvalidInput, match=f"8 are too few: {experiment.id} has .* at least 9"):
        await due(scene.retention, 8, now_ms)
    assert await remove_old(scene.retention, archiving, 9, lambda: now_ms) == 3
    assert await remove_old(scene.retention, archiving, 9, lambda: now_ms) == 0
    assert await scene.count("decision") == 2
    async with scene.retention.alone():
        with pytest.raises(Conflict, match="another process is removing days"):
            await remove_old(scene.retention, archiving, 9, lambda: now_ms)


async def test_day_is_made_while_folds_are_open_and_folds_while_it_is_made(
    scene: RetentionScene,
) -> None:
    """A partition takes no lock that a fold waits for, nor waits for one."""
    number, make = (await scene.experiment()).number, scene.make
    await scene.fold(make.decision(make.token(number)))
    async with asyncio.timeout(60):
        async with scene.database.transaction() as folding:
            await folding.execute("UPDATE decision SET cohort = 0")
            await scene.ledger.ensure_day(FIRST + timedelta(days=1))
        async with scene.database.transaction() as making:
            await making.execute("SELECT ensure_day($1)", FIRST + timedelta(days=2))
            await scene.fold(*[make.decision(make.token(number)) for _ in range(3)])
    days = [stored.day for stored in await scene.retention.days()]
    assert days == [FIRST + timedelta(days=day) for day in range(3)]
