"""The exported log is what the ledger has, however it is cut into pages; and check-log finds nothing wrong with it."""

from collections.abc import AsyncIterator
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from random import Random

import pytest

from pullarm.domain.analysis import DecisionFilter
from pullarm.domain.decision import RewardStatus, Token, hash_of, pack_arms, uid_ms
from pullarm.domain.experiment import Aggregation, Catalogue, Experiment, RewardKind, State
from pullarm.domain.log_row import KindCredit, LogRow
from pullarm.domain.ports import Revision
from pullarm.storage.postgres import Database, PostgresExperiments, PostgresLedger
from pullarm.storage.postgres.export import PostgresExport
from replay.check_log import LogCheck
from replay.log_file import log_rows
from tests.ledger_events import HOUR_MS, START_MS, Event, Events, batch, draft


def moment(ms: int) -> datetime:
    return datetime(1970, 1, 1, tzinfo=UTC) + timedelta(milliseconds=ms)


@dataclass
class Scene:
    """A ledger, and its log in pages of three decisions."""

    database: Database

    def __post_init__(self) -> None:
        self.make = Events()
        self.experiments = PostgresExperiments(self.database)
        self.export = PostgresExport(self.database, page_decisions=3)

    async def experiment(
        self, key: str, aggregation: Aggregation = Aggregation.FIRST
    ) -> Experiment:
        return await self.experiments.create(draft(key, aggregation=aggregation), START_MS)

    async def fold(self, *events: Event) -> None:
        await PostgresLedger(self.database).fold(batch(*events), START_MS)

    async def rows(
        self, experiment: Experiment, since: datetime | None = None, until: datetime | None = None
    ) -> list[LogRow]:
        sought = DecisionFilter(since=since, until=until)
        pages = self.export.pages(experiment, ["reward", "shown"], sought)
        return [row async for page in pages for row in log_rows(page)]


@pytest.fixture
async def scene(database_url: str) -> AsyncIterator[Scene]:
    async with Database(database_url, max_connections=2) as database:
        yield Scene(database)


async def test_slot_has_all_that_was_logged_of_it(scene: Scene) -> None:
    experiment = await scene.experiment("all")
    token = scene.make.token(experiment.number, arms=[2, 1])
    decision = scene.make.decision(token)._replace(
        candidates=pack_arms([0, 2, 1]), weights=[3, 5], totals=[8, 5], request_id="again"
    )
    reward = scene.make.reward(token, slot=2, credit=0.25, after_ms=1_500)
    await scene.fold(decision, reward)
    first, second = await scene.rows(experiment)
    assert first == LogRow(
        decision_uid=token.uid.hex(),
        decided_at=moment(START_MS),
        experiment="exp_all",
        allocation_epoch=1,
        config_no=1,
        pub_no=1,
        kernel=1,
        unit="user",
        bucket=9_999,
        assigned="thompson",
        acting="thompson",
        reason="ASSIGNED",
        slot=1,
        arm_no=2,
        arm_id="two",
        weight=3,
        total=8,
        propensity=0.375,
        floor=0.05,
        candidates=(None, "two", "one"),
        candidate_nos=(0, 2, 1),
        candidates_hash=f"{hash_of(pack_arms([0, 2, 1])) % 2**64:016x}",
        attributes={"country": "de"},
        request_id="again",
        voided=False,
        excluded=False,
        window_hours=24.0,
        rewards={},
    )
    came = moment(START_MS + 1_500)
    credit = KindCredit(
        credit=0.25, booked=0.0, count=1, first_at=came, last_at=came, received_at=came
    )  # the second slot is not learnt from
    drawn = replace(first, slot=2, arm_no=1, arm_id="one", weight=5, total=5, propensity=1.0)
    assert second == replace(drawn, rewards={"reward": credit})


async def test_pages_make_the_log_of_one_experiment_in_order(scene: Scene) -> None:
    """Over two days, decisions of another experiment between them; a page ends wherever it does."""
    experiment, other = await scene.experiment("one"), await scene.experiment("other")
    random, tokens = Random(7), list[Token]()
    for _ in range(20):
        at_ms = START_MS + random.randrange(40 * HOUR_MS)
        tokens.append(scene.make.token(experiment.number, at_ms=at_ms, arms=[1, 2]))
        await scene.fold(
            scene.make.decision(tokens[-1]),
            scene.make.decision(scene.make.token(other.number, at_ms=at_ms)),
        )
    ordered = sorted(tokens, key=lambda token: token.uid)
    rows = await scene.rows(experiment)
    assert [(row.decision_uid, row.slot) for row in rows] == [
        (token.uid.hex(), slot) for token in ordered for slot in (1, 2)
    ]
    since, until = (moment(uid_ms(ordered[n].uid)) for n in (4, 11))
    cut = await scene.rows(experiment, since, until)
    assert cut == rows[8:22]
    assert await scene.rows(experiment, until, since) == []


