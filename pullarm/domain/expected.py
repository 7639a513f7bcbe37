"""What is known of an experiment before it begins."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class Expected:
    """What is known beforehand, to tell how long the experiment has to be; nothing else depends on it."""

    visits_per_day: float | None = None
    """Selections a day, of users in and out of traffic; None where it is not known."""
    base_rate: float | None = None
    """Reward per impression under control; None where it is not known."""
    uplift: float = 0.03
    """The lift over control that should be found: 0.03 is +3 %."""
    design_effect: float = 3.3
    """How many times the variance is that of independent impressions, because users come again: measured on simulated
    users with eight impressions each."""
