"""A batch is taken apart as protobuf would, and each of its requests is read as if it came alone."""

from collections.abc import Callable
from contextlib import suppress

import pytest
from google.protobuf.message import DecodeError
from hypothesis import given, settings
from hypothesis import strategies as st

from pullarm.domain.errors import InvalidInput, PullarmError
from pullarm.v1 import selection_pb2 as pb
from serving import requests
from serving.requests import Asked
from serving.snapshot import Snapshot
from tests.builders import experiment, published, query, snapshot_of

SEVEN = experiment()
SNAPSHOT = snapshot_of(published(SEVEN), published(experiment(number=8, arms=("three", "four"))))


def told(outcome: Asked | PullarmError) -> tuple[object, ...]:
    """What can be compared of it."""
    if isinstance(outcome, PullarmError):
        return type(outcome), str(outcome)
    served, asked = outcome
    rows = None if asked.rows is None else asked.rows.tolist()
    return served.experiment.number, rows, asked._replace(rows=None)


def read_alone(request: bytes) -> tuple[object, ...]:
    try:
        return told(requests.read(SNAPSHOT, request))
    except PullarmError as error:
        return told(error)


def read_all(look: Callable[[], Snapshot], data: bytes) -> list[Asked | PullarmError]:
    """One by one what comes together."""
    return [
        one
        for some in requests.read_all(look, data)
        for one in (
            [some] if isinstance(some, PullarmError) else [(some[0], query) for query in some[1]]
        )
    ]


def read(data: bytes) -> list[tuple[object, ...]]:
    return [told(each) for each in read_all(lambda: SNAPSHOT, data)]


def joined(parts: list[bytes]) -> bytes:
    """A batch of these requests, whatever they are, of less than 2^14 bytes each."""
    return b"".join(
        b"\x0a" + bytes([len(part) & 0x7F | 0x80, len(part) >> 7]) + part for part in parts
    )


PLAIN = [
    query("one", "three"),
    query("three", "two", "one", user="u", slots=2, request_id="r"),
    query(user="whoever"),
    query("two", attributes={"country": "de", "device": ""}),
    query("three", "four", reference="exp_8"),
    query("four", reference="key-8", slots=3),
    query("one", reference="key-7"),
]
OTHERS = [
    query("one", "nobody"),
    query("one", user="é"),
    query("one", user=""),
    query("one", reference="exp_9"),
    query("one", reference=""),
    query("one", slots=101),
]


@settings(max_examples=300)
@given(
    parts=st.lists(
        st.sampled_from(PLAIN).map(pb.SelectRequest.SerializeToString)
        | st.sampled_from(OTHERS).map(pb.SelectRequest.SerializeToString)
        | st.sampled_from(PLAIN).flatmap(
            lambda one: st.integers(0, 12).map(lambda cut: one.SerializeToString()[:cut])
        )
        | st.binary(max_size=8),
        min_size=1,
        max_size=12,
    )
)
def test_each_of_a_batch_is_read_as_if_it_came_alone(parts: list[bytes]) -> None:
    assert read(joined(parts)) == [read_alone(part) for part in parts]


def test_many_of_one_experiment_with_many_candidates_and_attributes() -> None:
    names = [f"arm-{n}" for n in range(1_000)]
    snapshot = snapshot_of(published(experiment(arms=names)))
    attributes = {f"name-{n}": f"value {n}" for n in range(32)}
    asked = [
        query(*names[n:], *names[:n], user=f"user-{n}", attributes=attributes) for n in range(256)
    ]
    data = pb.SelectBatchRequest(requests=asked).SerializeToString()
    for n, outcome in enumerate(read_all(lambda: snapshot, data)):
        assert not isinstance(outcome, PullarmError)
        assert outcome[1].rows is not None
        assert outcome[1].rows.tolist() == [*range(n, 1_000), *range(n)]
        assert (outcome[1].user, outcome[1].attributes) == (f"user-{n}", attributes)


