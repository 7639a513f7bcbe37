"""A stream entry is read back as it was written, and anything else is malformed and nothing worse."""

from contextlib import suppress

import msgspec
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from pullarm.domain.decision import Batch, ServingMinute
from pullarm.storage import events
from pullarm.storage.events import MalformedEntry
from tests.ledger_events import Events, batch


def whole() -> Batch:
    make = Events()
    tokens = [make.token(7, arms=(1, 2**31)) for _ in range(3)]
    decision = make.decision(tokens[0])._replace(attributes={"ö": "😀"}, newcomers=["a", "b"])
    filled = batch(decision, make.reward(tokens[1], reward_id="r"), tokens[2])
    return filled._replace(
        minutes=[ServingMinute("s", 2**40, 7, 2, 9, 3, 1, 1, 0, {-4: 3}, 5, {6: 2})]
    )


def written(of: Batch) -> bytes:
    return events.entry(*([events.pack(event) for event in kind] for kind in of))


ENTRY = written(whole())


def test_entry_is_read_back_as_it_was_written() -> None:
    assert events.unpack(ENTRY) == whole()


def test_entry_without_minutes_is_read() -> None:
    old = events.unpack(events.FORMAT + msgspec.msgpack.encode(whole()[:3]))
    assert (old[:3], list(old.minutes)) == (whole()[:3], [])


def test_minute_of_a_version_that_counted_no_refused_rewards_is_read() -> None:
    older = (*whole()[:3], [tuple(whole().minutes[0])[:-2]])
    (minute,) = events.unpack(events.FORMAT + msgspec.msgpack.encode(older)).minutes
    assert minute == whole().minutes[0]._replace(rewards=0, refused={})


def test_merging_keeps_every_event() -> None:
    merged = events.merge([whole(), Batch([], [], []), whole()])
    assert merged.events() == 2 * whole().events() == 8
    assert events.merge([]).events() == 0


def test_unknown_format_is_named() -> None:
    with pytest.raises(MalformedEntry, match="format byte b'\\\\x03' is not known"):
        events.unpack(b"\x03" + ENTRY[1:])


def test_entry_that_was_cut_is_malformed() -> None:
    for length in range(len(ENTRY)):
        with pytest.raises(MalformedEntry):
            events.unpack(ENTRY[:length])


@given(data=st.binary(max_size=100))
@example(data=b"\x91" * 100_000)
@example(data=b"\x94\x90\x90\x90\xc1")
def test_arbitrary_bytes_are_malformed_or_a_batch(data: bytes) -> None:
    with suppress(MalformedEntry):
        assert isinstance(events.unpack(events.FORMAT + data), Batch)
