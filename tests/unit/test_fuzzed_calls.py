"""Whatever bytes a caller sends: an answer, or an error of ours that names what is wrong; never one of Python's."""

import asyncio
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

import pytest
from google.protobuf.timestamp_pb2 import Timestamp
from hypothesis import given
from hypothesis import strategies as st

from pullarm.domain.access import Caller, digest
from pullarm.domain.errors import PullarmError, Unauthenticated, Unavailable
from pullarm.policies.warm import warm_up
from pullarm.v1 import selection_pb2 as pb
from serving import query, requests, responses
from serving.access import ANYBODY
from serving.decider import decide_all
from serving.errors import status_of
from serving.service import SelectionService
from tests.builders import KEYS, entropies
from tests.fuzz.edits import Edit, edited, edits
from tests.serving_parts import DECISION_ID, Server

SECRET = "pullarm_" + "s" * 43
SELECT = pb.SelectRequest(
    experiment_id="exp_7",
    user_id="user",
    candidate_ids=["one", "two", "three", "fünf"],
    slots=2,
    attributes={"country": "de", "device": ""},
    request_id="r",
)
REWARD = pb.RewardRequest(
    decision_id=DECISION_ID,
    arm_id="two",
    value=1.0,
    kind="reward",
    reward_id="r",
    occurred_at=Timestamp(seconds=1_700_000_000),
    source="shop",
)
SELECTIONS = pb.SelectBatchRequest(requests=[SELECT] * 3)
REWARDS = pb.RewardBatchRequest(requests=[REWARD] * 3)
Data = st.binary(max_size=300)
BAD_INPUT = {"INVALID_ARGUMENT", "NOT_FOUND", "PERMISSION_DENIED"}


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Server:
    """A process's parts without a port, with one token."""
    warm_up()
    query.warm_up()
    folder: Path = tmp_path_factory.mktemp("spool")

    async def loaded() -> Server:
        server = Server(folder, require_tokens=True)
        await server.load()
        await server.caller_board.post([Caller(digest(SECRET), "shop", None, None)])
        await server.callers.refresh()
        return server

    return asyncio.run(loaded())


@pytest.fixture(scope="module")
def service(server: Server) -> SelectionService:
    return server.service


def answers_or_says_why(work: Callable[[], object]) -> None:
    """Any other error fails the test, and one of ours that is told as our fault."""
    told: list[PullarmError] = []
    try:
        work()
    except PullarmError as error:
        told.append(error)
    assert {status_of(error).name for error in told} <= BAD_INPUT
    assert all(len(str(error)) < 8_000 for error in told)  # it travels in a header


@given(changes=edits)
def test_a_selection_that_is_nearly_one(service: SelectionService, changes: list[Edit]) -> None:
    data = edited(SELECT.SerializeToString(), changes)
    answers_or_says_why(lambda: service.tell(service.decide(data, ANYBODY)))


@given(data=Data)
def test_a_selection_that_is_none(service: SelectionService, data: bytes) -> None:
    answers_or_says_why(lambda: service.tell(service.decide(data, ANYBODY)))


@given(changes=edits)
def test_a_reward_that_is_nearly_one(service: SelectionService, changes: list[Edit]) -> None:
    data = edited(REWARD.SerializeToString(), changes)
    answers_or_says_why(lambda: service.judge(data, ANYBODY))


@given(data=Data)
def test_a_reward_that_is_none(service: SelectionService, data: bytes) -> None:
    answers_or_says_why(lambda: service.judge(data, ANYBODY))


@given(changes=edits)
def test_a_batch_of_selections_that_is_nearly_one(server: Server, changes: list[Edit]) -> None:
    data = edited(SELECTIONS.SerializeToString(), changes)

    def decided() -> None:
        for some in requests.read_all(lambda: server.refresher.snapshot, data):
            if isinstance(some, PullarmError):
                raise some
            served, queries = some
            answers = decide_all(served, queries, 0, entropies(len(queries)))
            assert all(responses.tell(answer, KEYS) for answer in answers)

    answers_or_says_why(decided)


@given(changes=edits)
def test_a_batch_of_rewards_that_is_nearly_one(changes: list[Edit]) -> None:
    data = edited(REWARDS.SerializeToString(), changes)
    answers_or_says_why(lambda: requests.split(data))


@given(header=st.text(max_size=80) | st.from_regex(rf"(?i)bearer +{SECRET}.?", fullmatch=True))
def test_a_header_that_is_no_token_lets_nobody_in(server: Server, header: str) -> None:
    with suppress(Unauthenticated, Unavailable):
        assert server.callers.of([("authorization", header)]).name == "shop"
        assert header[7:] == SECRET
        assert header[:7].lower() == "bearer "


def test_the_token_itself_does(server: Server) -> None:
    assert server.callers.of([("authorization", f"Bearer {SECRET}")]).name == "shop"
