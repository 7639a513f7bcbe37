"""The ledger in memory: it keeps the set of facts and works the posterior out from them whenever it is asked.

Nothing in it depends on the order or the number of times that facts arrive, so it is what the fold in PostgreSQL is
held against.
"""

from collections import Counter, defaultdict
from collections.abc import Iterator
from itertools import count, pairwise
from operator import attrgetter
from typing import NamedTuple

from pullarm.domain.credit import counting, credited
from pullarm.domain.decision import (
    NO_POLICY,
    Batch,
    Decision,
    Reason,
    Reward,
    RewardStatus,
    ServingMinute,
    Span,
    Token,
    uid_ms,
)
from pullarm.domain.experiment import Exposure
from pullarm.domain.intake import Intake
from pullarm.domain.ports import FoldResult
from pullarm.domain.rebuild import Exclusion
from pullarm.storage.memory.experiments import MemoryExperiments, at

_HOUR_MS = 3_600_000
_DAY_MS = 24 * _HOUR_MS


class Fact(NamedTuple):
    """What is known of one decision."""

    token: Token
    decision: Decision | None
    """None while only its rewards, or its voiding, have come."""
    voided: bool
    """Or excluded."""


class MemoryLedger:
    """The ledger of the experiments of one store."""

    def __init__(self, experiments: MemoryExperiments) -> None:
        self.experiments = experiments
        self._tokens: dict[bytes, Token] = {}
        self._decisions: dict[bytes, Decision] = {}
        self._voided: set[bytes] = set()
        self._rewards: defaultdict[bytes, dict[bytes, Reward]] = defaultdict(dict)
        self._minutes: dict[tuple[int, int, int, str], ServingMinute] = {}
        self._lives: defaultdict[str, _Life] = defaultdict(_Life)
        self._folds: defaultdict[int, list[int]] = defaultdict(list)
        self.exclusions: defaultdict[int, list[Exclusion]] = defaultdict(list)
        """By experiment, those that hold. Which fold brought a row is not known here, so `until` must be None."""
        self.quarantined: dict[str, tuple[int, str, bytes]] = {}
        """By entry: when it was set aside, what was wrong with it, and its bytes."""

    async def fold(self, batch: Batch, now_ms: int) -> FoldResult:
        """Add a set of events; what is already there changes nothing."""
        decided = {decision.token.uid: decision.token for decision in batch.decisions}
        voided = {token.uid: token for token in batch.voids}
        rewarded = {reward.token.uid: reward.token for reward in batch.rewards}
        known = len(self._decisions), self._reward_count()
        self._tokens |= decided | voided | rewarded
        for decision in batch.decisions:
            self._decisions.setdefault(decision.token.uid, decision)
        self._voided |= voided.keys()
        for reward in batch.rewards:
            self._rewards[reward.token.uid].setdefault(reward.reward_uid, reward)
        for minute in batch.minutes:
            key = (minute.experiment, minute.policy, minute.minute, minute.process)
            newest = max(self._minutes.get(key, minute), minute, key=attrgetter("sequence"))
            self._minutes[key] = newest
        for span in batch.spans:
            self._lives[span.process].add(span, now_ms)
        experiments = {token.experiment for token in (decided | voided | rewarded).values()}
        for experiment in experiments:
            self._folds[experiment].append(now_ms)
        new = len(self._decisions) - known[0], self._reward_count() - known[1]
        return FoldResult({each: len(self._folds[each]) for each in experiments}, *new)

    def _reward_count(self) -> int:
        return sum(map(len, self._rewards.values()))

    def facts(self, experiment: int) -> Iterator[Fact]:
        """Every decision of an experiment, as far as it is known."""
        for uid, token in self._tokens.items():
            if token.experiment == experiment:
                yield Fact(token, self._decisions.get(uid), self._taken_back(token))

    def compared(self, experiment: int) -> list[Token]:
        """Decisions that a policy's own units were shown; of the tries of one request on one day only the last."""
        last: dict[object, Token] = {}
        for token, decision, voided in sorted(self.facts(experiment), key=lambda f: f.token.uid):
            slots = range(1, len(token.arms) + 1)
            shown = any(self.shown(token, slot) for slot in slots)
            if token.acting != NO_POLICY and not voided and shown:
                request_id = decision.request_id if decision else ""
                day = uid_ms(token.uid) // _DAY_MS
                last[(token.unit_hash, request_id, day) if request_id else token.uid] = token
        return [
            token
            for token in last.values()
            if token.reason == Reason.ASSIGNED and token.assigned and self.shown(token, 1)
        ]

    def rewards(self, experiment: int) -> list[Reward]:
        """Every reward call of an experiment, repetitions included."""
        calls = [reward for rewards in self._rewards.values() for reward in rewards.values()]
        return [reward for reward in calls if reward.token.experiment == experiment]

    def refused(self, experiment: int) -> Counter[int]:
        """How many rewards were refused, by status."""
        refused: Counter[int] = Counter()
        for minute in self._minutes.values():
            if minute.experiment == experiment:
                refused.update(minute.refused)
        return refused

    def credit(self, token: Token, slot: int, kind: str) -> int:
        """What the rewards of one decision, slot and kind are worth, in millionths."""
        rewards = self._accepted(token, slot).get(kind, [])
        return credited(rewards, self.experiments.aggregation(token.experiment))

    async def posterior(self, experiment: int) -> dict[tuple[int, int, int], tuple[int, int]]:
        """(policy, arm, hour since 1970) -> (serves, rewards in millionths), without cells of zeros."""
        cells: dict[tuple[int, int, int], tuple[int, int]] = {}
        for token in self._tokens.values():
            if token.experiment != experiment or token.acting == NO_POLICY:
                continue
            if self._taken_back(token):
                continue
            for slot, arm in enumerate(token.arms[: token.learn_slots], start=1):
                cell = (token.acting, arm, uid_ms(token.uid) // _HOUR_MS)
                serves, credit = cells.get(cell, (0, 0))
                shown = self.shown(token, slot)
                cells[cell] = (serves + shown, credit + self.learned(token, slot))
        return {cell: sums for cell, sums in cells.items() if any(sums)}

    def shown(self, token: Token, slot: int) -> bool:
        """Whether a slot counts as shown: with its answer, or where that is asked for with a reward that counts."""
        if self.experiments.exposure(token.experiment) is Exposure.SERVED:
            return True
        return any(counting(rewards) for rewards in self._accepted(token, slot).values())

    def _taken_back(self, token: Token) -> bool:
        decided_at, exclusions = at(uid_ms(token.uid)), self.exclusions[token.experiment]
        return token.uid in self._voided or any(e.takes_decision(decided_at) for e in exclusions)

    def learned(self, token: Token, slot: int) -> int:
        """The credit of one slot: of the first kind by name that feeds the posterior."""
        by_kind = self._accepted(token, slot)
        feeding = [kind for kind, found in by_kind.items() if any(reward.feeds for reward in found)]
        return self.credit(token, slot, min(feeding)) if feeding else 0

    def _accepted(self, token: Token, slot: int) -> dict[str, list[Reward]]:
        by_kind: defaultdict[str, list[Reward]] = defaultdict(list)
        exclusions = self.exclusions[token.experiment]
        for reward in self._rewards.get(token.uid, {}).values():
            if reward.slot == slot and reward.status == RewardStatus.ACCEPTED:
                received_at = at(uid_ms(reward.reward_uid))
                if not any(e.takes_reward(reward.source, received_at) for e in exclusions):
                    by_kind[reward.kind].append(reward)
        return by_kind

    async def verify(self, experiment: int) -> list[str]:
        """A line for each reward that names its decision otherwise than the ledger; the posterior is not stored."""
        return [
            f"reward {reward_uid.hex()}: names {reward.token}, the ledger has {self._tokens[uid]}"
            for uid, rewards in self._rewards.items()
            for reward_uid, reward in rewards.items()
            if self._tokens[uid].experiment == experiment and reward.token != self._tokens[uid]
        ]

    async def intake(self) -> list[Intake]:
        """What has come of each life of a serving process, by name."""
        return [life.intake(process) for process, life in sorted(self._lives.items())]

    async def give_up(self, process: str, first: int, end: int) -> None:
        """Wait no more for the events with these numbers, which are lost; what comes of them after all is folded."""
        self._lives[process].given_up.update(range(first, end))

    async def quarantine(self, entry_id: str, problem: str, payload: bytes, now_ms: int) -> None:
        """Keep what cannot be folded; the first account of an entry stays."""
        self.quarantined.setdefault(entry_id, (now_ms, problem, payload))

    def folds(self, experiment: int) -> list[int]:
        """When each fold of an experiment was, in milliseconds since 1970; the first is number 1."""
        return list(self._folds[experiment])


class _Life:
    """Of one serving process."""

    def __init__(self) -> None:
        self.given_up: set[int] = set()
        self._come: set[int] = set()
        self._said: list[tuple[int, int, bool]] = []
        self._ended_ms: int | None = None
        self._heard_ms = 0

    def add(self, span: Span, now_ms: int) -> None:
        self._come.update(range(span.first, span.end))
        self._heard_ms = max(self._heard_ms, now_ms)
        if span.ended:
            self._ended_ms = self._ended_ms or now_ms
        if span.until_ms:
            self._said.append((span.end, span.until_ms, span.spooled))

    def intake(self, process: str) -> Intake:
        whole = set(range(max(self._come, default=-1) + 1))
        settled = self._come | self.given_up
        reached = next(number for number in count() if number not in settled)
        holds = [said for said in self._said if said[0] <= reached]
        return Intake(
            process=process,
            numbered=len(whole),
            gaps=_gaps(whole, settled),
            lost=len(whole & self.given_up - self._come),
            until_ms=max(holds)[1] if holds else None,
            spooled=self._ended_ms is None and (max(self._said)[2] if self._said else True),
            ended_ms=self._ended_ms,
            heard_ms=self._heard_ms,
        )


def _gaps(whole: set[int], settled: set[int]) -> tuple[tuple[int, int], ...]:
    """The stretches of numbers that have not come and were not given up."""
    edges = sorted({-1, len(whole)} | whole & settled)
    return tuple((a + 1, b) for a, b in pairwise(edges) if b > a + 1)
