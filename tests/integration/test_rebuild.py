"""A rebuild leaves the ledger as if certain rows had never come, whatever is folded at the same time."""

import asyncio
from collections import Counter
from collections.abc import AsyncIterator, Sequence
from datetime import datetime, timedelta
from random import Random

import asyncpg
import pytest

from pullarm.domain.assignment import MICRO
from pullarm.domain.audit import Author
from pullarm.domain.decision import Token
from pullarm.domain.errors import Conflict, NotFound
from pullarm.domain.experiment import Aggregation, Exposure
from pullarm.domain.rebuild import Exclusion, Rebuilt, Restoration
from pullarm.storage.memory.experiments import at
from pullarm.storage.postgres import PostgresRepair
from tests.integration.ledger_scene import LedgerScene, ledger_scene
from tests.ledger_events import HOUR_MS, START_MS, THOMPSON, Event, Events, batch

AUTHOR = Author("somebody", "command", "clicks of a bot")
BOT = Exclusion(source="bot")
NOW = at(START_MS)
_WAITING = "SELECT count(*) FROM pg_locks WHERE NOT granted"
_CREDITS = """
    SELECT d.decided_at, c.slot, c.kind, c.value, c.booked, c.serves
    FROM credit c JOIN decision d USING (uid) WHERE d.experiment_id = $1
"""


@pytest.fixture
async def scene(database_url: str) -> AsyncIterator[LedgerScene]:
    async with ledger_scene(database_url) as scene:
        yield scene


@pytest.fixture
def repair(scene: LedgerScene) -> PostgresRepair:
    return PostgresRepair(scene.database, few_folds=0)


async def rebuild(
    repair: PostgresRepair, number: int, change: Exclusion | Restoration, now: datetime = NOW
) -> Rebuilt:
    return await repair.rebuild(number, change, AUTHOR, now)


async def credits(scene: LedgerScene, number: int) -> "Counter[tuple[object, ...]]":
    async with scene.database.connection() as connection:
        return Counter(tuple(row) for row in await connection.fetch(_CREDITS, number))


async def waiting(scene: LedgerScene, count: int) -> None:
    """Until so many locks are waited for."""
    async with scene.database.connection() as connection:
        while await connection.fetchval(_WAITING) < count:
            await asyncio.sleep(0.01)


