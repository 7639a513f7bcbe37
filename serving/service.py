"""SelectionService: checks, decides from memory, waits for the event log, answers."""

import asyncio
import os
import re
import time
from collections.abc import Awaitable, Callable, Iterable, Iterator, Sequence
from functools import partial
from typing import TypeAlias, TypeVar, cast

import grpc
from google.protobuf.message import DecodeError, Message

from pullarm.clock import Clock
from pullarm.domain.decision import Decision, Reward, RewardStatus
from pullarm.domain.decision_id import KeyRing
from pullarm.domain.errors import Exhausted, PullarmError
from pullarm.v1 import selection_pb2 as pb
from serving import requests
from serving.counters import Counters
from serving.decider import Answer, decide
from serving.errors import status_of
from serving.event_log import EventLog
from serving.refresher import Refresher
from serving.rewards import judge
from serving.waiter import Kept

NAME = "pullarm.v1.SelectionService"
_ENTROPY_BYTES = 10
_ENTROPY_AT_ONCE = 1_000
_TURN_S = 0.001
"""How long a batch may keep the event loop."""
_REHEARSALS = 20
_NOT_PLAIN = re.compile(r"[^ -~]")
_LONGEST_METADATA = 200

Request = TypeVar("Request", bound=Message)
Response = TypeVar("Response", bound=Message)
# In quotes, because only the stubs know that these are generic.
_Handler: TypeAlias = "grpc.RpcMethodHandler[Message | None, Message]"


