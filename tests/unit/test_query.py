"""What compiled code reads off the wire is what protobuf reads, for any bytes."""

from collections.abc import Sequence

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from pullarm.domain.decision import unpack_arms
from pullarm.v1 import selection_pb2 as pb
from serving import requests
from serving.query import Arms, Query
from serving.wire import MAX_CANDIDATES, reference

NAMES = ["a", "b", "ab", "ba", "arm-1", "arm-2", "é", "\U0001f600", "x" * 127, "y" * 128, "a b"]
ARMS = Arms(NAMES)


def field(tag: int, value: bytes) -> bytes:
    assert len(value) < 128
    return bytes([tag, len(value)]) + value


EXPERIMENT, USER = field(0x0A, b"exp_7"), field(0x12, b"user")


def candidates(names: Sequence[str]) -> bytes:
    return pb.SelectRequest(candidate_ids=names).SerializeToString()


def attributes(**named: str) -> bytes:
    return pb.SelectRequest(attributes=named).SerializeToString(deterministic=True)


def comparable(query: Query) -> tuple[object, ...]:
    rows = None if query.rows is None else query.rows.tolist()
    return rows, *query._replace(rows=None)


def assert_as_protobuf_reads(data: bytes, arms: Arms = ARMS) -> bool:
    """Whether the request was plain."""
    plain = arms.read(data)
    if plain is None:
        return False
    message = pb.SelectRequest.FromString(data)
    assert message.experiment_id.encode() == reference(data)
    assert comparable(plain) == comparable(requests.query(message, arms))
    return True


@pytest.mark.parametrize(
    "rest",
    [
        USER,
        USER + candidates(NAMES[:9]),
        candidates(["b", "a"]) + USER + candidates(["ab"]),
        USER + candidates(["a"]) + b"\x20\x64",
        b"\x20\x02" + USER + b"\x20\x00",
        USER + field(0x32, b"request 17~"),
        USER + field(0x12, b"another"),
        field(0x32, b"r") + field(0x12, b"u" * 127) + field(0x32, b"s"),
        USER + attributes(country="de", device=""),
        attributes(a="1") + USER + candidates(["a"]) + attributes(b="2", a="3"),
        USER + attributes(**{f"attribute-{n}": "~ !" for n in range(32)}),
        USER + attributes(**{"n" * 100: "v" * 23}),
    ],
    ids=range(12),
)
def test_plain_requests_are_read_without_a_message(rest: bytes) -> None:
    assert assert_as_protobuf_reads(EXPERIMENT + rest)


@pytest.mark.parametrize(
    "rest",
    {
        "no user": b"",
        "an empty user": USER + field(0x12, b""),
        "a control character": field(0x12, b"a\x1f"),
        "delete": field(0x12, b"a\x7f"),
        "more than ASCII": field(0x12, "é".encode()),
        "no UTF-8": field(0x12, b"\xff"),
        "a long arm": USER + candidates(["y" * 128]),
        "an unknown candidate": USER + candidates(["a", "c"]),
        "a beginning of an arm": USER + candidates(["arm-"]),
        "more than an arm": USER + candidates(["arm-11"]),
        "an empty candidate": USER + candidates(["a", ""]),
        "a candidate twice": USER + candidates(["a", "b", "a"]),
        "too many slots": USER + b"\x20\x65",
        "a slot number of two bytes": USER + b"\x20\x81\x00",
        "negative slots": USER + b"\x20" + b"\xff" * 9 + b"\x01",
        "an attribute without a name": USER + attributes(**{"": "b"}),
        "an attribute in more than ASCII": USER + attributes(a="ö"),
        "a control character in an attribute's name": USER + attributes(**{"a\x1f": "b"}),
        "a control character in an attribute": USER + attributes(a="b\x7f"),
        "a long attribute": USER + attributes(a="v" * 124),
        "too many attributes": USER + attributes(**{f"{n}": "" for n in range(33)}),
        "one attribute too often": USER + attributes(a="b") * 33,
        "an attribute's value first": USER + field(0x2A, field(0x12, b"v") + field(0x0A, b"n")),
        "an attribute without a value": USER + field(0x2A, field(0x0A, b"n")),
        "an attribute with two values": USER
        + field(0x2A, field(0x0A, b"n") + field(0x12, b"v") * 2),
        "an attribute that is cut off": USER + field(0x2A, b"\x0a\x01n\x12\x05v"),
        "an attribute of nothing": USER + field(0x2A, b""),
        "an unknown field": USER + field(0x3A, b"x"),
        "the experiment again": USER + field(0x0A, b"exp_8"),
        "a tag of two bytes": USER + b"\x92\x00\x01u",
        "another type": USER + b"\x18\x01",
        "a user that is cut off": b"\x12\x05user",
        "a length that is cut off": USER + b"\x1a",
        "slots that are cut off": USER + b"\x20",
    }.items(),
    ids=lambda case: case[0],
)
def test_what_is_not_plain_is_left_to_protobuf(rest: tuple[str, bytes]) -> None:
    assert ARMS.read(EXPERIMENT + rest[1]) is None


