"""Whatever is done to one experiment, in whatever order: each publication is found again, and each decision redone."""

from collections.abc import AsyncIterator
from dataclasses import dataclass, field, replace
from random import Random

import pytest

from pullarm.domain.arms import Stated, moved, newest, restated
from pullarm.domain.assignment import MICRO
from pullarm.domain.audit import Author
from pullarm.domain.cohorts import CohortRule
from pullarm.domain.decision import Decision
from pullarm.domain.experiment import ArmStatus, Learning
from pullarm.domain.rebuild import Exclusion, Restoration
from pullarm.storage.postgres import (
    PostgresHistory,
    PostgresLedger,
    PostgresPublications,
    PostgresRepair,
    PostgresStatistics,
)
from pullarm.storage.postgres.times import at
from replay.explain import Verdict, redo
from tests.builders import ask, query
from tests.ledger_events import HOUR_MS, START_MS, Event, rearmed
from tests.publishing import Scene, publishing
from tests.weighted import ALL, AT_CLOSE, HALVED, MINUTE_MS, WEIGHTED, published, running
from workers.publisher import Publisher

KEY = "a"


@pytest.fixture
async def scene(database_url: str, redis_url: str) -> AsyncIterator[Scene]:
    async with publishing(database_url, redis_url) as scene:
        publications = PostgresPublications(scene.database, checkpoint_folds=7)
        scene.publisher = Publisher(publications, scene.board, scene.clock)
        yield scene


@dataclass
class Life:
    """An experiment to which everything is done by chance."""

    scene: Scene
    number: int
    random: Random
    decided: list[Decision] = field(default_factory=list)
    posteriors: dict[int, dict[int, bytes]] = field(default_factory=dict)
    """By publication, as serving read them."""
    _left_out: list[int] = field(default_factory=list)

    async def learn_otherwise(self) -> None:
        found = await self.scene.experiments.get(KEY)
        learning = self.random.choice([Learning(), WEIGHTED, HALVED, AT_CLOSE, ALL])
        await self.scene.revise(found, replace(found.spec, learning=learning))

    async def replace_arm(self) -> None:
        """By a version that starts warm, where its payload was ever stated."""
        found = await self.scene.experiments.get(KEY)
        arm = self.random.choice(list(newest(found.arms).values()))
        warm = 20 * MICRO if arm.payload_hash else 0
        stated = Stated(
            arm_id=arm.arm_id,
            payload_hash=str(self.random.random()),
            prior_serves_micro=warm,
            prior_rewards_micro=warm // 4,
        )
        change = rearmed(found, restated(found.arms, [stated], found.spec))
        await self.scene.experiments.revise(found, change, START_MS)

    async def move_arm(self) -> None:
        found = await self.scene.experiments.get(KEY)
        arms = [a for a in newest(found.arms).values() if a.status is not ArmStatus.RETIRED]
        if arms:
            arm_id, status = self.random.choice(arms).arm_id, self.random.choice([*ArmStatus])
            change = rearmed(found, moved(found.arms, arm_id, status))
            await self.scene.experiments.revise(found, change, START_MS)

    async def tell_apart_otherwise(self) -> None:
        found = await self.scene.experiments.get(KEY)
        rules = [
            None,
            CohortRule(attribute="country", max_values=2),
            CohortRule(attribute="country", values=("fr", "it")),
            CohortRule(attribute="device"),
        ]
        await self.scene.revise(found, replace(found.spec, cohorts=self.random.choice(rules)))

    async def rebuild(self) -> None:
        now_ms = self.scene.clock.now_ms
        changes: list[Exclusion | Restoration] = [
            Exclusion(source="bot"),
            Exclusion(from_at=at(now_ms - 3 * HOUR_MS), to_at=at(now_ms - HOUR_MS)),
            Exclusion(until=at(now_ms - HOUR_MS)),
            *map(Restoration, self._left_out),
        ]
        change = self.random.choice(changes)
        repair, author = PostgresRepair(self.scene.database), Author("somebody", "test")
        rebuilt = await repair.rebuild(self.number, change, author, at(now_ms))
        if isinstance(change, Restoration):
            self._left_out.remove(change.rebuild_no)
        else:
            self._left_out.append(rebuilt.rebuild_no)

    async def begin_anew(self) -> None:
        """As after PostgreSQL was put back."""
        publications = PostgresPublications(self.scene.database)
        await publications.reopen(await publications.incarnation(), self.scene.clock.now_ms)

    async def serve(self) -> None:
        """Publish, decide, and fold what was decided and what comes of it, and of some earlier ones."""
        await self.scene.publisher.publish_due()
        await self.scene.publisher.audit()
        await self.scene.served(self.number)
        found = await published(self.scene, self.number)
        self.posteriors[found.head.pub_no] = found.posteriors
        fresh = [self._decide() for _ in range(3)]
        self.decided += fresh
        events: list[Event] = [*fresh]
        for decision in self.random.choices(self.decided[-12:], k=4):
            if not decision.token.arms or self.random.random() < 0.1:
                events.append(decision.token)
            else:
                source = self.random.choice(["bot", "app"])
                reward = self.scene.make.reward(decision.token, source=source, reward_id=source)
                events.append(reward)
        await self.scene.fold(*events)
        seen = [(d.new_cohort, d.attributes[d.new_cohort]) for d in fresh if d.new_cohort]
        await self.scene.experiments.register_cohorts(self.number, seen, START_MS)

    def _decide(self) -> Decision:
        named = self.random.choice([(), ("two", "one"), ("one", "unlisted", "two")])
        user = f"user-{self.random.random()}"
        return ask(
            self.scene.refresher.snapshot,
            query(*named, reference=KEY, user=user, attributes=self._attributes()),
            entropy=self.random.randbytes(10),
            now_ms=self.scene.clock.now_ms,
        ).decision

    def _attributes(self) -> dict[str, str]:
        country, device = self.random.choice(["de", "fr", "it"]), self.random.choice(["tv", ""])
        return {"country": country, "device": device}