def sizes(*asked: pb.SelectRequest) -> list[int]:
    """How many of a batch are decided together."""
    data = pb.SelectBatchRequest(requests=asked).SerializeToString()
    found = requests.read_all(lambda: SNAPSHOT, data)
    return [0 if isinstance(some, PullarmError) else len(some[1]) for some in found]


def test_little_is_decided_at_a_time() -> None:
    """What takes longer would hold up whoever else is served."""
    long = query("one", request_id="r" * 127, attributes={"n" * 60: "v" * 60})
    assert len(long.SerializeToString()) == 275
    assert sizes(*[long] * 256) == [58, 58, 58, 58, 24]  # of 278 bytes in the batch
    assert sizes(*[query("one")] * 256) == [64] * 4


def test_only_what_costs_little_is_decided_together() -> None:
    one, slate, every, other = query("one"), query("one", slots=2), query(), query("nobody")
    elsewhere = query("three", reference="exp_8")
    asked = [one, one, slate, slate, one, every, every, other, one, elsewhere, elsewhere]
    assert sizes(*asked) == [2, 1, 1, 1, 1, 1, 1, 1, 2]


def test_what_is_read_after_a_refresh_is_read_with_what_it_brought() -> None:
    """Plain requests are read ahead, the others when it is their turn."""
    first, other = query("one"), query("one", "nobody")
    snapshots = [SNAPSHOT, snapshot_of(published(SEVEN, pub_no=9)), SNAPSHOT]
    data = pb.SelectBatchRequest(requests=[first, first, other, first]).SerializeToString()
    found = read_all(lambda: snapshots.pop(0), data)
    versions = [each[0].head.pub_no for each in found if not isinstance(each, PullarmError)]
    assert versions == [1, 1, 9, 1]


BATCHES: dict[
    str, tuple[type[pb.SelectBatchRequest | pb.RewardBatchRequest], Callable[[bytes], object]]
] = {
    "SelectBatch": (pb.SelectBatchRequest, read),
    "RewardBatch": (pb.RewardBatchRequest, requests.split),
}


@pytest.mark.parametrize("count", [1, 2, 256])
def test_a_batch_within_the_limit_is_split(count: int) -> None:
    sizes = [number * number % 20_000 for number in range(count)]
    reports = [pb.RewardRequest(decision_id="d" * size) for size in sizes]
    data = pb.RewardBatchRequest(requests=reports).SerializeToString()
    assert requests.split(data) == [one.SerializeToString() for one in reports]
    selects = [pb.SelectRequest(user_id="u" * size) for size in sizes]
    data = pb.SelectBatchRequest(requests=selects).SerializeToString()
    assert read(data) == [read_alone(one.SerializeToString()) for one in selects]


@pytest.mark.parametrize("method", BATCHES)
@pytest.mark.parametrize(("count", "size"), [(0, "0"), (257, "more than 256")])
def test_a_batch_beyond_the_limit_is_refused(method: str, count: int, size: str) -> None:
    kind, take = BATCHES[method]
    with pytest.raises(InvalidInput, match=f"requests: has {size}; give 1 to 256"):
        take(kind(requests=[{}] * count).SerializeToString())


@given(data=st.binary(max_size=60), method=st.sampled_from(list(BATCHES)), whole=st.booleans())
def test_any_bytes_are_split_as_protobuf_would_or_refused(
    data: bytes, method: str, *, whole: bool
) -> None:
    kind, take = BATCHES[method]
    if whole:  # most other bytes are no message
        data = kind(requests=[{}]).SerializeToString() + data
    try:
        message = kind.FromString(data)
    except DecodeError:  # of the batch, or of a part, which is told where that is read
        with suppress(InvalidInput):
            take(data)
        return
    message.DiscardUnknownFields()
    parts = [each.SerializeToString() for each in message.requests]
    try:
        taken = take(data)
    except InvalidInput:
        assert not 1 <= len(parts) <= 256
        return
    if kind is pb.SelectBatchRequest:
        assert taken == [read_alone(part) for part in parts]
    else:
        assert isinstance(taken, list)
        assert [pb.RewardRequest.FromString(part) for part in taken] == list(message.requests)
