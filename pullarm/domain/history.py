"""What the ledger has of one decision, for whoever looks back at it."""

from typing import NamedTuple

from pullarm.domain.decision import Decision, Reward, Token


class Logged(NamedTuple):
    """One decision, as far as it has come."""

    token: Token
    decision: Decision | None
    """None while only its rewards, or its voiding, have come. Its newcomers are not kept."""
    voided: bool
    """It was logged and never answered."""
    rewards: tuple[Reward, ...]
    """Every call, by time of receipt; repetitions, retractions and what came too late included."""
    erased: bool = False
    """Its user was erased: unit, bucket, attributes and request id stand for others."""
