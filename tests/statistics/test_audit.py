"""An audit of 200,000 logged decisions: what was drawn agrees with what was logged, and any of it can be redone.

The real decider answers over snapshots that move: its decisions and rewards are folded into a real PostgreSQL, and
what was folded is published and served before the next requests come.
"""

from collections.abc import AsyncIterator, Iterable
from dataclasses import dataclass, field
from random import Random

import numpy as np
import pytest
from numpy.typing import NDArray
from scipy import special

from pullarm.domain.assignment import allocate
from pullarm.domain.decision import Batch, Decision, unpack_arms
from pullarm.domain.experiment import POLICY_NAMES, Arm, PolicySpec, Spec, policy_weights
from pullarm.domain.ports import NewExperiment
from pullarm.domain.publication import Published
from pullarm.policies.base import Offer
from pullarm.policies.draw import integer_weights
from pullarm.storage.postgres import PostgresHistory, PostgresLedger, PostgresPublications
from replay.explain import Verdict, redo
from serving.snapshot import Served
from tests.builders import FixedClock, ask, query
from tests.ledger_events import START_MS
from tests.publishing import Scene, publishing
from workers.publisher import Publisher

N_ARMS, N_OFFERED = 12, 8
ROUNDS, PER_ROUND = 40, 5_000
N_EXPLAINED = 1_000
ARMS = [f"arm-{number}" for number in range(1, N_ARMS + 1)]
RATES = np.linspace(0.05, 0.25, N_ARMS)
# The seed is fixed, so this is no rate of false alarms: it says how odd the result may look.
LEAST_P = 1e-4


@dataclass
class Account:
    """Drawn against logged for one policy: sums over decisions of 1[arm drawn] - p(arm), and their covariance.

    Given the snapshot each term has mean 0 and covariance diag(p) - p p', whatever came before: a martingale, so that
    the sums are asymptotically normal although the policy learns from its own draws.
    """

    surplus: NDArray[np.float64] = field(default_factory=lambda: np.zeros(N_ARMS))
    covariance: NDArray[np.float64] = field(default_factory=lambda: np.zeros((N_ARMS, N_ARMS)))
    decisions: int = 0

    def add(self, arm: int, probabilities: NDArray[np.float64]) -> None:
        self.surplus -= probabilities
        self.surplus[arm - 1] += 1.0
        self.covariance += np.diag(probabilities) - np.outer(probabilities, probabilities)
        self.decisions += 1

    def p_value(self) -> float:
        """Of the quadratic form of the surplus, chi-square with N_ARMS - 1 degrees of freedom."""
        statistic = self.surplus @ np.linalg.pinv(self.covariance, hermitian=True) @ self.surplus
        return float(special.chdtrc(N_ARMS - 1, statistic))