async def test_rewards_of_a_slot_are_joined_as_they_count(scene: Scene) -> None:
    experiment = await scene.experiment("sum", aggregation=Aggregation.SUM)
    make, number = scene.make, experiment.number
    summed, retracted, late, voided, alone = tokens = [make.token(number) for _ in range(5)]

    await scene.fold(
        *map(make.decision, tokens),
        make.reward(summed, reward_id="a", after_ms=1_000, credit=0.25),
        make.reward(summed, reward_id="b", after_ms=3_000, credit=0.5),
        make.reward(summed, reward_id="b", after_ms=4_000, credit=0.5),
        make.reward(summed, reward_id="x", after_ms=9_000, kind="shown", feeds=False),
        make.reward(retracted, reward_id="a", after_ms=1_000),
        make.reward(retracted, reward_id="a", after_ms=2_000, credit=0.0, retract=True),
        make.reward(late, reward_id="a", status=RewardStatus.LATE),
        make.reward(voided, reward_id="a", after_ms=1_000),
        voided,
    )
    by_uid = {row.decision_uid: row for row in await scene.rows(experiment)}
    times = {name: moment(START_MS + 3_000) for name in ("last_at", "received_at")}
    start, shown = moment(START_MS + 1_000), moment(START_MS + 9_000)
    assert by_uid[summed.uid.hex()].rewards == {
        "reward": KindCredit(credit=0.75, booked=0.75, count=2, first_at=start, **times),
        "shown": KindCredit(
            credit=1.0, booked=0.0, count=1, first_at=shown, last_at=shown, received_at=shown
        ),
    }
    assert by_uid[retracted.uid.hex()].rewards == {
        "reward": KindCredit(
            credit=0.0, booked=0.0, count=0, first_at=None, last_at=None, received_at=None
        )
    }
    assert by_uid[late.uid.hex()].rewards == by_uid[alone.uid.hex()].rewards == {}
    taken = by_uid[voided.uid.hex()]
    assert (taken.voided, taken.rewards["reward"].credit) == (True, 0.0)
    assert [row.voided for row in by_uid.values()].count(True) == 1


async def test_rewards_come_with_the_decisions_that_are_sought(scene: Scene) -> None:
    """What others earned meanwhile, of this experiment or of another, is no row's."""
    experiment, other = await scene.experiment("mine"), await scene.experiment("theirs")
    make = scene.make
    numbers = [experiment.number, other.number]
    tokens = [
        make.token(numbers[n % 4 == 3], at_ms=START_MS + n, acting=1 + n % 2) for n in range(24)
    ]
    await scene.fold(*map(make.decision, tokens), *map(make.reward, tokens))
    mine = [t for t in tokens if t.experiment == experiment.number and t.assigned == 1]
    pages = scene.export.pages(experiment, ["reward"], DecisionFilter(policy=1))
    rows = [row async for page in pages for row in log_rows(page)]
    assert [row.decision_uid for row in rows] == [token.uid.hex() for token in mine]
    assert [row.rewards["reward"].count for row in rows] == [1] * len(mine)


async def test_reader_that_goes_away_leaves_no_connection_in_use(database_url: str) -> None:
    """The page after is being read meanwhile."""
    async with Database(database_url, max_connections=1, patience_s=5.0) as database:
        scene = Scene(database)
        experiment = await scene.experiment("left")
        tokens = [scene.make.token(experiment.number) for _ in range(9)]
        await scene.fold(*map(scene.make.decision, tokens))
        pages = scene.export.pages(experiment, ["reward"])
        assert len(await anext(pages)) == 3
        await pages.aclose()
        async with database.connection() as connection:
            assert not connection.is_in_transaction()


async def test_candidates_that_are_not_listed_in_the_event(scene: Scene) -> None:
    """All arms; only a hash of them; none known, where control stands in for the policy."""
    experiment = await scene.experiment("candidates")
    make, number = scene.make, experiment.number
    every, hashed = make.decision(make.token(number)), make.decision(make.token(number))
    outside = make.decision(make.token(number, acting=0, arms=[0]))
    await scene.fold(
        every._replace(candidates=b"", all_arms=2),
        hashed._replace(candidates=b"", candidates_hash=-5),
        outside._replace(candidates=pack_arms([0, 0]), unlisted=2),
    )
    by_uid = {row.decision_uid: row for row in await scene.rows(experiment)}
    row = by_uid[every.token.uid.hex()]
    assert (row.candidates, row.candidate_nos) == (("one", "two"), (1, 2))
    assert row.candidates_hash == f"{hash_of(pack_arms([1, 2])) % 2**64:016x}"
    row = by_uid[hashed.token.uid.hex()]
    assert (row.candidates, row.candidate_nos, row.candidates_hash) == (None, None, "f" * 15 + "b")
    row = by_uid[outside.token.uid.hex()]
    assert (row.candidates, row.arm_id, row.acting, row.floor) == ((None, None), None, "none", None)