def test_no_more_candidates_than_a_request_may_have() -> None:
    arms = Arms([f"{n}" for n in range(MAX_CANDIDATES + 1)])
    assert assert_as_protobuf_reads(EXPERIMENT + USER + candidates(arms.ids[1:]), arms)
    assert arms.read(EXPERIMENT + USER + candidates(arms.ids)) is None


def test_every_arm_of_many_is_found_at_its_row() -> None:
    arms = Arms([f"arm-{n}" for n in range(10_000)])
    for start in range(0, 10_000, 1_000):
        names = arms.ids[start : start + 1_000][::-1]
        found = arms.read(EXPERIMENT + USER + candidates(names))
        assert found is not None
        assert found.rows is not None
        assert found.rows.tolist() == [arms.rows[name] for name in names]
        assert unpack_arms(found.arms) == tuple(arms.rows[name] + 1 for name in names)


def test_requests_that_name_what_is_withheld_are_not_plain() -> None:
    arms = Arms(["old", "a", "b", "old", "paused"], active=[1, 2, 3])
    assert arms.rows == {"a": 1, "b": 2, "old": 3}
    assert arms.withheld == {"paused"}
    assert assert_as_protobuf_reads(EXPERIMENT + USER + candidates(["b", "old"]), arms)
    assert assert_as_protobuf_reads(EXPERIMENT + USER, arms)
    found = arms.read(EXPERIMENT + USER + candidates(["old", "a"]))
    assert found is not None
    assert found.rows is not None
    assert (found.rows.tolist(), unpack_arms(found.arms)) == ([3, 1], (4, 2))
    assert arms.read(EXPERIMENT + USER + candidates(["a", "paused"])) is None


def test_no_arms_at_all() -> None:
    none = Arms(())
    assert assert_as_protobuf_reads(EXPERIMENT + USER, none)
    assert none.read(EXPERIMENT + USER + candidates(["a"])) is None


def test_what_one_request_named_is_not_overwritten_by_the_next() -> None:
    first = ARMS.read(EXPERIMENT + USER + candidates(["b", "a"]))
    assert ARMS.read(EXPERIMENT + USER + candidates(["ab", "arm-1"])) is not None
    assert first is not None
    assert first.rows is not None
    assert (first.rows.tolist(), unpack_arms(first.arms)) == ([1, 0], (2, 1))


PARTS = st.lists(
    st.sampled_from(
        [
            *(EXPERIMENT, USER, b"\x20\x03", b"\x20\x81\x01", field(0x32, b"r"), field(0x12, b"")),
            *(candidates([name]) for name in [*NAMES, "c", ""]),
            *(attributes(k="v"), attributes(k="w", e=""), attributes(k="é"), field(0x3A, b"x")),
            *(field(0x2A, b"\x0a\x01k"), b"\x2a\x06\x0a\x01k\x12\x01"),
        ]
    )
    | st.binary(max_size=4),
    max_size=12,
).map(b"".join)


@settings(max_examples=300)
@given(rest=PARTS)
@example(rest=USER)
def test_any_bytes_are_read_as_protobuf_reads_them_or_not_at_all(rest: bytes) -> None:
    assert_as_protobuf_reads(EXPERIMENT + rest)


PLAIN = st.tuples(
    st.permutations([name for name in NAMES if len(name.encode()) < 128]),
    st.integers(0, 9),
    st.sampled_from([b"", b"\x20\x03", field(0x32, b"r"), attributes(country="de", device="")]),
).map(lambda drawn: USER + candidates(drawn[0][: drawn[1]]) + drawn[2])


@settings(max_examples=500)
@given(
    rest=PLAIN,
    changes=st.lists(st.tuples(st.integers(0, 300), st.integers(0, 255)), max_size=2),
    cut=st.none() | st.integers(0, 300),
)
def test_damaged_plain_requests_are_read_as_protobuf_reads_them_or_not_at_all(
    rest: bytes, changes: list[tuple[int, int]], cut: int | None
) -> None:
    damaged = bytearray(rest)
    for place, byte in changes:
        damaged[place % len(damaged)] = byte
    plain = assert_as_protobuf_reads(EXPERIMENT + bytes(damaged[:cut]))
    assert plain or changes or cut is not None


@given(name=st.text(st.characters(codec="utf-8"), min_size=1, max_size=40), rest=PARTS)
def test_experiment_that_comes_first_is_the_reference(name: str, rest: bytes) -> None:
    encoded = name.encode()[:127]
    assert reference(field(0x0A, encoded) + rest) == encoded


@pytest.mark.parametrize(
    "data", [b"", b"\x0a", b"\x0a\x00", b"\x12\x05exp_7", b"\x0a\x85\x00exp_7"]
)
def test_what_names_no_experiment_at_its_beginning_has_no_reference(data: bytes) -> None:
    assert reference(data) in (b"", b"\x00exp_7")  # the latter is no name an experiment can have