def _honest(make: Events, number: int, random: Random) -> list[Event]:
    """7,000 decisions of two arms over three hours, with a tenth of them rewarded."""
    tokens = [
        make.token(number, at_ms=START_MS + i * 3 * HOUR_MS // 7_000, arms=[1 + (i % 7 == 0)])
        for i in range(7_000)
    ]
    rewarded = random.sample(tokens, 700)
    return [
        *map(make.decision, tokens),
        *(make.reward(token, credit=0.5, after_ms=9_000) for token in rewarded),
    ]


def _false(make: Events, events: Sequence[Event]) -> list[Event]:
    """5,000 rewards of arm 1, received ahead of the honest ones."""
    tokens = [e.token for e in events if not isinstance(e, Token) and e.token.arms == [1]]
    chosen = list({token.uid: token for token in tokens}.values())[:5_000]
    return [make.reward(token, source="bot", reward_id="x", after_ms=5_000) for token in chosen]


async def test_false_rewards_are_unlearned(scene: LedgerScene, repair: PostgresRepair) -> None:
    """Posterior and credits are those of a run in which 5,000 false rewards of one arm never came."""
    poisoned, clean = [await scene.experiment(Aggregation.FIRST) for _ in range(2)]
    events = _honest(Events(Random(3)), poisoned, Random(4))
    twins = _honest(Events(Random(5)), clean, Random(4))
    false = _false(Events(Random(6)), events)
    mixed = Random(7).sample(events + false, len(events) + len(false))
    for first in range(0, len(mixed), 3_000):
        await scene.fold(mixed[first : first + 3_000])
    await scene.fold(twins)
    before, expected = [await scene.ledger.posterior(number) for number in (poisoned, clean)]
    assert sum(s for _, s in before.values()) > 5_000 * MICRO

    seen = await repair.preview(poisoned, BOT)
    assert await scene.ledger.posterior(poisoned) == before
    rebuilt = await rebuild(repair, poisoned, BOT)
    assert rebuilt == seen
    assert rebuilt.changed == [(THOMPSON, 1)]
    assert rebuilt.credits >= 5_000
    assert await scene.ledger.posterior(poisoned) == expected
    assert await credits(scene, poisoned) == await credits(scene, clean)
    assert await scene.ledger.verify(poisoned) == []

    # Those of that source that are still to come teach nothing either.
    await scene.fold(_false(Events(Random(9)), events)[:100])
    assert await scene.ledger.posterior(poisoned) == expected
    assert await scene.ledger.verify(poisoned) == []


async def test_fold_under_way_is_waited_for_and_what_it_brought_is_reread(
    scene: LedgerScene, repair: PostgresRepair
) -> None:
    """One fold read the ledger before there was an exclusion and commits after the rebuild did its long part; two more
    wait for the rebuild. Each brings decisions, false rewards and voids."""
    number, make = await scene.experiment(Aggregation.FIRST), Events()
    tokens = [make.token(number, arms=[1 + i % 2]) for i in range(40)]
    first: list[Event] = [
        *map(make.decision, tokens),
        *(make.reward(t, source="bot") for t in tokens[:10]),
    ]
    parts: list[list[Event]] = []
    for part in range(3):
        new = [make.token(number, at_ms=START_MS + part * HOUR_MS) for _ in range(5)]
        parts.append(
            [
                *map(make.decision, new),
                *(make.reward(t, source="bot", after_ms=9) for t in new[:3] + tokens[part::5]),
                *(make.reward(t, credit=0.5) for t in new[1:4] + tokens[part::3]),
                *(new[4], tokens[part]),
            ]
        )
    await scene.fold(first)
    async with (
        asyncio.timeout(60),
        asyncio.TaskGroup() as tasks,
        scene.database.transaction() as holder,
    ):
        await holder.execute("SELECT FROM decision FOR UPDATE")
        tasks.create_task(scene.fold(parts[0]))
        await waiting(scene, 1)
        tasks.create_task(rebuild(repair, number, BOT))
        await waiting(scene, 2)
        tasks.create_task(scene.fold(parts[1]))
        tasks.create_task(scene.fold(parts[2]))
        await waiting(scene, 4)
    scene.oracle.exclusions[number].append(BOT)
    await scene.check([number], [*first, *parts[0], *parts[1], *parts[2]])
    (past,) = await repair.past(number)
    assert past.fold_no == 3


@pytest.mark.parametrize("exposure", [*Exposure])
async def test_rebuilds_between_the_folds_of_two_workers(
    scene: LedgerScene, repair: PostgresRepair, exposure: Exposure
) -> None:
    """Sources, windows and restorations in turn; the exclusions that are left are what the state is made of."""
    number, make, random = await scene.experiment(Aggregation.SUM, exposure), Events(), Random(2)
    events: list[Event] = []
    for _ in range(900):
        token = make.token(number, at_ms=START_MS + random.randrange(30) * HOUR_MS)
        events += [make.decision(token)] * random.choice([1, 1, 0])
        events += [token] * (random.random() < 0.1)
        for _ in range(random.choice([0, 1, 3])):
            source = random.choice(["bot", "test", "app"])
            hours = random.choice([0, 0, 2])
            reward_id, credit = random.choice("ab"), random.choice([0.2, 0.9])
            events.append(
                make.reward(
                    token,
                    source=source,
                    reward_id=reward_id,
                    credit=credit,
                    after_ms=hours * HOUR_MS,
                    retract=random.random() < 0.1,
                )
            )
    shuffled = random.sample(events, len(events))
    window = Exclusion(from_at=at(START_MS + 5 * HOUR_MS), to_at=at(START_MS + 9 * HOUR_MS))
    both = Exclusion(source="app", from_at=at(START_MS + 20 * HOUR_MS))

    async def work(share: list[Event]) -> None:
        for first in range(0, len(share), 60):
            await scene.fold(share[first : first + 60])

    working = [asyncio.create_task(work(shuffled[place::2])) for place in range(2)]
    for change in (BOT, window, Restoration(1), Exclusion(), both, Restoration(2), window):
        await rebuild(repair, number, change)
    await asyncio.gather(*working)
    scene.oracle.exclusions[number] += [both, window]
    await scene.check([number], events)
    past = await repair.past(number)
    assert [each.rebuild_no for each in past] == list(range(1, 8))
    assert [each.restored for each in past] == [None, None, 1, None, None, 2, None]
    lifted = {each.rebuild_no: each.lifted_fold for each in past if each.lifted_fold}
    assert lifted == {1: past[2].fold_no, 2: past[5].fold_no}


async def test_window_takes_what_was_decided_and_what_was_received_in_it(
    scene: LedgerScene, repair: PostgresRepair
) -> None:
    number, make = await scene.experiment(Aggregation.FIRST), Events()
    early, inside, after = [make.token(number, at_ms=START_MS + h * HOUR_MS) for h in (0, 2, 4)]
    await scene.fold(
        [
            *map(make.decision, (early, inside, after)),
            make.reward(early, after_ms=2 * HOUR_MS),
            make.reward(inside, after_ms=2 * HOUR_MS),
            make.reward(after),
        ]
    )
    hour = START_MS // HOUR_MS
    await rebuild(
        repair, number, Exclusion(from_at=at(START_MS + 1), to_at=at(START_MS + 4 * HOUR_MS))
    )
    assert await scene.ledger.posterior(number) == {
        (THOMPSON, 1, hour): (1, 0),
        (THOMPSON, 1, hour + 4): (1, MICRO),
    }
    assert await scene.ledger.verify(number) == []
    # What comes later of the excluded decision, and its voiding, changes nothing.
    await scene.fold([make.reward(inside, reward_id="later", after_ms=3 * HOUR_MS), inside])
    assert (THOMPSON, 1, hour + 2) not in await scene.ledger.posterior(number)
    await rebuild(repair, number, Restoration(1))
    assert await scene.ledger.posterior(number) == {
        (THOMPSON, 1, hour): (1, MICRO),
        (THOMPSON, 1, hour + 4): (1, MICRO),
    }
    assert await scene.ledger.verify(number) == []


@pytest.mark.parametrize("exposure", [*Exposure])
async def test_until_is_the_posterior_of_then_and_learning_goes_on(
    scene: LedgerScene, repair: PostgresRepair, exposure: Exposure
) -> None:
    """Decisions, rewards, retractions and voids of the folds since are left out; what comes afterwards is not."""
    number, make = await scene.experiment(Aggregation.FIRST, exposure), Events()

    async def fold(hour: int, *events: Event) -> None:
        moment = START_MS + hour * HOUR_MS
        await scene.ledger.fold(batch(*events), moment)

    old = [make.token(number) for _ in range(6)]
    new = [make.token(number, at_ms=START_MS + HOUR_MS) for _ in range(4)]
    await fold(1, *map(make.decision, old), *map(make.reward, old[:4]))
    then = await scene.ledger.posterior(number)
    await fold(2, *map(make.decision, new), *map(make.reward, [*new[:2], old[4]]))
    await fold(3, old[0], make.reward(old[1], retract=True))
    whole = await scene.ledger.posterior(number)
    until = Exclusion(until=at(START_MS + 2 * HOUR_MS))
    await rebuild(repair, number, until, at(START_MS + 4 * HOUR_MS))
    assert await scene.ledger.posterior(number) == then
    assert await scene.ledger.verify(number) == []
    (past,) = await repair.past(number)
    assert past.folds == (2, 3)

    await fold(5, make.reward(new[3], reward_id="z"), make.reward(old[5]))
    cell = (THOMPSON, 1, START_MS // HOUR_MS)
    shown = exposure is Exposure.CONFIRMED
    assert await scene.ledger.posterior(number) == {
        cell: (then[cell][0] + shown, then[cell][1] + MICRO)
    }
    assert await scene.ledger.verify(number) == []
    await rebuild(repair, number, Restoration(1))
    learnt = sum(s for _, s in (await scene.ledger.posterior(number)).values())
    assert learnt == sum(s for _, s in whole.values()) + 2 * MICRO
    assert await scene.ledger.verify(number) == []


async def test_damaged_posterior_is_repaired_and_the_damaged_one_is_kept(
    scene: LedgerScene, repair: PostgresRepair
) -> None:
    number, make = await scene.experiment(Aggregation.FIRST), Events()
    token = make.token(number)
    await scene.fold([make.decision(token), make.reward(token)])
    sound = await scene.ledger.posterior(number)
    async with scene.database.connection() as connection:
        await connection.execute("UPDATE posterior SET n = 40")
        await connection.execute("INSERT INTO posterior VALUES ($1, 3, 2, 7, 5, 5)", number)
        await connection.execute("UPDATE credit SET value = 3")
    assert len(await scene.ledger.verify(number)) == 3
    rebuilt = await rebuild(repair, number, Exclusion())
    assert (rebuilt.changed, rebuilt.credits) == ([(2, 1), (3, 2)], 1)
    assert (rebuilt.before[2, 1], rebuilt.after[2, 1]) == ((40, MICRO), (1, MICRO))
    assert await scene.ledger.posterior(number) == sound
    assert await scene.ledger.verify(number) == []
    async with scene.database.connection() as connection:
        kept = await connection.fetch("SELECT fold_no, length(cells) FROM checkpoint ORDER BY 1")
        changed = await connection.fetchval("SELECT changed FROM fold_log WHERE rebuild_no = 1")
        assert await connection.fetchval("SELECT count(*) FROM exclusion") == 0
    assert [tuple(row) for row in kept] == [(1, 64), (2, 64)]
    assert changed == [1 * 8 + 2, 2 * 8 + 3]


async def test_excluded_decisions_are_not_analysed(
    scene: LedgerScene, repair: PostgresRepair
) -> None:
    number, make = await scene.experiment(Aggregation.FIRST), Events()
    tokens = [make.token(number, at_ms=START_MS + i * HOUR_MS) for i in range(4)]
    await scene.fold([*map(make.decision, tokens), *map(make.reward, tokens)])
    window = Exclusion(to_at=at(START_MS + HOUR_MS))
    await rebuild(repair, number, window)
    summary = await scene.summary(number)
    assert summary.policies["thompson"].serves == summary.policies["thompson"].rewards == 3
    assert (summary.decisions, summary.voided) == (4, {"thompson": 1})
    assert summary.decisions_by_reason == {"ASSIGNED": 3}


async def test_what_cannot_be_rebuilt_is_told(scene: LedgerScene, repair: PostgresRepair) -> None:
    number = await scene.experiment(Aggregation.FIRST)
    await rebuild(repair, number, BOT)
    await rebuild(repair, number, Exclusion())
    for absent in (2, 9):
        with pytest.raises(NotFound, match=f"no rebuild {absent} of this experiment left"):
            await rebuild(repair, number, Restoration(absent))
    await rebuild(repair, number, Restoration(1))
    with pytest.raises(Conflict, match="rebuild 1 left out was restored before"):
        await repair.preview(number, Restoration(1))
    async with scene.database.transaction() as other:
        await other.execute("SELECT pg_advisory_xact_lock(31, $1)", number)
        with pytest.raises(Conflict, match="another rebuild"):
            await rebuild(repair, number, BOT)
    assert len(await repair.past(number)) == 3


async def test_audit_trail_says_what_was_done_and_cannot_be_changed(
    scene: LedgerScene, repair: PostgresRepair
) -> None:
    number, make = await scene.experiment(Aggregation.FIRST), Events()
    token = make.token(number)
    await scene.fold([make.decision(token), make.reward(token, source="bot")])
    await rebuild(repair, number, BOT, NOW + timedelta(hours=1))
    async with scene.database.connection() as connection:
        (row,) = await connection.fetch("SELECT * FROM audit WHERE action = 'rebuild'")
        for change in ("UPDATE audit SET actor = 'me'", "DELETE FROM audit", "TRUNCATE audit"):
            with pytest.raises(asyncpg.RestrictViolationError, match="audit is append-only"):
                await connection.execute(change)
    cell = {"policy": "thompson", "arm_no": 1, "serves": 1}
    assert (row["actor"], row["origin"], row["action"]) == ("somebody", "command", "rebuild")
    assert (row["at"], row["experiment_id"]) == (NOW + timedelta(hours=1), number)
    assert row["before"] == {"fold_no": 1, "cells": [cell | {"rewards": 1.0}]}
    assert row["after"] == {
        "rebuild_no": 1,
        "fold_no": 2,
        "note": "clicks of a bot",
        "restored": None,
        "exclusion": {"source": "bot", "from_at": None, "to_at": None, "until": None},
        "credits": 1,
        "cells": [cell | {"rewards": 0.0}],
    }
