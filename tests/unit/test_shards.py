"""The streams of a cluster lie evenly on its primaries."""

import pytest
from redis.crc import key_slot

from pullarm.storage.redis import keys

SLOTS = 16_384


@pytest.mark.parametrize("primaries", [2, 3, 4, 6, 12])
def test_each_primary_has_as_many_streams(primaries: int) -> None:
    slots = [key_slot(keys.events(shard).encode()) for shard in keys.SHARDS]
    counts = [0] * primaries
    for slot in slots:
        counts[slot * primaries // SLOTS] += 1
    assert counts == [len(slots) // primaries] * primaries


def test_what_waited_on_one_server_is_read_once_that_is_a_cluster() -> None:
    assert 0 in keys.SHARDS
