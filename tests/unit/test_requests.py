"""Every limit of the contract is checked at its boundary and named in the error."""

from collections.abc import Callable, Mapping
from contextlib import suppress
from functools import partial

import pytest
from google.protobuf.message import DecodeError
from google.protobuf.timestamp_pb2 import Timestamp
from hypothesis import given
from hypothesis import strategies as st

from pullarm.domain.decision import Reason, RewardStatus, pack_arms
from pullarm.domain.decision_id import decode
from pullarm.domain.errors import InvalidInput
from pullarm.v1 import selection_pb2 as pb
from serving import requests, responses
from serving.query import Arms, Query
from serving.rewards import Report
from tests.builders import KEYS, ask, experiment, published, query, snapshot_of


def select(
    experiment_id: str = "exp_7",
    user_id: str = "user",
    candidate_ids: list[str] | None = None,
    *,
    slots: int = 1,
    attributes: Mapping[str, str] | None = None,
    request_id: str = "",
) -> pb.SelectRequest:
    return pb.SelectRequest(
        experiment_id=experiment_id,
        user_id=user_id,
        candidate_ids=candidate_ids or [],
        slots=slots,
        attributes=dict(attributes or {}),
        request_id=request_id,
    )


def fields_at_fault(call: Callable[[], object]) -> dict[str, str]:
    with pytest.raises(InvalidInput) as caught:
        call()
    return {problem.field: problem.detail for problem in caught.value.problems}


def checked(request: pb.SelectRequest) -> Query:
    return requests.query(request, None)


TEXTS: dict[str, Callable[[str], object]] = {
    "experiment_id": lambda text: checked(select(experiment_id=text)),
    "user_id": lambda text: checked(select(user_id=text)),
    "request_id": lambda text: checked(select(request_id=text)),
    "candidate_ids[1]": lambda text: checked(select(candidate_ids=["a", text])),
    "attributes name": lambda text: checked(select(attributes={text: "a"})),
    "attributes['a']": lambda text: checked(select(attributes={"a": text})),
    "arm_id": lambda text: requests.report(pb.RewardRequest(arm_id=text)),
    "kind": lambda text: requests.report(pb.RewardRequest(kind=text)),
    "reward_id": lambda text: requests.report(pb.RewardRequest(reward_id=text)),
    "source": lambda text: requests.report(pb.RewardRequest(source=text)),
}
REQUIRED = {"experiment_id", "user_id", "candidate_ids[1]", "attributes name"}


@pytest.mark.parametrize("field", TEXTS)
@pytest.mark.parametrize(
    "text",
    ["a", " ", "a" * 128, "é" * 64, "€" * 42 + "aa", "😀" * 32, "a\u200bb", "\u2028", "\xa0"],
    ids=ascii,
)
def test_text_of_at_most_128_bytes_is_taken(field: str, text: str) -> None:
    assert len(text.encode()) <= 128
    TEXTS[field](text)


@pytest.mark.parametrize("field", TEXTS)
@pytest.mark.parametrize(
    ("text", "size"),
    [("a" * 129, 129), ("é" * 64 + "a", 129), ("€" * 43, 129), ("😀" * 32 + "a", 129)],
    ids=["1 byte", "2 bytes", "3 bytes", "4 bytes"],
)
def test_text_of_more_than_128_bytes_is_refused(field: str, text: str, size: int) -> None:
    assert fields_at_fault(lambda: TEXTS[field](text)) == {field: f"has {size} bytes; at most 128"}


@pytest.mark.parametrize("field", TEXTS)
def test_control_characters_are_refused(field: str) -> None:
    for code in (*range(0x20), *range(0x7F, 0xA0)):
        for text in (chr(code), f"a{chr(code)}b", f"ab{chr(code)}", f"é{chr(code)}"):
            problems = fields_at_fault(partial(TEXTS[field], text))
            assert problems == {field: "contains a control character"}