@pytest.mark.parametrize("seed", range(2))
async def test_past_is_found_again_whatever_is_done(scene: Scene, seed: int) -> None:
    """Rebuilds, weights, versions of arms, pauses, warm starts and new lives of the ledger, among each other."""
    random = Random(seed)
    number = (await running(scene, ALL, KEY)).number
    life, statistics = Life(scene, number, random), PostgresStatistics(scene.database, folds=3)
    deeds = [
        *(life.learn_otherwise, life.replace_arm, life.move_arm),
        *(life.tell_apart_otherwise, life.rebuild, life.begin_anew),
    ]
    for _ in range(60):
        scene.clock.now_ms += random.choice([0, MINUTE_MS, 7 * MINUTE_MS, HOUR_MS])
        if random.random() < 0.6:
            await random.choice(deeds)()
        await life.serve()
        if random.random() < 0.3:
            await statistics.step(number)
    await statistics.catch_up(number)
    assert await statistics.verify(number) == []
    history = PostgresHistory(scene.database)
    for pub_no, posteriors in life.posteriors.items():
        assert (await history.published(number, pub_no)).posteriors == posteriors, pub_no
    for decision in life.decided:
        redone = redo(decision, await history.published(number, decision.pub_no))
        assert (redone.verdict, redone.differences) == (Verdict.REPRODUCED, ())
        logged = decision._replace(new_cohort="")  # which is no fact of the ledger
        assert (await history.logged(decision.token.uid)).decision == logged
    assert {d.token.acting for d in life.decided} >= {1, 2}
    assert any(d.withheld for d in life.decided)
    assert len({d.token.cohort for d in life.decided}) > 2
    assert await PostgresLedger(scene.database).verify(number) == []
