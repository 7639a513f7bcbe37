"""Decisions as serving makes them, from what was published, and their rates worked out the plain way."""

import math
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime

from pullarm.domain.arm_rates import RatesCut
from pullarm.domain.decision import Decision
from pullarm.domain.experiment import (
    POLICY_NUMBERS,
    Experiment,
    Exposure,
    Learning,
    PolicySpec,
    RewardDefinition,
)
from pullarm.domain.log_row import LogRow
from pullarm.domain.ports import Revision
from pullarm.statistics.arm_rates import ArmCells, arm_rates
from pullarm.storage.postgres import PostgresHistory, PostgresPublications
from pullarm.storage.postgres.arm_rate_stage import PostgresArmRateStage
from pullarm.storage.postgres.arm_rates import PostgresArmRates
from pullarm.storage.postgres.export import PostgresExport
from replay.explain import redo
from replay.log_file import log_rows
from tests.builders import ask, query
from tests.ledger_events import HOUR_MS, START_MS, Event, draft
from tests.publishing import Scene
from workers.publisher import Publisher

WINDOW_H = 3.0
MATURE_MS = 4 * HOUR_MS
"""The window and an hour's grace."""

Key = tuple[int, int, int]
Figures = tuple[int, int, int, float, float]
"""Offered, served, rewarded, rate, standard error."""


@dataclass
class RateScene:
    """An experiment that is served, folded and published."""

    scene: Scene
    experiment: Experiment
    made: int = 0

    def __post_init__(self) -> None:
        self.number = self.experiment.number
        publications = PostgresPublications(self.scene.database, checkpoint_folds=3)
        self.scene.publisher = Publisher(publications, self.scene.board, self.scene.clock)
        self.stage = PostgresArmRateStage(self.scene.database, decisions=17)

    @property
    def now_ms(self) -> int:
        return self.scene.clock.now_ms

    async def publish(self) -> None:
        """What was folded, and let serving have it."""
        await self.scene.publisher.publish_due()
        await self.scene.served(self.number)

    def decide(
        self, *candidates: str, at_ms: int | None = None, user: str = "", request_id: str = ""
    ) -> Decision:
        """Of a new user, or this one."""
        self.made += 1
        asked = query(
            *candidates,
            reference=self.experiment.id,
            user=user or f"user-{self.made}",
            request_id=request_id,
        )
        answer = ask(
            self.scene.refresher.snapshot,
            asked,
            entropy=self.made.to_bytes(10, "big"),
            now_ms=self.now_ms if at_ms is None else at_ms,
        )
        return answer.decision

    async def fold(self, *events: Event) -> None:
        await self.scene.fold(*events)

    async def rates(self) -> tuple[RatesCut, ArmCells]:
        """Once all that is mature is in them."""
        await self.stage.catch_up(self.number, self.now_ms)
        return await PostgresArmRates(self.scene.database).read(self.number)

    async def figures(self) -> dict[Key, Figures]:
        """By epoch, policy and arm that was served, from the stored sums."""
        found: dict[Key, Figures] = {}
        _, cells = await self.rates()
        for key, told in zip(cells.keys, arm_rates(cells.sums, alpha=0.05), strict=True):
            if told.rate is not None and told.error is not None:
                found[key] = told.offered, told.served, told.rewarded, told.rate, told.error
        return found

    async def plain_figures(self) -> dict[Key, Figures]:
        """The same from the exported log and every decision redone, one at a time."""
        until = datetime.fromtimestamp((self.now_ms - MATURE_MS) / 1_000, UTC)
        log = PostgresExport(self.scene.database)
        kinds = await log.kinds(self.experiment)
        rows = [
            row
            async for page in log.pages(self.experiment, kinds)
            for row in log_rows(page)
            if row.slot == 1 and row.acting != "none" and not row.voided and not row.excluded
        ]
        counting = [row for row in rows if row.decided_at < until and not _tried_again(row, rows)]
        history, told = PostgresHistory(self.scene.database), defaultdict[Key, _Plain](_Plain)
        for row in counting:
            decision = (await history.logged(bytes.fromhex(row.decision_uid))).decision
            assert decision is not None
            redone = redo(decision, await history.published(self.number, row.pub_no))
            earned = sum(credit.booked for credit in row.rewards.values())
            for arm, scored in set(zip(redone.candidates, redone.scored, strict=True)):
                if scored is not None:
                    key = row.allocation_epoch, POLICY_NUMBERS[row.acting], arm
                    propensity = scored.integer / row.total
                    told[key].add(propensity, earned if arm == row.arm_no else None)
        return {key: plain.figures() for key, plain in told.items() if plain.served}


def _tried_again(row: LogRow, rows: Sequence[LogRow]) -> bool:
    """Whether a later try of the same request on the same day stands."""
    return bool(row.request_id) and any(
        (other.unit, other.request_id) == (row.unit, row.request_id)
        and other.decided_at.date() == row.decided_at.date()
        and other.decision_uid > row.decision_uid
        for other in rows
    )


class _Plain:
    """What the method says of one arm, with all scores in a list."""

    def __init__(self) -> None:
        self.served = self.rewarded = 0
        self.earned = 0.0
        self.terms: list[tuple[float, float]] = []

    def add(self, propensity: float, reward: float | None) -> None:
        """One decision that offered it; None where another arm was shown."""
        guess = (self.earned + 1.0) / (self.served + 2.0)
        score = guess if reward is None else guess + (reward - guess) / propensity
        self.terms.append((math.sqrt(propensity), score))
        if reward is not None:
            self.served += 1
            self.rewarded += reward > 0.0
            self.earned += reward

    def figures(self) -> Figures:
        total = sum(weight for weight, _ in self.terms)
        rate = sum(weight * score for weight, score in self.terms) / total
        squares = sum(weight**2 * (score - rate) ** 2 for weight, score in self.terms)
        return len(self.terms), self.served, self.rewarded, rate, math.sqrt(squares) / total


async def rate_scene(
    scene: Scene,
    *,
    arms: Sequence[str],
    policies: Sequence[PolicySpec],
    exposure: Exposure = Exposure.SERVED,
    learning: Learning | None = None,
) -> RateScene:
    """An experiment with a window of three hours that is running and published."""
    scene.clock.now_ms = START_MS
    new = draft("rated", arms=arms, exposure=exposure)
    created = await scene.experiments.create(new, START_MS)
    reward = RewardDefinition(window_hours=WINDOW_H, exposure=exposure)
    spec = replace(
        created.spec, policies=tuple(policies), reward=reward, learning=learning or Learning()
    )
    found = RateScene(scene, await scene.revise(created, spec))
    await scene.publisher.publish_due()
    await scene.publisher.audit()
    await found.publish()
    return found


def next_epoch(experiment: Experiment) -> Revision:
    """A change that begins another allocation epoch."""
    return Revision(
        action="edit",
        spec=experiment.spec,
        state=experiment.state,
        buckets=experiment.buckets,
        allocation_epoch=experiment.allocation_epoch + 1,
        guard_epoch=experiment.guard_epoch,
    )
