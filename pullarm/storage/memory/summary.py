"""The figures of one experiment, counted anew from the ledger in memory."""

from collections import Counter, defaultdict
from collections.abc import Iterable, Sequence
from datetime import datetime, timedelta

from pullarm.domain.decision import (
    NO_EXPERIMENT,
    Reason,
    Reward,
    RewardStatus,
    Token,
    uid_ms,
)
from pullarm.domain.experiment import POLICY_NAMES, Experiment
from pullarm.domain.summary import DataCut, FirstExposures, PolicyFigures, Summary
from pullarm.statistics.ratio import Sums
from pullarm.storage.figures import figures, not_analysed, shares
from pullarm.storage.memory.experiments import at
from pullarm.storage.memory.ledger import MemoryLedger


class MemorySummary:
    """Answers summaries of one ledger; nothing is published in memory, so posterior_version is 0."""

    def __init__(self, ledger: MemoryLedger) -> None:
        self._ledger = ledger

    async def of(self, experiment: Experiment) -> Summary:
        """The figures as of this moment."""
        facts = list(self._ledger.facts(experiment.number))
        whole = [fact.decision for fact in facts if fact.decision is not None]
        rewards = self._ledger.rewards(experiment.number)
        made_ms = [uid_ms(fact.token.uid) for fact in facts]
        reasons = Counter(Reason(fact.token.reason).name for fact in facts if not fact.voided)
        compared, moved = _own(
            self._ledger.compared(experiment.number), experiment.started_at or experiment.created_at
        )
        folds = len(self._ledger.folds(experiment.number))
        return Summary(
            policies=self._policies(experiment, compared),
            decisions=len(whole),
            rewards_received=len(rewards),
            duplicate_rewards=len(rewards) - len({_identity(reward) for reward in rewards}),
            decisions_by_reason=dict(reasons),
            rewards_by_status=_named(Counter(reward.status for reward in rewards)),
            refused_rewards=_named(self._ledger.refused(experiment.number)),
            unattributed_rewards=_named(self._ledger.refused(NO_EXPERIMENT)),
            voided=dict(Counter(POLICY_NAMES[f.token.assigned] for f in facts if f.voided)),
            moved=dict(Counter(POLICY_NAMES[token.assigned] for token in moved)),
            not_analysed=not_analysed(
                reasons,
                voided=sum(fact.voided for fact in facts),
                moved=len(moved),
                serves=len(compared),
            ),
            first_exposures=self._first_exposures(experiment, compared),
            unlisted_candidates=sum(decision.unlisted for decision in whole),
            withheld_candidates=sum(decision.withheld for decision in whole),
            first_decision_at=at(min(made_ms)) if made_ms else None,
            last_decision_at=at(max(made_ms)) if made_ms else None,
            data_cut=DataCut(fold_no=folds, folds_behind=0, behind_since=None),
            fold_no=folds,
            posterior_version=0,
        )

    def _policies(self, experiment: Experiment, tokens: list[Token]) -> dict[str, PolicyFigures]:
        met = sorted({token.assigned for token in tokens})
        numbers = dict.fromkeys([*sorted(experiment.policy_weights()), *met])
        return {
            POLICY_NAMES[number]: self._figures([t for t in tokens if t.assigned == number])
            for number in numbers
        }

    def _first_exposures(
        self, experiment: Experiment, own: Iterable[Token]
    ) -> tuple[FirstExposures, ...]:
        epochs: dict[int, int] = {}  # by unit, the first
        for token in own:
            epoch = epochs.get(token.unit_hash, token.allocation_epoch)
            epochs[token.unit_hash] = min(epoch, token.allocation_epoch)
        policies = {token.unit_hash: token.assigned for token in own}
        users: defaultdict[int, Counter[str]] = defaultdict(Counter)
        for unit, epoch in epochs.items():
            users[epoch][POLICY_NAMES[policies[unit]]] += 1
        return tuple(
            FirstExposures(
                allocation_epoch=epoch,
                users=dict(counted),
                shares=shares(self._ledger.experiments.buckets_of(experiment.number, epoch)),
            )
            for epoch, counted in sorted(users.items())
        )

    def _figures(self, tokens: Sequence[Token]) -> PolicyFigures:
        serves, credits = Counter[int](), Counter[int]()
        rewarded = 0
        for token in tokens:
            credit = self._ledger.learned(token, 1)
            serves[token.unit_hash] += 1
            credits[token.unit_hash] += credit
            rewarded += credit > 0
        sums = [Sums.change(0, 0, impressions=serves[u], reward=credits[u]) for u in serves]
        return figures(sum(sums, start=Sums()), rewarded)


def _own(tokens: Iterable[Token], start: datetime) -> tuple[list[Token], list[Token]]:
    """What units did with the policy they were shown first, and what with another one later."""

    def order(token: Token) -> tuple[int, int, int]:
        day = (at(uid_ms(token.uid)) - start) // timedelta(days=1)
        return token.allocation_epoch, max(0, day), token.assigned

    first: dict[int, int] = {}
    ordered = sorted(tokens, key=order)
    for token in ordered:
        first.setdefault(token.unit_hash, token.assigned)
    own = [token for token in ordered if token.assigned == first[token.unit_hash]]
    moved = [token for token in ordered if token.assigned != first[token.unit_hash]]
    return own, moved


def _named(counts: Counter[int]) -> dict[str, int]:
    return {RewardStatus(status).name: count for status, count in counts.items()}


def _identity(reward: Reward) -> tuple[object, ...]:
    """What two calls about the same thing have in common."""
    return (
        *(reward.token.uid, reward.status, reward.slot),
        *(reward.kind, reward.reward_id, reward.retract),
    )
