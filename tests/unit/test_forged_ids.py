"""Whatever strangers make of genuine decision ids, none is accepted; `make fuzz` sends a million over a socket."""

from collections import Counter

import numpy as np
import pytest

from pullarm.domain.decision import RewardStatus
from pullarm.domain.decision_id import decode
from pullarm.domain.errors import InvalidInput
from tests.builders import KEYS
from tests.fuzz.forged import forged, genuine, texts

FORGED = 30_000


def test_no_forged_id_is_accepted() -> None:
    statuses: Counter[RewardStatus | None] = Counter()
    for some in forged(KEYS, FORGED, np.random.default_rng(1)):
        for text in some:
            with pytest.raises(InvalidInput) as refused:
                decode(text, KEYS)
            statuses[refused.value.reward_status] += 1
    assert statuses.total() == FORGED
    # Both ways of refusing are tried, and most of what is sent is spelled well.
    assert statuses.keys() == {RewardStatus.MALFORMED_ID, RewardStatus.FORGED_ID}
    assert statuses[RewardStatus.FORGED_ID] > FORGED / 2


def test_what_is_forged_was_genuine_before() -> None:
    for source in genuine(KEYS, 10, np.random.default_rng(1)):
        assert len({decode(text, KEYS).uid for text in texts(source)}) == 10
