"""SelectionService: checks, decides from memory, waits for the event log, answers."""

import asyncio
import os
import re
import time
from collections import Counter
from collections.abc import Awaitable, Callable, Iterable, Iterator, Sequence
from functools import partial
from itertools import chain
from typing import TYPE_CHECKING, Any, Protocol, TypeVar

import grpc

from pullarm.clock import Clock
from pullarm.domain.decision import NO_EXPERIMENT, NO_POLICY, Decision, Reward, uid_ms
from pullarm.domain.decision_id import KeyRing, decode
from pullarm.domain.errors import Exhausted, NotFound, PullarmError
from pullarm.v1 import selection_pb2 as pb
from serving import requests, responses
from serving.access import ANYBODY, Callers, Visitor
from serving.calls import Answered, Report, Selection
from serving.counters import Counters
from serving.decider import Answer, decide_all
from serving.errors import status_of
from serving.event_log import EventLog
from serving.following import Handler, followed
from serving.query import Query
from serving.refresher import Refresher
from serving.rewards import judge
from serving.snapshot import Served
from serving.transport import Context
from serving.waiter import Kept

if TYPE_CHECKING:
    from pullarm.otel import Trace, Tracer

NAME = "pullarm.v1.SelectionService"
STATUS_METADATA = "pullarm-reward-status"
_ENTROPY_BYTES = 10
_ENTROPY_AT_ONCE = 1_000
_TURN_S = 0.001
"""How long a batch may keep the event loop."""
_REHEARSALS = 20
_NOT_PLAIN = re.compile(r"[^ -~]")
_LONGEST_METADATA = 200


class Call(Protocol):
    """One of the contract's."""

    def __call__(
        self, data: bytes, visitor: Visitor, trace: "Trace | None" = None
    ) -> Awaitable[Answered]:
        """Its answer, for this caller."""


