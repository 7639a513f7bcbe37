"""SelectionService: checks, decides from memory, waits for the event log, answers."""

import asyncio
import os
import time
from collections.abc import Awaitable, Callable, Iterable, Sequence
from typing import TypeAlias, TypeVar, cast

import grpc
from google.protobuf.message import DecodeError, Message

from pullarm.clock import Clock
from pullarm.domain.decision import Decision, Reward
from pullarm.domain.decision_id import KeyRing
from pullarm.domain.errors import PullarmError
from pullarm.v1 import selection_pb2 as pb
from serving import requests
from serving.counters import Counters
from serving.decider import Answer, decide
from serving.errors import status_of
from serving.event_log import EventLog
from serving.refresher import Refresher
from serving.rewards import judge

NAME = "pullarm.v1.SelectionService"
_ENTROPY_BYTES = 10

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

    def handlers(self) -> dict[str, _Handler]:
        """What the server registers under NAME."""
        return {
            "Select": _handler(self.select, pb.SelectRequest, pb.SelectResponse),
            "SelectBatch": _handler(
                self.select_batch, pb.SelectBatchRequest, pb.SelectBatchResponse
            ),
            "Reward": _handler(self.reward, pb.RewardRequest, pb.RewardResponse),
            "RewardBatch": _handler(
                self.reward_batch, pb.RewardBatchRequest, pb.RewardBatchResponse
            ),
        }

    async def select(self, request: pb.SelectRequest) -> pb.SelectResponse:
        """Decide, store, answer."""
        started_s = time.perf_counter()
        answer = self._decide(request)
        await self._store([answer.decision], started_s)
        return requests.select_response(answer, self._keys)

    async def select_batch(self, request: pb.SelectBatchRequest) -> pb.SelectBatchResponse:
        """Decide all, store once, answer all; a request that is refused leaves the others alone."""
        started_s = time.perf_counter()
        requests.check_batch(len(request.requests))
        outcomes = await _attempt_all(self._decide, request.requests)
        await self._store([o.decision for o in outcomes if isinstance(o, Answer)], started_s)
        return pb.SelectBatchResponse(
            results=[
                pb.SelectResult(response=requests.select_response(outcome, self._keys))
                if isinstance(outcome, Answer)
                else pb.SelectResult(error=_error(outcome))
                for outcome in outcomes
            ]
        )

    async def reward(self, request: pb.RewardRequest) -> pb.RewardResponse:
        """Judge, store, acknowledge."""
        reward = self._judge(request)
        await self._events.store([reward])
        return requests.reward_response(reward.status)

    async def reward_batch(self, request: pb.RewardBatchRequest) -> pb.RewardBatchResponse:
        """Judge all, store once, acknowledge all."""
        requests.check_batch(len(request.requests))
        outcomes = await _attempt_all(self._judge, request.requests)
        await self._events.store([o for o in outcomes if isinstance(o, Reward)])
        return pb.RewardBatchResponse(
            results=[
                pb.RewardResult(response=requests.reward_response(outcome.status))
                if isinstance(outcome, Reward)
                else pb.RewardResult(error=_error(outcome))
                for outcome in outcomes
            ]
        )

    async def _store(self, decisions: Sequence[Decision], started_s: float) -> None:
        """Store decisions and count how long their call took; a caller that gave up is not counted."""
        try:
            await self._events.store(decisions)
        except PullarmError:
            self._count(decisions, started_s, error=True)
            raise
        self._count(decisions, started_s, error=False)

    def _count(self, decisions: Sequence[Decision], started_s: float, *, error: bool) -> None:
        took_ms = (time.perf_counter() - started_s) * 1000
        now_ms = self._clock()
        for decision in decisions:
            token = decision.token
            self._counters.record(token.experiment, token.assigned, now_ms, took_ms, error=error)

    def _decide(self, request: pb.SelectRequest) -> Answer:
        snapshot = self._refresher.snapshot
        served = snapshot.by_reference.get(request.experiment_id)
        query = requests.query(request, served.rows if served else ())
        return decide(snapshot, query, self._clock(), os.urandom(_ENTROPY_BYTES))

    def _judge(self, request: pb.RewardRequest) -> Reward:
        return judge(
            self._refresher.snapshot,
            requests.report(request),
            self._keys,
            self._clock(),
            os.urandom(_ENTROPY_BYTES),
        )


Outcome = TypeVar("Outcome")


async def _attempt_all(
    work: Callable[[Request], Outcome], batch: Iterable[Request]
) -> list[Outcome | PullarmError]:
    """What each request of a batch comes to; other callers have their turn in between."""
    outcomes: list[Outcome | PullarmError] = []
    for request in batch:
        try:
            outcomes.append(work(request))
        except PullarmError as error:
            outcomes.append(error)
        await asyncio.sleep(0)
    return outcomes


def _error(error: PullarmError) -> pb.Error:
    code, _ = status_of(error).value
    return pb.Error(code=code, message=str(error))


def _handler(
    call: Callable[[Request], Awaitable[Response]],
    request_type: type[Request],
    response_type: type[Response],
) -> _Handler:
    """One unary call, with our errors as statuses. Bytes that are no message are the caller's mistake, not ours."""

    def parse(data: bytes) -> Request | None:
        try:
            return request_type.FromString(data)
        except DecodeError:
            return None

    async def handle(
        request: Request | None, context: "grpc.aio.ServicerContext[Request | None, Response]"
    ) -> Response:
        if request is None:
            await context.abort(
                grpc.StatusCode.INVALID_ARGUMENT,
                f"the request is no {request_type.DESCRIPTOR.full_name} message",
            )
            raise AssertionError("abort always raises")
        remaining = cast("float | None", context.time_remaining())  # None without a deadline
        if remaining is not None and remaining <= 0:
            await context.abort(grpc.StatusCode.DEADLINE_EXCEEDED, "the deadline has passed")
        try:
            return await call(request)
        except PullarmError as error:
            await context.abort(status_of(error), str(error))
            raise AssertionError("abort always raises") from error

    return grpc.unary_unary_rpc_method_handler(
        handle,
        request_deserializer=parse,
        response_serializer=response_type.SerializeToString,
    )
