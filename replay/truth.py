"""The *truth* way: each visitor is offered arms whose outcome is known, so that whatever is shown earns what it would.

Its log, with the weights that were drawn from, is that of a simulated logger: exact propensities, and the truth known.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import islice
from typing import ClassVar

import numpy as np
from numpy.typing import NDArray

from pullarm.policies.base import Policy, Prepared
from pullarm.policies.draw import UID_BYTES, choose
from pullarm.policies.grid import Grid
from pullarm.policies.posterior import Posterior
from replay.learning import Learner, Setting, stream
from replay.log import BanditLog, Candidates, LogHead, batch, in_memory
from replay.tally import Decided, Outcome, Tally, period_days
from replay.targets import drawn_from
from replay.traffic import BLOCK_VISITS, ArmSpec, Block
from replay.visits import Visits
from replay.window import DAY_S


@dataclass(frozen=True, slots=True, kw_only=True)
class Served:
    """One posterior and the visits that were decided by it."""

    version: int
    posterior: Posterior
    grid: Grid | None
    prepared: Prepared
    first: int
    rows: NDArray[np.int64]  # (k,) arms shown to visits first, first + 1, ...
    propensity: NDArray[np.float64]  # (k,) as drawn


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Truth:
    """Visits spread evenly over so many days."""

    way: ClassVar[str] = "truth"

    visits: Visits
    n_events: int
    days: int = 14

    def __post_init__(self) -> None:
        if self.n_events < 1 or self.days < 1:
            raise ValueError(
                f"visits and days must be at least 1, not {self.n_events} and {self.days}"
            )

    @property
    def label(self) -> str:
        """What it is made of."""
        return self.visits.label

    @property
    def arms(self) -> tuple[ArmSpec, ...]:
        """The catalogue."""
        return self.visits.arms

    @property
    def cohorts(self) -> Mapping[str, Sequence[str]]:
        """What is known of the users, by attribute."""
        return self.visits.cohorts

    @property
    def rates(self) -> NDArray[np.float64]:
        """What showing each arm earns where it is on offer, (n_arms,)."""
        return self.visits.rates

    @property
    def time_s(self) -> NDArray[np.float64]:
        """When each visit is, from the start, (n_events,)."""
        return np.linspace(0.0, self.days * DAY_S, self.n_events, endpoint=False)

    def run(self, policy: Policy, setting: Setting, seed: np.random.SeedSequence) -> Outcome:
        """Let `policy` decide every visit; a seed means the same visits and draws for each policy."""
        block = self._drawn(seed)
        arm = np.concatenate([each.rows for each in self._served(policy, setting, seed, block)])
        best = self._best(block)
        event = np.arange(self.n_events)
        reward = _outcome(block, arm)
        decided = Decided(
            event=event,
            arm=arm,
            user=block.user,
            reward=reward,
            regret=_outcome(block, best) - reward,
        )
        period = (self.time_s // (period_days(self.days) * DAY_S)).astype(np.int64)
        shape = (len(self.arms), int(period[-1]) + 1, self.visits.n_users)
        return Outcome.of(
            decided, Tally.of(decided, period=period, shape=shape), events=self.n_events
        )

    def log(
        self, label: str, policy: Policy, setting: Setting, seed: np.random.SeedSequence
    ) -> tuple[BanditLog, list[Served]]:
        """What a logger would have written of the same run, and the posteriors that it drew from, one a batch."""
        block = self._drawn(seed)
        served = list(self._served(policy, setting, seed, block))
        time_us = (self.time_s * 1e6).astype(np.int64)
        batches = []
        for each in served:
            here = slice(each.first, each.first + len(each.rows))
            size = block.size[here]
            candidates = [
                row[:n] for row, n in zip(block.candidates[here], size.tolist(), strict=True)
            ]
            batches.append(
                batch(
                    action=each.rows,
                    propensity=each.propensity,
                    reward=_outcome(block, each.rows, first=each.first),
                    user=block.user[here],
                    version=np.full(len(each.rows), each.version),
                    time_us=time_us[here],
                    candidates=Candidates(
                        start=np.concatenate(([0], np.cumsum(size))),
                        arm=np.concatenate(candidates).astype(np.int32),
                        probability=np.concatenate(
                            [drawn_from(each.prepared, row) for row in candidates]
                        ),
                    ),
                )
            )
        head = LogHead(
            name=f"{label} on {self.label}",
            arms=tuple(arm.id for arm in self.arms),
            policies=(label,),
            rows=self.n_events,
            offered="listed",
            users_known=True,
            counts={"rows": self.n_events},
        )
        return in_memory(head, batches), served

    def _drawn(self, seed: np.random.SeedSequence) -> Block:
        """The run's visits."""
        number = int(stream(seed, 0).generate_state(1, np.uint64)[0])
        blocks = islice(self.visits.seeded(number).blocks(), -(-self.n_events // BLOCK_VISITS))
        drawn = list(blocks)

        def together(name: str) -> NDArray[np.int64]:
            return np.concatenate([getattr(each, name) for each in drawn])[: self.n_events]

        return Block(
            user=together("user"),
            candidates=together("candidates"),
            outcomes=together("outcomes").astype(np.int8),
            size=together("size"),
        )

    def _served(
        self, policy: Policy, setting: Setting, seed: np.random.SeedSequence, block: Block
    ) -> Iterator[Served]:
        uids = np.random.default_rng(stream(seed, 1)).bytes(self.n_events * UID_BYTES)
        time_s = self.time_s
        due_s = time_s + setting.delays_s(np.random.default_rng(stream(seed, 2)), self.n_events)
        learner = Learner(policy, len(self.arms))
        sizes = block.size.tolist()
        for first in range(0, self.n_events, setting.every):
            last = min(first + setting.every, self.n_events)
            prepared = learner.prepared
            drawn = [
                choose(
                    policy,
                    prepared,
                    block.candidates[visit, : sizes[visit]],
                    slots=1,
                    uid=uids[visit * UID_BYTES : (visit + 1) * UID_BYTES],
                )[0]
                for visit in range(first, last)
            ]
            rows = np.array([choice.row for choice in drawn])
            yield Served(
                version=learner.version,
                posterior=learner.posterior,
                grid=learner.grid,
                prepared=prepared,
                first=first,
                rows=rows,
                propensity=np.array([choice.propensity for choice in drawn]),
            )
            if last < self.n_events:
                earned = _outcome(block, rows, first=first)
                learner.serve(rows, earned, due_s[first:last])
                learner.publish(time_s[last - 1])

    def _best(self, block: Block) -> NDArray[np.int64]:
        """Of each visit's candidates the arm with the highest rate."""
        beyond = np.arange(block.candidates.shape[1]) >= block.size[:, np.newaxis]
        rate = np.where(beyond, -1.0, self.visits.rates[block.candidates])
        best = rate.argmax(axis=1)[:, np.newaxis]
        return np.asarray(np.take_along_axis(block.candidates, best, axis=1)[:, 0])


def _outcome(block: Block, arm: NDArray[np.int64], *, first: int = 0) -> NDArray[np.float64]:
    """What `arm` (k,) earned in visits first, first + 1, ...; each is among its visit's candidates."""
    here = slice(first, first + len(arm))
    place = (block.candidates[here] == arm[:, np.newaxis]).argmax(axis=1)
    return np.asarray(block.outcomes[here][np.arange(len(arm)), place], dtype=np.float64)