@dataclass
class Audit:
    """An experiment under way."""

    scene: Scene
    number: int
    random: Random = field(default_factory=lambda: Random(31))
    accounts: dict[int, Account] = field(default_factory=dict)
    uids: list[bytes] = field(default_factory=list)

    async def round(self) -> None:
        """PER_ROUND decisions on the newest snapshot, audited, folded with their rewards and published."""
        served = await self.scene.served(self.number)
        decisions = [self.decision() for _ in range(PER_ROUND)]
        for decision in decisions:
            if decision.token.acting:
                self.audit(served, decision)
        self.uids += [decision.token.uid for decision in decisions]
        rewarded = [
            decision.token
            for decision in decisions
            if self.random.random() < RATES[decision.token.arms[0] - 1]
        ]
        rewards = [self.scene.make.reward(token) for token in rewarded]
        ledger = PostgresLedger(self.scene.database)
        await ledger.fold(Batch(decisions, rewards[::2], []), START_MS)
        await ledger.fold(Batch([], rewards[1::2], []), START_MS)
        await self.scene.publisher.publish_due()

    def decision(self) -> Decision:
        random = self.random
        asked = query(
            *random.sample(ARMS, N_OFFERED),
            reference="audited",
            user=f"user-{random.randrange(100_000)}",
            slots=random.choice([1, 1, 1, 3]),
        )
        snapshot = self.scene.refresher.snapshot
        return ask(snapshot, asked, entropy=random.randbytes(10)).decision

    def audit(self, served: Served, decision: Decision) -> None:
        """Hold the first slot against the whole vector of integers it was drawn from."""
        acting = served.policies[decision.token.acting]
        rows = [arm - 1 for arm in unpack_arms(decision.candidates)]
        offer = Offer.of(rows)
        integers = integer_weights(acting.prepared.weights(offer), acting.policy.floor)
        total = int(integers.sum())
        arm = decision.token.arms[0]
        logged = int(integers[np.searchsorted(offer.rows, arm - 1)])
        assert (decision.weights[0], decision.totals[0]) == (logged, total)
        probabilities = np.zeros(N_ARMS)
        probabilities[offer.rows] = integers / total
        self.accounts.setdefault(decision.token.acting, Account()).add(arm, probabilities)

    async def explain(self, uids: Iterable[bytes]) -> dict[Verdict, int]:
        """How many decisions came out how; a publication is read from the ledger once."""
        history = PostgresHistory(self.scene.database)
        publications: dict[int, Published] = {}
        verdicts = dict.fromkeys(Verdict, 0)
        for uid in uids:
            decision = (await history.logged(uid)).decision
            assert decision is not None
            pub_no = decision.pub_no
            if pub_no not in publications:
                publications[pub_no] = await history.published(self.number, pub_no)
            verdicts[redo(decision, publications[pub_no]).verdict] += 1
        assert len(publications) == ROUNDS
        return verdicts


@pytest.fixture
async def audit(database_url: str, redis_url: str) -> AsyncIterator[Audit]:
    async with publishing(database_url, redis_url) as scene:
        policies = (
            *(PolicySpec(name=name) for name in ("thompson", "egreedy", "ucb")),
            PolicySpec(name="control", params={"mode": "uniform"}),
        )
        spec = Spec(name="Audited", traffic_pct=0.95, policies=policies)
        new = NewExperiment(
            id="exp_audited",
            key="audited",
            spec=spec,
            salt=b"0123456789abcdef",
            buckets=allocate(policy_weights(spec)),
            arms=tuple(Arm(arm_no=n, arm_id=arm_id) for n, arm_id in enumerate(ARMS, start=1)),
        )
        created = await scene.experiments.create(new, START_MS)
        experiment = await scene.revise(created, spec)
        # So that what a past posterior takes is both: a checkpoint, and folds after it.
        publications = PostgresPublications(scene.database, checkpoint_folds=7)
        scene.publisher = Publisher(publications, scene.board, FixedClock())
        await scene.publisher.publish_due()
        await scene.publisher.audit()
        yield Audit(scene, experiment.number)


async def test_two_hundred_thousand_logged_decisions(audit: Audit) -> None:
    """Frequencies against propensities by policy, at least LEAST_P; then a random thousand of all redone exactly."""
    for _ in range(ROUNDS):
        await audit.round()
    assert len(audit.uids) == 200_000
    assert {POLICY_NAMES[number] for number in audit.accounts} == {
        *("thompson", "egreedy", "ucb", "control")
    }
    assert all(account.decisions > 40_000 for account in audit.accounts.values())
    p_values = {POLICY_NAMES[n]: account.p_value() for n, account in audit.accounts.items()}
    assert min(p_values.values()) > LEAST_P, p_values
    assert await PostgresLedger(audit.scene.database).verify(audit.number) == []
    explained = audit.random.sample(audit.uids, N_EXPLAINED)
    assert await audit.explain(explained) == dict.fromkeys(Verdict, 0) | {
        Verdict.REPRODUCED: N_EXPLAINED
    }


def test_the_audit_notices_a_propensity_that_is_off_by_two_hundredths() -> None:
    """Drawn uniformly, logged as 0.52 to 0.48 among two groups of arms."""
    rng, account = np.random.default_rng(5), Account()
    logged = np.repeat([0.52, 0.48], N_ARMS // 2) / (N_ARMS // 2)
    for arm in rng.integers(1, N_ARMS + 1, 50_000):
        account.add(int(arm), logged)
    assert account.p_value() < LEAST_P
