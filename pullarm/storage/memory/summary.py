"""The figures of one experiment, counted anew from the ledger in memory."""

from collections import Counter
from collections.abc import Iterable, Sequence

from pullarm.domain.decision import NO_EXPERIMENT, Reason, Reward, RewardStatus, Token, uid_ms
from pullarm.domain.experiment import POLICY_NAMES, Experiment
from pullarm.domain.summary import PolicyFigures, Summary
from pullarm.storage.memory.experiments import at
from pullarm.storage.memory.ledger import Fact, MemoryLedger


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
        return Summary(
            policies=self._policies(experiment, _counted(self._shown(facts))),
            decisions=len(whole),
            rewards_received=len(rewards),
            duplicate_rewards=len(rewards) - len({_identity(reward) for reward in rewards}),
            decisions_by_reason=dict(reasons),
            rewards_by_status=_named(Counter(reward.status for reward in rewards)),
            refused_rewards=_named(self._ledger.refused(experiment.number)),
            unattributed_rewards=_named(self._ledger.refused(NO_EXPERIMENT)),
            voided=dict(Counter(POLICY_NAMES[f.token.assigned] for f in facts if f.voided)),
            unlisted_candidates=sum(decision.unlisted for decision in whole),
            withheld_candidates=sum(decision.withheld for decision in whole),
            first_decision_at=at(min(made_ms)) if made_ms else None,
            last_decision_at=at(max(made_ms)) if made_ms else None,
            fold_no=len(self._ledger.folds(experiment.number)),
            posterior_version=0,
        )

    def _shown(self, facts: Iterable[Fact]) -> list[Fact]:
        return [fact for fact in facts if self._ledger.shown(fact.token, 1)]

    def _policies(self, experiment: Experiment, tokens: list[Token]) -> dict[str, PolicyFigures]:
        met = sorted({token.assigned for token in tokens})
        numbers = dict.fromkeys([*sorted(experiment.policy_weights()), *met])
        kind = experiment.spec.reward.learns
        return {
            POLICY_NAMES[number]: self._figures([t for t in tokens if t.assigned == number], kind)
            for number in numbers
        }

    def _figures(self, tokens: Sequence[Token], kind: str) -> PolicyFigures:
        credits = [self._ledger.credit(token, 1, kind) for token in tokens]
        return PolicyFigures.of(
            users=len({token.unit_hash for token in tokens}),
            serves=len(tokens),
            rewards=sum(credit > 0 for credit in credits),
            credit_micro=sum(credits),
            squared_micro=sum(credit * credit for credit in credits),
        )


def _named(counts: Counter[int]) -> dict[str, int]:
    return {RewardStatus(status).name: count for status, count in counts.items()}


def _identity(reward: Reward) -> tuple[object, ...]:
    """What two calls about the same thing have in common."""
    return (
        *(reward.token.uid, reward.status, reward.slot),
        *(reward.kind, reward.reward_id, reward.retract),
    )


def _counted(facts: Iterable[Fact]) -> list[Token]:
    """Decisions that a policy's own units got; of the tries of one request only the last."""
    last: dict[object, Token] = {}
    for token, decision, voided in sorted(facts, key=lambda fact: fact.token.uid):
        if token.reason == Reason.ASSIGNED and token.assigned and not voided:
            request_id = decision.request_id if decision else ""
            last[(token.unit_hash, request_id) if request_id else token.uid] = token
    return list(last.values())