@pytest.mark.parametrize("field", TEXTS)
def test_only_what_is_required_must_not_be_empty(field: str) -> None:
    if field in REQUIRED:
        problems = fields_at_fault(lambda: TEXTS[field](""))
        assert problems == {field: "is empty; give 1 to 128 bytes"}
    else:
        TEXTS[field]("")


def test_candidates_up_to_the_limit_are_taken_in_order() -> None:
    names = [f"c{n}" for n in range(1_000)]
    assert checked(select(candidate_ids=names)).names == names
    problems = fields_at_fault(lambda: checked(select(candidate_ids=[*names, "more"])))
    assert problems == {"candidate_ids": "has 1001; at most 1000"}


def test_arms_are_not_checked_again() -> None:
    taken = requests.query(select(candidate_ids=["", "a"]), Arms(["b", ""]))
    assert taken.rows is not None
    assert taken.rows.tolist() == [1]


@pytest.mark.parametrize(("slots", "wanted"), [(0, 1), (1, 1), (2, 2), (100, 100)])
def test_slots_within_the_limit_are_taken(slots: int, wanted: int) -> None:
    assert checked(select(slots=slots)).slots == wanted


@pytest.mark.parametrize("slots", [-(2**31), -1, 101, 2**31 - 1])
def test_slots_beyond_the_limit_are_refused(slots: int) -> None:
    problems = fields_at_fault(lambda: checked(select(slots=slots)))
    assert problems == {"slots": f"is {slots}; give 1 to 100, or 0 for 1"}


def test_attributes_up_to_the_limit_are_taken() -> None:
    attributes = {f"a{n}": "" for n in range(32)}
    assert checked(select(attributes=attributes)).attributes == attributes
    problems = fields_at_fault(lambda: checked(select(attributes={**attributes, "b": ""})))
    assert problems == {"attributes": "has 33; at most 32"}


def test_all_problems_are_named_at_once() -> None:
    bad = select(experiment_id="", user_id="a\x00", candidate_ids=["", "ok"], slots=-1)
    assert set(fields_at_fault(lambda: checked(bad))) == {
        "experiment_id",
        "user_id",
        "candidate_ids[0]",
        "slots",
    }


def test_message_stays_short_enough_for_a_status() -> None:
    """gRPC refuses trailers of more than 8 kB, and the caller would see that instead."""
    worst = select(
        experiment_id="x" * 1_000_000,
        candidate_ids=[""] * 1_000,
        attributes={f"{n:02}" + "\U0010ffff" * 10_000: "\x00" for n in range(32)},
    )
    with pytest.raises(InvalidInput) as caught:
        checked(worst)
    assert len(str(caught.value).encode()) < 4_000
    assert str(caught.value).startswith("experiment_id: has 1000000 bytes")
    assert str(caught.value).endswith("request: has 1055 more problems")


def test_query_says_what_was_asked() -> None:
    asked = select("e", "u", ["b", "a", "b"], slots=3, attributes={"k": "v"}, request_id="r")
    taken = requests.query(asked, Arms(["c", "a"]))
    assert taken.rows is not None
    assert taken.rows.tolist() == [1]
    assert taken._replace(rows=None) == Query(
        "u", None, pack_arms([2]), ["b", "a"], 3, {"k": "v"}, "r"
    )


@pytest.mark.parametrize(
    ("seconds", "nanos", "ms"),
    [
        (0, 0, 0),
        (1_700_000_000, 999_999_999, 1_700_000_000_999),
        (-1, 500_000_000, -500),
        (-62_135_596_800, 0, -62_135_596_800_000),
        (253_402_300_799, 999_999_999, 253_402_300_799_999),
    ],
)
def test_timestamp_becomes_milliseconds(seconds: int, nanos: int, ms: int) -> None:
    moment = Timestamp(seconds=seconds, nanos=nanos)
    assert requests.report(pb.RewardRequest(occurred_at=moment)).occurred_ms == ms