async def test_stubs_wait_for_their_decision(scene: Scene) -> None:
    experiment = await scene.experiment("stub")
    token = scene.make.token(experiment.number)
    await scene.fold(scene.make.reward(token))
    assert await scene.rows(experiment) == []
    await scene.fold(scene.make.decision(token))
    (row,) = await scene.rows(experiment)
    assert row.rewards["reward"].credit == 1.0


async def test_versions_say_floor_window_and_kinds(scene: Scene) -> None:
    """A decision has the floor of its own version, and the longest window that its rewards can meet."""
    experiment = await scene.experiment("versions")
    make, number = scene.make, experiment.number
    for window_hours, floor, kind in ((48.0, 0.1, "buy"), (12.0, 0.2, "like")):
        reward = experiment.spec.reward
        kinds = (*reward.kinds, RewardKind(name=kind))
        policies = tuple(
            replace(each, params={"floor": floor} if each.name == "thompson" else {})
            for each in experiment.spec.policies
        )
        changed = replace(reward, window_hours=window_hours, kinds=kinds)
        change = Revision(
            action="edit",
            spec=replace(experiment.spec, reward=changed, policies=policies),
            state=State.RUNNING,
            buckets=experiment.buckets,
            allocation_epoch=1,
            guard_epoch=1,
        )
        experiment = await scene.experiments.revise(experiment, change, START_MS)
    tokens = [make.token(number, at_ms=START_MS + n) for n in range(3)]
    tokens.append(make.token(number, at_ms=START_MS + 4, acting=1))
    versions = (1, 2, 3, 3)
    await scene.fold(
        *(make.decision(t)._replace(config_no=n) for t, n in zip(tokens, versions, strict=True))
    )
    rows = await scene.rows(experiment)
    assert [(row.floor, row.window_hours) for row in rows] == [
        (0.05, 48.0),
        (0.1, 48.0),
        (0.2, 12.0),
        (None, 12.0),
    ]
    assert await scene.export.kinds(experiment) == ("buy", "like", "reward")


async def test_arm_that_comes_while_the_log_is_read_has_its_name(scene: Scene) -> None:
    experiment = await scene.experiments.create(
        draft("open", catalogue=Catalogue.OPEN, arms=("one",)), START_MS
    )
    make, number = scene.make, experiment.number
    early = [make.token(number, at_ms=START_MS + n) for n in range(4)]
    await scene.fold(*map(make.decision, early))
    pages = scene.export.pages(experiment, [])
    assert len(await anext(pages)) == 3
    assert await scene.experiments.register_arms(number, ["fresh"], START_MS) == 1
    token = make.token(number, at_ms=START_MS + HOUR_MS, arms=[2])
    await scene.fold(make.decision(token)._replace(config_no=2))
    rest = [row async for page in pages for row in log_rows(page)]
    assert [row.arm_id for row in rest] == ["one", "fresh"]


async def test_log_of_a_sound_ledger_has_no_finding(scene: Scene) -> None:
    experiment = await scene.experiment("sound")
    make, tokens = scene.make, list[Token]()
    for n in range(50):
        tokens.append(make.token(experiment.number, at_ms=START_MS + n * 60_000, arms=[1 + n % 2]))
    await scene.fold(
        *(make.decision(token)._replace(candidates=pack_arms([2, 0, 1])) for token in tokens),
        *(make.reward(token, after_ms=24 * HOUR_MS) for token in tokens[::2]),
        *(make.reward(token, status=RewardStatus.LATE, after_ms=30 * HOUR_MS) for token in tokens),
    )
    log = LogCheck()
    assert list(log.check(await scene.rows(experiment))) == []
    assert (log.rows, log.duplicates()) == (50, frozenset())


async def test_decision_of_a_version_that_is_gone_has_no_floor_and_no_window(scene: Scene) -> None:
    """As after a restore; the check of the log says so. Nor is it known what all its arms were."""
    experiment = await scene.experiment("restored")
    tokens = [scene.make.token(experiment.number, at_ms=START_MS + n) for n in range(2)]
    known, unknown = map(scene.make.decision, tokens)
    await scene.fold(known, unknown._replace(config_no=7), scene.make.reward(tokens[1]))
    rows = await scene.rows(experiment)
    assert [(row.floor, row.window_hours) for row in rows] == [(0.05, 24.0), (None, None)]
    (finding,) = LogCheck().check(rows)
    assert (finding.row, finding.check) == (2, "window")
    assert finding.problem.startswith("version 7 is not in the ledger")
    every = scene.make.decision(scene.make.token(experiment.number, at_ms=START_MS + 9))
    await scene.fold(every._replace(config_no=7, candidates=b"", all_arms=3))
    last = (await scene.rows(experiment))[-1]
    assert (last.arm_id, last.candidates, last.candidates_hash) == ("one", None, "")
