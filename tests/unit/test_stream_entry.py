"""A stream entry is read back as it was written, and anything else is malformed and nothing worse."""

from contextlib import suppress

import msgspec
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from pullarm.domain.decision import Batch, ServingMinute, Span, TraceContext
from pullarm.storage import events
from pullarm.storage.events import MalformedEntry
from tests.ledger_events import Events, batch, entry


def whole() -> Batch:
    make = Events()
    tokens = [make.token(7, arms=(1, 2**31)) for _ in range(3)]
    decision = make.decision(tokens[0])._replace(attributes={"ö": "😀"}, newcomers=["a", "b"])
    filled = batch(decision, make.reward(tokens[1], reward_id="r"), tokens[2])
    minute = ServingMinute("s", 2**40, 7, 2, 9, 3, 1, 1, 0, {-4: 3}, 5, {6: 2})
    return filled._replace(minutes=[minute], spans=[Span("s", 2**33, 2**33 + 5)])


ENTRY = entry(whole())


def test_entry_is_read_back_as_it_was_written() -> None:
    assert events.unpack(ENTRY) == whole()


@pytest.mark.parametrize("kinds", [3, 4])
def test_entry_of_the_format_before_is_read(kinds: int) -> None:
    """With minutes and without; its events have no numbers."""
    old = events.unpack(b"\x02" + msgspec.msgpack.encode(whole()[:kinds]))
    assert (old[:kinds], list(old.spans)) == (whole()[:kinds], [])


def test_traces_travel_with_the_events_and_without_them_an_entry_is_as_it_always_was() -> None:
    traced = whole()._replace(traces=[TraceContext(7, "00-ab-cd-01"), TraceContext(8, "")])
    assert events.unpack(entry(traced)) == traced
    assert events.merge([traced, whole(), traced]).traces == (*traced.traces, *traced.traces)
    assert entry(traced._replace(traces=[])) == ENTRY
    assert len(msgspec.msgpack.decode(ENTRY[1:])) == 5


def test_entry_without_numbers_is_read() -> None:
    assert events.unpack(entry(whole()._replace(spans=[]))) == whole()._replace(spans=[])


@pytest.mark.parametrize(
    "span",
    [
        *(Span("s", -1, 3), Span("s", 4, 3), Span("s", 0, 2**63), Span("a\0b", 0, 1)),
        *(Span("s", 0, 1, -1), Span("s", 0, 1, 2**62)),
    ],
)
def test_numbers_that_no_ledger_takes_are_malformed(span: Span) -> None:
    with pytest.raises(MalformedEntry, match="numbers no events"):
        events.unpack(entry(whole()._replace(spans=[span])))


def test_numbers_of_a_version_that_said_nothing_of_itself_are_read() -> None:
    older = (*whole()[:4], [("s", 3, 9)])
    assert events.unpack(events.FORMAT + msgspec.msgpack.encode(older)).spans == [Span("s", 3, 9)]


def test_minute_of_a_version_that_counted_no_refused_rewards_is_read() -> None:
    older = (*whole()[:3], [tuple(whole().minutes[0])[:-2]])
    (minute,) = events.unpack(events.FORMAT + msgspec.msgpack.encode(older)).minutes
    assert minute == whole().minutes[0]._replace(rewards=0, refused={})


def test_decision_of_a_version_that_knew_no_cohorts_is_read() -> None:
    older = ([tuple(whole().decisions[0])[:-1]], *whole()[1:])
    (decision,) = events.unpack(events.FORMAT + msgspec.msgpack.encode(older)).decisions
    assert decision == whole().decisions[0]


def test_merging_keeps_every_event() -> None:
    merged = events.merge([whole(), Batch([], [], []), whole()])
    assert merged.events() == 2 * whole().events() == 8
    assert events.merge([]).events() == 0


def test_unknown_format_is_named() -> None:
    with pytest.raises(MalformedEntry, match="format byte b'\\\\x04' is not known"):
        events.unpack(b"\x04" + ENTRY[1:])


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