class SelectionService:
    """The four calls of the contract over one process's snapshot and event log."""

    def __init__(
        self,
        refresher: Refresher,
        event_log: EventLog,
        counters: Counters,
        keys: KeyRing,
        clock: Clock,
    ) -> None:
        self._refresher = refresher
        self._events = event_log
        self._counters = counters
        self._keys = keys
        self._clock = clock
        self._entropy = _entropy()
        self.tell_degraded([])

    def handlers(self) -> dict[str, _Handler]:
        """What the server registers under NAME."""
        return {
            "Select": self._handler(self.select, pb.SelectRequest, pb.SelectResponse),
            "SelectBatch": self._handler(
                self.select_batch, pb.SelectBatchRequest, pb.SelectBatchResponse
            ),
            "Reward": self._handler(self.reward, pb.RewardRequest, pb.RewardResponse),
            "RewardBatch": self._handler(
                self.reward_batch, pb.RewardBatchRequest, pb.RewardBatchResponse
            ),
        }

    def tell_degraded(self, reasons: Sequence[str]) -> None:
        """What answers say from now on of what the process does without."""
        told = _NOT_PLAIN.sub("?", "; ".join(reasons))[:_LONGEST_METADATA]
        degraded = (("pullarm-degraded", told),) if told else ()
        self._metadata = {k: (("pullarm-durability", k.value), *degraded) for k in Kept}

    def rehearse(self) -> None:
        """Decide a few times for every experiment and tell nobody: then the first caller waits no longer."""
        for served in self._refresher.snapshot.by_number.values():
            for number in range(_REHEARSALS):
                request = pb.SelectRequest(
                    experiment_id=served.experiment.id,
                    user_id=f"rehearsal-{number}",
                    candidate_ids=served.arm_ids[:10],
                )
                answer = self._decide(pb.SelectRequest.FromString(request.SerializeToString()))
                requests.select_response(answer, self._keys).SerializeToString()

    async def select(self, request: pb.SelectRequest) -> tuple[pb.SelectResponse, Kept]:
        """Decide, store, answer: together with the other requests in flight."""
        selection = _Selection(self, request)
        try:
            return await self._events.join(selection.decide, selection.respond)
        except Exhausted:
            answer = self._decide(request, room=False)
            self._count((answer.decision,), selection.started_s, error=True)
            return requests.select_response(answer, self._keys), Kept.NOWHERE
        except PullarmError:
            if selection.answer is not None:
                self._count((selection.answer.decision,), selection.started_s, error=True)
            raise

    async def select_batch(
        self, request: pb.SelectBatchRequest
    ) -> tuple[pb.SelectBatchResponse, Kept]:
        """Decide all, store once, answer all; a request that is refused leaves the others alone."""
        started_s = time.perf_counter()
        requests.check_batch(len(request.requests))
        outcomes = await _each_in_turn(_attempt(self._decide), request.requests)
        logged = [outcome.decision for outcome in outcomes if isinstance(outcome, Answer)]
        kept = await self._store(logged, started_s)
        if kept is Kept.NOWHERE:
            decide_unlogged = _attempt(partial(self._decide, room=False))
            outcomes = await _each_in_turn(decide_unlogged, request.requests)
        response = pb.SelectBatchResponse()
        try:
            await _each_in_turn(partial(self._add_result, response), outcomes)
        except (asyncio.CancelledError, Exception):
            if kept is not Kept.NOWHERE:  # they are stored, and nobody is shown them
                self._events.void(logged)
            raise
        return response, kept

    async def reward(self, request: pb.RewardRequest) -> tuple[pb.RewardResponse, Kept]:
        """Judge, store, acknowledge."""
        reward = self._judge(request)
        kept = await self._events.store([reward])
        self._counters.rewards[RewardStatus(reward.status)] += 1
        return requests.reward_response(reward.status), kept

    async def reward_batch(
        self, request: pb.RewardBatchRequest
    ) -> tuple[pb.RewardBatchResponse, Kept]:
        """Judge all, store once, acknowledge all."""
        requests.check_batch(len(request.requests))
        outcomes = await _each_in_turn(_attempt(self._judge), request.requests)
        rewards = [outcome for outcome in outcomes if isinstance(outcome, Reward)]
        kept = await self._events.store(rewards)
        self._counters.rewards.update(RewardStatus(reward.status) for reward in rewards)
        results = [
            pb.RewardResult(response=requests.reward_response(outcome.status))
            if isinstance(outcome, Reward)
            else pb.RewardResult(error=_error(outcome))
            for outcome in outcomes
        ]
        return pb.RewardBatchResponse(results=results), kept

    async def _store(self, decisions: Sequence[Decision], started_s: float) -> Kept:
        """Store decisions and count how long their call took; a caller that gave up is not counted.

        Kept.NOWHERE where there is no room for them: they must not be told.
        """
        try:
            kept = await self._events.store(decisions)
        except Exhausted:
            kept = Kept.NOWHERE
        except PullarmError:
            self._count(decisions, started_s, error=True)
            raise
        self._count(decisions, started_s, error=kept is Kept.NOWHERE)
        return kept

    def _count(self, decisions: Sequence[Decision], started_s: float, *, error: bool) -> None:
        took_ms = (time.perf_counter() - started_s) * 1000
        now_ms = self._clock()
        for decision in decisions:
            token = decision.token
            self._counters.record(token.experiment, token.assigned, now_ms, took_ms, error=error)

    def _decide(self, request: pb.SelectRequest, *, room: bool = True) -> Answer:
        snapshot = self._refresher.snapshot
        served = snapshot.by_reference.get(request.experiment_id)
        query = requests.query(request, served.rows if served else {})
        return decide(snapshot, query, self._clock(), self._entropy(), room=room)

    def _add_result(self, response: pb.SelectBatchResponse, outcome: Answer | PullarmError) -> None:
        result = response.results.add()
        if isinstance(outcome, PullarmError):
            result.error.CopyFrom(_error(outcome))
        else:
            requests.fill(result.response, outcome, self._keys)

    def _respond(
        self, answer: Answer, started_s: float, kept: Kept
    ) -> tuple[pb.SelectResponse, Kept]:
        self._count((answer.decision,), started_s, error=False)
        return requests.select_response(answer, self._keys), kept

    def _judge(self, request: pb.RewardRequest) -> Reward:
        return judge(
            self._refresher.snapshot,
            requests.report(request),
            self._keys,
            self._clock(),
            self._entropy(),
        )

    def _handler(
        self,
        call: Callable[[Request], Awaitable[tuple[Response, Kept]]],
        request_type: type[Request],
        response_type: type[Response],
    ) -> _Handler:
        """One unary call, with our errors as statuses. Bytes that are no message are the caller's mistake, not ours."""
        method = request_type.DESCRIPTOR.name.removesuffix("Request")

        def parse(data: bytes) -> Request | None:
            try:
                return request_type.FromString(data)
            except DecodeError:
                return None

        async def handle(
            request: Request | None, context: "grpc.aio.ServicerContext[Request | None, Response]"
        ) -> Response:
            if request is None:
                self._counters.refusals[method, grpc.StatusCode.INVALID_ARGUMENT.name] += 1
                await context.abort(
                    grpc.StatusCode.INVALID_ARGUMENT,
                    f"the request is no {request_type.DESCRIPTOR.full_name} message",
                )
                raise AssertionError("abort always raises")
            remaining = cast("float | None", context.time_remaining())  # None without a deadline
            if remaining is not None and remaining <= 0:
                await context.abort(grpc.StatusCode.DEADLINE_EXCEEDED, "the deadline has passed")
            try:
                response, kept = await call(request)
            except PullarmError as error:
                code = status_of(error)
                self._counters.refusals[method, code.name] += 1
                await context.abort(code, str(error))
                raise AssertionError("abort always raises") from error
            context.set_trailing_metadata(self._metadata[kept])
            return response

        return grpc.unary_unary_rpc_method_handler(
            handle,
            request_deserializer=parse,
            response_serializer=response_type.SerializeToString,
        )


