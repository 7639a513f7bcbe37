"""Keys follow one another, and none is lost on the way."""

import json
from datetime import UTC, datetime, timedelta

import pytest

from pullarm.domain.decision_id import KeyRing, decode, encode
from pullarm.domain.errors import ConfigurationError, Conflict, InvalidInput
from pullarm.domain.key_rotation import MOST_KEYS, Keys
from tests.builders import TOKEN

NOW = datetime(2026, 1, 5, 12, tzinfo=UTC)
WINDOW = timedelta(hours=24)
BOUNDARY = NOW + WINDOW + timedelta(hours=1, seconds=60)
"""The window, an hour of grace, and clocks that differ by a minute."""
FIRST = Keys(ring=KeyRing(deployment=bytes(16), sign=1, keys={1: b"\xab" * 32}))


def test_a_rotation_in_order_refuses_no_id_that_counts() -> None:
    added, number = FIRST.add(NOW)
    signing = added.sign(number, NOW)
    retired = signing.retire(1, BOUNDARY, WINDOW)
    assert [keys.ring.sign for keys in (FIRST, added, signing, retired)] == [1, 1, 2, 2]
    old, new = encode(TOKEN, added.ring), encode(TOKEN, signing.ring)
    for keys in (added, signing):
        assert decode(old, keys.ring) == decode(new, keys.ring) == TOKEN
    assert decode(new, retired.ring) == TOKEN
    with pytest.raises(InvalidInput):
        decode(old, retired.ring)


def test_a_key_stays_as_long_as_a_reward_of_its_decisions_may_count() -> None:
    signing = FIRST.add(NOW)[0].sign(2, NOW)
    early = BOUNDARY - timedelta(seconds=1)
    with pytest.raises(Conflict, match="count until 2026-01-06T13:01:00Z; wait for that"):
        signing.retire(1, early, WINDOW)
    assert signing.retire(1, early, None).ring.keys.keys() == {2}
    # It signs again and ends again: the second end counts.
    again = signing.sign(1, NOW).sign(2, NOW + WINDOW)
    with pytest.raises(Conflict):
        again.retire(1, BOUNDARY, WINDOW)


def test_what_never_signed_goes_at_once_and_what_signs_does_not() -> None:
    added, number = FIRST.add(NOW)
    assert added.retire(number, NOW, WINDOW) == FIRST
    for window in (WINDOW, None):
        with pytest.raises(Conflict, match="key 1 signs; let another one sign first"):
            added.retire(1, NOW, window)
    with pytest.raises(Conflict, match="signs already"):
        added.sign(1, NOW)


def test_numbers_are_those_that_an_id_has_room_for() -> None:
    last = Keys(ring=KeyRing(deployment=bytes(16), sign=255, keys={255: bytes(32), 0: bytes(32)}))
    assert last.add(NOW)[1] == 1
    many = FIRST
    for _ in range(MOST_KEYS - 1):
        many, _ = many.add(NOW)
    assert len(set(many.ring.keys.values())) == MOST_KEYS
    with pytest.raises(Conflict, match="retire one first"):
        many.add(NOW)


@pytest.mark.parametrize("number", [0, 2, 300, -1])
def test_a_key_that_is_not_there_is_told(number: int) -> None:
    with pytest.raises(InvalidInput, match=f"number: {number} is no key; there are 1"):
        FIRST.sign(number, NOW)
    with pytest.raises(InvalidInput, match="is no key"):
        FIRST.retire(number, NOW, None)


def test_what_is_written_is_read_and_what_was_written_before_too() -> None:
    keys = FIRST.add(NOW)[0].sign(2, NOW)
    assert Keys.parse(keys.text()) == keys
    before = {"deployment": "00" * 16, "sign": 1, "keys": {"1": "ab" * 32}}
    assert Keys.parse(json.dumps(before)) == FIRST
    assert Keys.made().ring.keys != Keys.made().ring.keys


@pytest.mark.parametrize(
    "change",
    [
        {"keys": {"1": "zz" * 32}},
        {"keys": {"1": "secret"}},
        {"keys": {"one": "ab" * 32}},
        {"keys": ["ab" * 32]},
        {"keys": {"1": "ab" * 31}},
        {"deployment": "secret"},
        {"sign": "secret"},
        {"past": {"1": "secret"}},
        {"past": {"1": {"added_at": "secret"}}},
    ],
)
def test_what_is_no_ring_is_refused_without_being_quoted(change: dict[str, object]) -> None:
    raw = {"deployment": "00" * 16, "sign": 1, "keys": {"1": "ab" * 32}} | change
    with pytest.raises(ConfigurationError) as refused:
        Keys.parse(json.dumps(raw))
    told = str(refused.value)
    assert not any(secret in told for secret in ("secret", "abab", "zz"))
    assert "secret" not in repr(refused.value.__cause__)
    assert "abab" not in repr(Keys(ring=FIRST.ring))
