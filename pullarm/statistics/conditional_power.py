"""What more data would bring: where an estimate may be at a later look, given where it is now."""

from __future__ import annotations

import math
from statistics import NormalDist

from pullarm.statistics.ratio import LogLift

_STANDARD = NormalDist()


def chance_above(effect: LogLift, limit: float, *, information: float, drift: float) -> float:
    """P(the estimate at a later look exceeds `limit`) given today's, were the true log lift `drift`.

    The later estimate is normal with mean (I value + (J - I) drift) / J and deviation sqrt(J - I) / J, for I the
    information there is and J what there will be. With `limit` = bound / sqrt J it is the conditional power of that
    look; power over several looks is at least that of the last.

    Args:
        effect: today's.
        limit: on the log scale.
        information: of the later look, more than the effect's.
        drift: e.g. the shrunk estimate; today's own makes it too hopeful where a large one was picked.

    Raises:
        ValueError: unless information is more than there is now.

    Source: Jennison and Turnbull, "Group Sequential Methods" (2000), section 10.2.
    """
    gained = information - effect.information
    if not gained > 0.0:
        raise ValueError(f"information must be more than {effect.information}, not {information}")
    mean = (effect.information * effect.value + gained * drift) / information
    return _STANDARD.cdf((mean - limit) * information / math.sqrt(gained))
