"""Several requests are decided as each would be alone, and told as protobuf would tell them."""

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pullarm.domain.admission import Forced
from pullarm.domain.decision import Reason
from pullarm.domain.decision_id import encode
from pullarm.domain.experiment import POLICY_NUMBERS, CandidateLog, Catalogue, State
from pullarm.v1 import selection_pb2 as pb
from serving import requests, responses
from serving.decider import Answer, decide, decide_all
from serving.query import Query
from serving.snapshot import Served
from tests.builders import KEYS, cells, entropies, experiment, published, query, snapshot_of
from tests.ledger_events import START_MS

ARMS = tuple(f"arm-{n}" for n in range(1, 13))
LEARNED = [
    cell for name in POLICY_NUMBERS for cell in cells(name, *[(10.0 * n, n % 5) for n in range(12)])
]


def served_of(*, state: State = State.RUNNING, log: CandidateLog = CandidateLog.ARMS) -> Served:
    made = experiment(
        *POLICY_NUMBERS, arms=ARMS, traffic_pct=0.8, catalogue=Catalogue.OPEN, state=state
    )
    forced = (
        Forced(user_id="forced-1", policy="ucb"),
        Forced(user_id="forced-2", arm_id="arm-3"),
    )
    made = replace(made, forced=forced, spec=replace(made.spec, log_candidates=log))
    return snapshot_of(published(made, LEARNED, pub_no=5)).by_number[7]


SERVED = {
    "running": served_of(),
    "halted": served_of(state=State.ROLLED_BACK),
    "hashing": served_of(log=CandidateLog.HASH),
}
users = st.integers(0, 40).map("user-{}".format) | st.sampled_from(["forced-1", "forced-2"])
asked = st.builds(
    lambda candidates, **others: query(*candidates, **others),
    candidates=st.lists(st.sampled_from(ARMS), max_size=12, unique=True)
    | st.lists(st.sampled_from([*ARMS, "new", "ünlisted"]), max_size=5),
    user=users,
    slots=st.just(1) | st.sampled_from([1, 2, 12]),
    attributes=st.sampled_from([None, {"country": "de"}]),
    request_id=st.sampled_from(["", "r"]),
)


def queries(served: Served, selections: list[pb.SelectRequest]) -> list[Query]:
    return [requests.query(one, served.arms) for one in selections]


@pytest.mark.parametrize("room", [True, False])
@pytest.mark.parametrize("served", SERVED.values(), ids=SERVED)
@given(selections=st.lists(asked, min_size=1, max_size=12))
def test_together_as_alone(served: Served, room: bool, selections: list[pb.SelectRequest]) -> None:
    several = queries(served, selections)
    randomness = entropies(len(several))
    alone = [
        decide(served, one, START_MS, entropy, room=room)
        for one, entropy in zip(several, randomness, strict=True)
    ]
    assert decide_all(served, several, START_MS, randomness, room=room) == alone


def test_all_kinds_of_answers_were_among_those() -> None:
    """The test above would hold for a single kind, too."""
    some = [query(*ARMS[:4], user=f"user-{n}") for n in range(40)]
    some += [query("arm-1", user="forced-1"), query("arm-1", user="forced-2"), query("new")]
    answers = decide_all(
        SERVED["running"], queries(SERVED["running"], some), START_MS, entropies(len(some))
    )
    reasons = {answer.decision.token.reason for answer in answers}
    assert reasons >= {Reason.ASSIGNED, Reason.NOT_IN_TRAFFIC, Reason.FORCED}
    assert {answer.policy for answer in answers} == {"none", *POLICY_NUMBERS}


def message(answer: Answer) -> pb.SelectResponse:
    """As protobuf makes it."""
    token = answer.decision.token
    told = zip(answer.arm_ids, answer.propensities, strict=True)
    return pb.SelectResponse(
        decision_id=encode(token, KEYS),
        policy=answer.policy,
        choices=[
            pb.Choice(arm_id=arm_id, slot=slot, propensity=propensity)
            for slot, (arm_id, propensity) in enumerate(told, start=1)
        ],
        reason=pb.Reason.Name(token.reason),
        posterior_version=answer.decision.pub_no,
    )


@given(selections=st.lists(asked, min_size=1, max_size=6))
def test_answers_are_written_as_messages_are(selections: list[pb.SelectRequest]) -> None:
    served = SERVED["running"]
    answers = decide_all(served, queries(served, selections), START_MS, entropies(len(selections)))
    written = [responses.tell(answer, KEYS) for answer in answers]
    expected = [message(answer) for answer in answers]
    assert [pb.SelectResponse.FromString(one) for one in written] == expected
    batch = responses.batch([responses.result(one) for one in written])
    results = [pb.SelectResult(response=one) for one in expected]
    assert pb.SelectBatchResponse.FromString(batch) == pb.SelectBatchResponse(results=results)


def test_a_long_slate_of_long_names_is_written_as_a_message_is() -> None:
    """Lengths of two and three bytes."""
    names = [f"{n:03}" + "é" * 62 for n in range(400)]
    made = experiment("control", arms=names)
    served = snapshot_of(published(made)).by_number[7]
    (answer,) = decide_all(
        served, queries(served, [query(*names, slots=100)]), START_MS, entropies(1)
    )
    written = responses.tell(answer, KEYS)
    assert len(written) > 1 << 13
    assert pb.SelectResponse.FromString(written) == message(answer)
