"""Builds experiments and events for tests of storage."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from random import Random

from pullarm.domain.assignment import MICRO, allocate
from pullarm.domain.decision import (
    Batch,
    Decision,
    Reason,
    Reward,
    RewardStatus,
    Token,
    make_uid,
    pack_arms,
    uid_ms,
)
from pullarm.domain.experiment import (
    Aggregation,
    Arm,
    Catalogue,
    Experiment,
    Exposure,
    PolicySpec,
    RewardDefinition,
    Spec,
    policy_weights,
)
from pullarm.domain.ports import NewExperiment, Revision
from pullarm.storage import events

HOUR_MS = 3_600_000
START_MS = 489_000 * HOUR_MS  # 14 October 2025, 00:00 UTC
THOMPSON = 2

Event = Decision | Reward | Token
"""A Token stands for the voiding of its decision."""


def draft(
    key: str,
    *,
    aggregation: Aggregation = Aggregation.FIRST,
    exposure: Exposure = Exposure.SERVED,
    arms: Sequence[str] = ("one", "two"),
    catalogue: Catalogue = Catalogue.CLOSED,
    max_arms: int = 1_000,
) -> NewExperiment:
    """A draft with thompson and control."""
    spec = Spec(
        name=key,
        policies=(PolicySpec(name="thompson", params={"floor": 0.05}), PolicySpec(name="control")),
        reward=RewardDefinition(aggregation=aggregation, exposure=exposure),
        catalogue=catalogue,
        max_arms=max_arms,
    )
    return NewExperiment(
        id=f"exp_{key}",
        key=key,
        spec=spec,
        salt=b"0123456789abcdef",
        buckets=allocate(policy_weights(spec)),
        arms=tuple(Arm(arm_no=n, arm_id=arm_id) for n, arm_id in enumerate(arms, start=1)),
    )


def rearmed(experiment: Experiment, arms: tuple[Arm, ...]) -> Revision:
    """The change of an experiment that gives it these arms."""
    return Revision(
        action="state_arms",
        spec=experiment.spec,
        state=experiment.state,
        buckets=experiment.buckets,
        allocation_epoch=experiment.allocation_epoch,
        guard_epoch=experiment.guard_epoch,
        arms=arms,
    )


def batch(*events: Event) -> Batch:
    """The batch of these events."""
    return Batch(
        [event for event in events if isinstance(event, Decision)],
        [event for event in events if isinstance(event, Reward)],
        [event for event in events if isinstance(event, Token)],
    )


def entry(of: Batch) -> bytes:
    """The stream entry of a batch with one span at most."""
    packed = [[events.pack(event) for event in kind] for kind in of[:4]]
    return events.entry(*packed, span=next(iter(of.spans), None), traces=of.traces)


@dataclass
class Events:
    """Makes events whose uids are random, by a seed."""

    random: Random = field(default_factory=lambda: Random(1))

    def uid(self, at_ms: int) -> bytes:
        return make_uid(at_ms, self.random.randbytes(10))

    def token(
        self,
        experiment: int,
        *,
        at_ms: int = START_MS,
        acting: int = THOMPSON,
        arms: Sequence[int] = (1,),
        learn_slots: int = 1,
        reason: Reason = Reason.ASSIGNED,
    ) -> Token:
        return Token(
            uid=self.uid(at_ms),
            experiment=experiment,
            allocation_epoch=1,
            assigned=acting,
            acting=acting,
            reason=reason,
            learn_slots=learn_slots,
            unit_hash=self.random.getrandbits(64) - 2**63,
            cohort=0,
            arms=list(arms),
        )

    def decision(self, token: Token) -> Decision:
        slots = len(token.arms)
        return Decision(
            token=token,
            config_no=1,
            pub_no=1,
            kernel=1,
            unit="user",
            bucket=9_999,
            candidates=pack_arms(token.arms),
            weights=[1 << 40] * slots,
            totals=[1 << 41] * slots,
            attributes={"country": "de"},
            request_id="",
            unlisted=0,
            newcomers=[],
        )

    def reward(
        self,
        token: Token,
        *,
        credit: float = 1.0,
        slot: int = 1,
        kind: str = "reward",
        reward_id: str = "",
        status: RewardStatus = RewardStatus.ACCEPTED,
        feeds: bool = True,
        retract: bool = False,
        after_ms: int = 1_000,
        source: str = "test",
    ) -> Reward:
        at_ms = uid_ms(token.uid) + after_ms
        return Reward(
            token=token,
            reward_uid=self.uid(at_ms),
            slot=slot,
            kind=kind,
            reward_id=reward_id,
            source=source,
            value=credit,
            credit_micro=round(credit * MICRO),
            feeds=feeds,
            retract=retract,
            status=status,
            occurred_ms=at_ms,
        )


def some_rewards(make: Events, token: Token, random: Random) -> list[Reward]:
    """Rewards of whatever kind, worth, source and status for a decision, retractions and repetitions among them."""
    rewards: list[Reward] = []
    for _ in range(random.choice([0, 1, 1, 2, 4])):
        reward = make.reward(
            token,
            slot=random.choice([1, 1, 1, 2]),
            kind=random.choice(["reward", "reward", "shown"]),
            reward_id=random.choice(["", "a", "b"]),
            credit=random.choice([0.0, 0.3, 0.7, 1.0]),
            feeds=random.random() < 0.8,
            retract=random.random() < 0.2,
            status=random.choice([RewardStatus.ACCEPTED] * 4 + [RewardStatus.LATE]),
            after_ms=random.choice([0, 1_000, 3 * HOUR_MS]),
            source=random.choice(["test", "bot"]),
        )
        rewards += [reward] * random.choice([1, 1, 2])
    return rewards