class _Selection:
    """One Select between its arrival and its answer."""

    __slots__ = ("_request", "_service", "answer", "started_s")

    def __init__(self, service: SelectionService, request: pb.SelectRequest) -> None:
        self.started_s = time.perf_counter()
        self.answer: Answer | None = None
        self._service = service
        self._request = request

    def decide(self) -> tuple[Decision]:
        self.answer = answer = self._service._decide(self._request)
        return (answer.decision,)

    def respond(self, kept: Kept) -> tuple[pb.SelectResponse, Kept]:
        assert self.answer is not None  # decided before it was stored
        return self._service._respond(self.answer, self.started_s, kept)


def _entropy() -> Callable[[], bytes]:
    """Ten random bytes a call; the system is asked once for a thousand of them."""

    def chunks() -> Iterator[bytes]:
        while True:
            drawn = os.urandom(_ENTROPY_BYTES * _ENTROPY_AT_ONCE)
            for at in range(0, len(drawn), _ENTROPY_BYTES):
                yield drawn[at : at + _ENTROPY_BYTES]

    return chunks().__next__


Item = TypeVar("Item")
Outcome = TypeVar("Outcome")


def _attempt(work: Callable[[Item], Outcome]) -> Callable[[Item], Outcome | PullarmError]:
    """`work`, with its refusals as values."""

    def attempt(item: Item) -> Outcome | PullarmError:
        try:
            return work(item)
        except PullarmError as error:
            return error

    return attempt


async def _each_in_turn(work: Callable[[Item], Outcome], batch: Iterable[Item]) -> list[Outcome]:
    """The outcomes of a batch; other callers have their turn once a millisecond."""
    outcomes: list[Outcome] = []
    turn_ends_s = time.perf_counter() + _TURN_S
    for item in batch:
        outcomes.append(work(item))
        if time.perf_counter() > turn_ends_s:
            await asyncio.sleep(0)
            turn_ends_s = time.perf_counter() + _TURN_S
    return outcomes


def _error(error: PullarmError) -> pb.Error:
    code, _ = status_of(error).value
    return pb.Error(code=code, message=str(error))
