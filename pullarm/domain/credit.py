"""What a decision's rewards are worth: a function of their *set*, so that order and repetition change nothing."""

from collections.abc import Iterable

from pullarm.domain.assignment import MICRO
from pullarm.domain.decision import Reward, RewardStatus
from pullarm.domain.experiment import Aggregation


def counting(rewards: Iterable[Reward]) -> list[Reward]:
    """Of all rewards reported for one decision, slot and kind, those that count, by time of receipt.

    Only accepted rewards count. Of several with one reward_id the first received counts; a retraction cancels its
    reward_id whenever it comes.
    """
    accepted = [r for r in rewards if r.status == RewardStatus.ACCEPTED]
    retracted = {r.reward_id for r in accepted if r.retract}
    first: dict[str, Reward] = {}
    for reward in sorted(accepted, key=lambda r: r.reward_uid):
        if not reward.retract and reward.reward_id not in retracted:
            first.setdefault(reward.reward_id, reward)
    return list(first.values())


def credited(rewards: Iterable[Reward], aggregation: Aggregation) -> int:
    """The credit in millionths of all rewards reported for one decision, slot and kind.

    `first` takes the first received that counts, `sum` is clipped at 1, `max` takes the largest. The same rule stands
    in SQL as the view `worth` (ledger.md, Fold 4); a property test holds the two together.
    """
    credits = [r.credit_micro for r in counting(rewards)]
    if not credits:
        return 0
    if aggregation is Aggregation.FIRST:
        return credits[0]
    if aggregation is Aggregation.SUM:
        return min(MICRO, sum(credits))
    return max(credits)
