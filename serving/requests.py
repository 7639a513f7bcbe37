"""From the wire to checked queries and reports, and back. Every limit of the contract is checked here and named."""

import re
from collections.abc import Collection, Mapping

from pullarm.domain.decision import Reason, RewardStatus
from pullarm.domain.decision_id import KeyRing, encode
from pullarm.domain.errors import InvalidInput, Problem, invalid
from pullarm.v1 import selection_pb2 as pb
from serving.decider import Answer, Query
from serving.rewards import Report

MAX_ID_BYTES = 128
MAX_CANDIDATES = 1_000
MAX_SLOTS = 100
MAX_ATTRIBUTES = 32
MAX_BATCH = 256

_REASON = {reason.value: f"REASON_{reason.name}" for reason in Reason}
_STATUS = {status.value: f"REWARD_STATUS_{status.name}" for status in RewardStatus}
_CONTROL = re.compile(r"[\x00-\x1f\x7f-\x9f]")
_MAX_BYTES_PER_CHARACTER = 4
_MAX_NAMED = 10  # a status travels in trailers, which may have 8 kB
_MAX_NAME_CHARACTERS = 32


def _text_problem(field: str, text: str, *, required: bool) -> Problem | None:
    if not text:
        return Problem(field, f"is empty; give 1 to {MAX_ID_BYTES} bytes") if required else None
    if len(text) * _MAX_BYTES_PER_CHARACTER > MAX_ID_BYTES:
        size = len(text.encode())
        if size > MAX_ID_BYTES:
            return Problem(field, f"has {size} bytes; at most {MAX_ID_BYTES}")
    if not text.isprintable() and _CONTROL.search(text):
        return Problem(field, "contains a control character")
    return None


def _raise_if_any(problems: list[Problem | None]) -> None:
    found = [problem for problem in problems if problem is not None]
    more = len(found) - _MAX_NAMED
    if more > 0:
        found[_MAX_NAMED:] = [Problem("request", f"has {more} more problems")]
    if found:
        raise InvalidInput(*found)


def query(request: pb.SelectRequest, known: Collection[str] = ()) -> Query:
    """A checked selection; candidates in `known` were checked when they became arms."""
    candidates = list(request.candidate_ids)
    attributes = dict(request.attributes)
    problems = [
        _text_problem("experiment_id", request.experiment_id, required=True),
        _text_problem("user_id", request.user_id, required=True),
        _text_problem("request_id", request.request_id, required=False),
    ]
    if len(candidates) > MAX_CANDIDATES:
        problems.append(
            Problem("candidate_ids", f"has {len(candidates)}; at most {MAX_CANDIDATES}")
        )
    else:
        problems += [
            _text_problem(f"candidate_ids[{place}]", candidate, required=True)
            for place, candidate in enumerate(candidates)
            if candidate not in known
        ]
    if not 0 <= request.slots <= MAX_SLOTS:
        problems.append(Problem("slots", f"is {request.slots}; give 1 to {MAX_SLOTS}, or 0 for 1"))
    problems += _attribute_problems(attributes)
    _raise_if_any(problems)
    return Query(
        experiment=request.experiment_id,
        user=request.user_id,
        candidates=candidates,
        slots=request.slots or 1,
        attributes=attributes,
        request_id=request.request_id,
    )


def _attribute_problems(attributes: Mapping[str, str]) -> list[Problem | None]:
    if len(attributes) > MAX_ATTRIBUTES:
        return [Problem("attributes", f"has {len(attributes)}; at most {MAX_ATTRIBUTES}")]
    problems: list[Problem | None] = []
    for name, value in attributes.items():
        problems.append(_text_problem("attributes name", name, required=True))
        field = f"attributes[{name[:_MAX_NAME_CHARACTERS]!r}]"
        problems.append(_text_problem(field, value, required=False))
    return problems


def report(request: pb.RewardRequest) -> Report:
    """A checked outcome; the decision id is looked at by whoever has the keys."""
    _raise_if_any(
        [
            _text_problem("arm_id", request.arm_id, required=False),
            _text_problem("kind", request.kind, required=False),
            _text_problem("reward_id", request.reward_id, required=False),
            _text_problem("source", request.source, required=False),
        ]
    )
    return Report(
        decision_id=request.decision_id,
        arm_id=request.arm_id,
        value=request.value,
        kind=request.kind,
        reward_id=request.reward_id,
        occurred_ms=_occurred_ms(request),
        source=request.source,
        retract=request.retract,
    )


def _occurred_ms(request: pb.RewardRequest) -> int | None:
    if not request.HasField("occurred_at"):
        return None
    moment = request.occurred_at
    # The range of google.protobuf.Timestamp: years 1 to 9999.
    if not (-62_135_596_800 <= moment.seconds <= 253_402_300_799 and 0 <= moment.nanos < 10**9):
        raise invalid("occurred_at", "is no valid timestamp")
    return moment.seconds * 1_000 + moment.nanos // 1_000_000


def check_batch(count: int) -> None:
    """Raises InvalidInput unless a batch has a legal size."""
    if not 1 <= count <= MAX_BATCH:
        raise invalid("requests", f"has {count}; give 1 to {MAX_BATCH}")


def select_response(answer: Answer, ring: KeyRing) -> pb.SelectResponse:
    """The answer on the wire."""
    token = answer.decision.token
    choices = [
        pb.Choice(arm_id=arm_id, slot=slot, propensity=propensity)
        for slot, (arm_id, propensity) in enumerate(
            zip(answer.arm_ids, answer.propensities, strict=True), start=1
        )
    ]
    return pb.SelectResponse(
        decision_id=encode(token, ring),
        policy=answer.policy,
        choices=choices,
        reason=_REASON[token.reason],
        posterior_version=answer.decision.pub_no,
    )


def reward_response(status: int) -> pb.RewardResponse:
    """The acknowledgement on the wire."""
    return pb.RewardResponse(status=_STATUS[status])