class SelectionService:
    """The four calls of the contract over one process's snapshot and event log."""

    def __init__(
        self,
        refresher: Refresher,
        event_log: EventLog,
        counters: Counters,
        keys: KeyRing,
        clock: Clock,
        callers: Callers,
    ) -> None:
        self._refresher = refresher
        self._events = event_log
        self._counters = counters
        self.keys = keys
        """Of decision ids; others from one call to the next, where they are rotated."""
        self._clock = clock
        self._callers = callers
        self._entropy = _entropy()
        self.tell_degraded([])

    def handlers(
        self, tracer: "Tracer | None" = None
    ) -> "dict[str, grpc.RpcMethodHandler[Any, Any]]":
        """The calls by path; with a tracer those that are sampled are followed."""
        calls: dict[str, Call] = {
            "Select": self.select,
            "SelectBatch": self.select_batch,
            "Reward": self.reward,
            "RewardBatch": self.reward_batch,
        }
        handlers: dict[str, grpc.RpcMethodHandler[Any, Any]] = {}
        for method, call in calls.items():
            answer = self._answer(method, call)
            if tracer is not None:
                answer = followed(tracer, self._callers, f"{NAME}/{method}", answer)
            handlers[f"/{NAME}/{method}"] = grpc.unary_unary_rpc_method_handler(answer)
        return handlers

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
                    candidate_ids=list(served.arms.rows)[:10],
                )
                self.tell(self.decide(request.SerializeToString(), ANYBODY))

    def select(
        self, data: bytes, visitor: Visitor, trace: "Trace | None" = None
    ) -> Awaitable[Answered]:
        """Decide, store, answer: together with the other requests in flight."""
        return self._events.join(Selection(self, data, visitor, trace))

    async def select_batch(
        self, data: bytes, visitor: Visitor, trace: "Trace | None" = None
    ) -> Answered:
        """Decide all, store once, answer all; a request that is refused leaves the others alone."""
        started_s = time.perf_counter()
        outcomes = await self._decide_all(data, visitor)
        logged = [outcome.decision for outcome in outcomes if isinstance(outcome, Answer)]
        if trace is not None:
            trace.step("decide", {"pullarm.requests": len(outcomes)})
        kept = await self._store(logged, len(data), started_s, trace)
        if kept is Kept.NOWHERE:
            outcomes = await self._decide_all(data, visitor, room=False)
        try:
            results = await _each_in_turn(self._result, outcomes)
        except (asyncio.CancelledError, Exception):
            if kept is not Kept.NOWHERE:  # they are stored, and nobody is shown them
                self._events.void(logged)
            raise
        return responses.batch(results), kept

    def reward(
        self, data: bytes, visitor: Visitor, trace: "Trace | None" = None
    ) -> Awaitable[Answered]:
        """Judge, store, acknowledge: together with the other requests in flight."""
        return self._events.join(Report(self, data, visitor, trace))

    async def reward_batch(
        self, data: bytes, visitor: Visitor, trace: "Trace | None" = None
    ) -> Answered:
        """Judge all, store once, acknowledge all."""
        asked = requests.split(data)
        outcomes = await _each_in_turn(_attempt(partial(self.judge, visitor=visitor)), asked)
        rewards = [outcome for outcome in outcomes if isinstance(outcome, Reward)]
        if trace is not None:
            trace.step("judge", {"pullarm.requests": len(asked)})
        kept = await self._events.store(rewards, len(data), trace)
        response = pb.RewardBatchResponse()
        for outcome in outcomes:
            result = response.results.add()
            if isinstance(outcome, Reward):
                result.response.CopyFrom(self.acknowledge(outcome))
                result.status = result.response.status
            else:
                result.error.CopyFrom(_error(outcome))
                if outcome.reward_status is not None:
                    result.status = requests.STATUS[outcome.reward_status]
        return response.SerializeToString(), kept

    def decide(self, data: bytes, visitor: Visitor, *, room: bool = True) -> Answer:
        """Decide one request as it came; raises what `requests.read` raises, and Forbidden."""
        try:
            served, query = requests.read(self._refresher.snapshot, data)
        except NotFound:
            visitor.check(NO_EXPERIMENT, "experiment_id")  # nor is it told what does not exist
            raise
        return self._decide(served, [query], visitor, room=room)[0]

    async def _decide_all(
        self, data: bytes, visitor: Visitor, *, room: bool = True
    ) -> list[Answer | PullarmError]:
        """Decide a batch; raises what `requests.read_all` raises."""
        asked = requests.read_all(lambda: self._refresher.snapshot, data)
        decide = partial(self._decide_some, visitor=visitor, room=room)
        return list(chain.from_iterable(await _each_in_turn(decide, asked)))

    def _decide_some(
        self, asked: requests.Some | PullarmError, visitor: Visitor, *, room: bool
    ) -> Sequence[Answer | PullarmError]:
        """Decide some of a batch; what is refused is refused to each."""
        try:
            if isinstance(asked, NotFound):
                visitor.check(NO_EXPERIMENT, "experiment_id")
            if isinstance(asked, PullarmError):
                return [_without_frames(asked)]
            return self._decide(*asked, visitor, room=room)
        except PullarmError as error:
            told = _without_frames(error)
            return [told] if isinstance(asked, PullarmError) else [told for _ in asked[1]]

    def _decide(
        self, served: Served, queries: Sequence[Query], visitor: Visitor, *, room: bool
    ) -> list[Answer]:
        visitor.check(served.experiment.number, "experiment_id")
        began = time.perf_counter()
        entropies = [self._entropy() for _ in queries]
        answers = decide_all(served, queries, self._clock(), entropies, room=room)
        self._counters.deciding_s += time.perf_counter() - began
        self._counters.decided += len(answers)
        return answers

    def tell(self, answer: Answer) -> bytes:
        """An answer on the wire."""
        return responses.tell(answer, self.keys)

    def judge(self, data: bytes, visitor: Visitor) -> Reward:
        """Judge one report as it came, and count it where it is refused as a reward."""
        now_ms = self._clock()
        experiment, policy = NO_EXPERIMENT, NO_POLICY  # until the id has told them
        try:
            request = requests.parse(pb.RewardRequest, data)
            token = decode(request.decision_id, self.keys)
            visitor.check(token.experiment, "decision_id")
            experiment, policy = token.experiment, token.assigned
            report = requests.report(request, visitor.name)
            return judge(self._refresher.snapshot, token, report, now_ms, self._entropy())
        except PullarmError as error:
            if error.reward_status is not None:
                self._counters.record_reward(experiment, policy, now_ms, error.reward_status)
            raise

    def acknowledge(self, reward: Reward) -> pb.RewardResponse:
        """Count a reward that is kept, and answer."""
        token, received_ms = reward.token, uid_ms(reward.reward_uid)
        self._counters.record_reward(token.experiment, token.assigned, received_ms, reward.status)
        return pb.RewardResponse(status=requests.STATUS[reward.status])

    def count(self, decisions: Sequence[Decision], started_s: float, *, error: bool) -> None:
        """Note how long the call of these decisions took, and whether it went wrong."""
        took_ms = (time.perf_counter() - started_s) * 1000
        units = Counter([(d.token.experiment, d.token.assigned) for d in decisions])
        self._counters.record(units, self._clock(), took_ms, error=error)

    async def _store(
        self, decisions: Sequence[Decision], size: int, started_s: float, trace: "Trace | None"
    ) -> Kept:
        """Store decisions and count how long their call took; a caller that gave up is not counted.

        Kept.NOWHERE where there is no room for them: they must not be told.
        """
        try:
            kept = await self._events.store(decisions, size, trace)
        except Exhausted:
            kept = Kept.NOWHERE
        except PullarmError:
            self.count(decisions, started_s, error=True)
            raise
        self.count(decisions, started_s, error=kept is Kept.NOWHERE)
        return kept

    def _result(self, outcome: Answer | PullarmError) -> bytes:
        """A SelectResult."""
        if isinstance(outcome, PullarmError):
            return pb.SelectResult(error=_error(outcome)).SerializeToString()
        return responses.result(responses.tell(outcome, self.keys))

    def _answer(self, method: str, call: Call) -> Handler:
        """One unary call, bytes in and out, with our errors as statuses."""

        async def answer(request: bytes, context: Context, trace: "Trace | None" = None) -> bytes:
            if context.time_remaining() <= 0:
                await context.abort(grpc.StatusCode.DEADLINE_EXCEEDED, "the deadline has passed")
            try:
                visitor = self._callers.of(context.invocation_metadata())
                response, kept = await call(request, visitor, trace)
            except PullarmError as error:
                code = status_of(error)
                self._counters.refusals[method, code.name] += 1
                told = _status_metadata(error) if method == "Reward" else ()
                await context.abort(code, str(error), told)
                raise AssertionError("abort always raises") from error
            context.set_trailing_metadata(self._metadata[kept])
            return response

        return answer


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
            return _without_frames(error)

    return attempt


def _without_frames(error: PullarmError) -> PullarmError:
    """These lead back to it: with them whatever the batch holds would wait for the collector."""
    return error.with_traceback(None)


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


def _status_metadata(error: PullarmError) -> tuple[tuple[str, str], ...]:
    status = error.reward_status
    return () if status is None else ((STATUS_METADATA, status.name),)


def _error(error: PullarmError) -> pb.Error:
    code, _ = status_of(error).value
    return pb.Error(code=code, message=str(error))