@pytest.mark.parametrize(
    ("seconds", "nanos"),
    [
        *((0, -1), (0, 10**9), (-62_135_596_801, 0), (253_402_300_800, 0)),
        *((2**63 - 1, 0), (-(2**63), 0)),
    ],
)
def test_timestamp_out_of_range_is_refused(seconds: int, nanos: int) -> None:
    moment = Timestamp(seconds=seconds, nanos=nanos)
    problems = fields_at_fault(lambda: requests.report(pb.RewardRequest(occurred_at=moment)))
    assert problems == {"occurred_at": "is no valid timestamp"}


def test_report_says_what_was_reported() -> None:
    reported = pb.RewardRequest(
        arm_id="a", value=2.5, kind="k", reward_id="r", source="s", retract=True
    )
    assert requests.report(reported) == Report("a", 2.5, "k", "r", None, "s", True)


def test_answer_on_the_wire() -> None:
    snapshot = snapshot_of(published(experiment(), pub_no=12))
    answer = ask(snapshot, query("three", "one", slots=2))
    response = pb.SelectResponse.FromString(responses.tell(answer, KEYS))
    assert decode(response.decision_id, KEYS) == answer.decision.token
    assert response.policy == "control"
    assert [(c.arm_id, c.slot, c.propensity) for c in response.choices] == [
        ("three", 1, 1.0),
        ("one", 2, 1.0),
    ]
    assert response.reason == pb.REASON_ASSIGNED
    assert response.posterior_version == 12


def test_every_reason_and_status_is_in_the_contract_with_its_number() -> None:
    assert {f"REASON_{r.name}": r.value for r in Reason} == dict(pb.Reason.items()[1:])
    statuses = {f"REWARD_STATUS_{s.name}": s.value for s in RewardStatus}
    assert statuses == dict(pb.RewardStatus.items()[1:])
    assert {status: int(number) for status, number in requests.STATUS.items()} == {
        status: status.value for status in RewardStatus
    }


ANY_TEXT = st.text(st.characters(exclude_categories=["Cs"]), max_size=140)
INT_32 = st.integers(-(2**31), 2**31 - 1)
selects = st.builds(
    pb.SelectRequest,
    experiment_id=ANY_TEXT,
    user_id=ANY_TEXT,
    candidate_ids=st.lists(ANY_TEXT, max_size=8),
    slots=INT_32,
    attributes=st.dictionaries(ANY_TEXT, ANY_TEXT, max_size=4),
    request_id=ANY_TEXT,
)
rewards = st.builds(
    pb.RewardRequest,
    decision_id=ANY_TEXT,
    arm_id=ANY_TEXT,
    value=st.floats(),
    kind=ANY_TEXT,
    reward_id=ANY_TEXT,
    source=ANY_TEXT,
    occurred_at=st.none()
    | st.builds(Timestamp, seconds=st.integers(-(2**63), 2**63 - 1), nanos=INT_32),
    retract=st.booleans(),
)


def taken_or_refused(work: Callable[[], object]) -> None:
    """Any other error fails the test."""
    with suppress(InvalidInput):
        work()


@given(request=selects)
def test_any_selection_is_taken_or_refused(request: pb.SelectRequest) -> None:
    taken_or_refused(lambda: checked(request))


@given(request=rewards)
def test_any_reward_is_taken_or_refused(request: pb.RewardRequest) -> None:
    taken_or_refused(lambda: requests.report(request))


@given(data=st.binary(max_size=200), kind=st.sampled_from([pb.SelectRequest, pb.RewardRequest]))
def test_any_bytes_are_no_message_or_are_taken_or_refused(
    data: bytes, kind: type[pb.SelectRequest] | type[pb.RewardRequest]
) -> None:
    try:
        message = kind.FromString(data)
    except DecodeError:
        return
    if isinstance(message, pb.SelectRequest):
        taken_or_refused(lambda: checked(message))
    else:
        taken_or_refused(lambda: requests.report(message))
