"""Sampled calls become spans at a collector: the call, its steps, and whatever its events come to later."""

import asyncio
from collections.abc import AsyncIterator, Iterator
from contextlib import contextmanager
from pathlib import Path
from time import time_ns
from typing import TYPE_CHECKING
from uuid import UUID

import grpc
import pytest
from opentelemetry.sdk.trace import TracerProvider

from pullarm.client import Client
from pullarm.domain.decision import Batch, TraceContext
from pullarm.domain.errors import InvalidInput, Unavailable
from pullarm.domain.ports import FoldResult, Mark
from pullarm.otel import Tracer
from pullarm.storage.memory import MemoryTraces
from pullarm.tracing import Folds, Trail, Wanted, opened
from pullarm.v1 import selection_pb2 as pb
from pullarm.v1.selection_pb2_grpc import SelectionServiceStub
from serving.waiter import Durability
from tests.collector import COLLECTORS, Collector, Span
from tests.ledger_events import Events, batch
from tests.serving_parts import DECISION_ID, Server, serving, status

if TYPE_CHECKING:
    from pullarm.v1.selection_pb2_grpc import SelectionServiceAsyncStub

SERVICE = "pullarm.v1.SelectionService"
TRACE, CALLER = "ab" * 16, "cd" * 8
SAMPLED, UNSAMPLED = f"00-{TRACE}-{CALLER}-01", f"00-{TRACE}-{CALLER}-00"
SELECT = pb.SelectRequest(experiment_id="exp_7", user_id="user", candidate_ids=["two"])


@contextmanager
def collecting(
    monkeypatch: pytest.MonkeyPatch, protocol: str, sampler: str = ""
) -> Iterator[tuple[Collector, Tracer]]:
    """A collector, and what sends to it; all that was made is there once `close` has been called."""
    monkeypatch.setattr("pullarm.otel.CLOSE_S", 30.0)  # a collector that is slow is not away
    with COLLECTORS[protocol]() as collector:
        monkeypatch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", collector.url)
        if sampler:
            monkeypatch.setenv("OTEL_TRACES_SAMPLER", sampler)
        wanted = Wanted(service="us", process="us-1", protocol=protocol, sampler=sampler)
        with opened(wanted) as tracer:
            assert tracer is not None
            yield collector, tracer


@pytest.mark.parametrize("protocol", COLLECTORS)
def test_spans_are_sent_over_either_protocol(
    monkeypatch: pytest.MonkeyPatch, protocol: str
) -> None:
    with collecting(monkeypatch, protocol) as (collector, tracer):
        trace = tracer.begin("call", [("traceparent", SAMPLED), ("grpc-bin", b"\0")], {"a": 1})
        assert trace is not None
        trace.mark()
        trace.step("step", {"b": 0.5})
        trace.end({"c": "d"}, failed=True)
        own = tracer.record("later", trace.parent, (10, 20), {})
    call, step, later = (collector.of(TRACE, name)[0] for name in ("call", "step", "later"))
    assert (call.parent, step.parent, later.parent) == (CALLER, call.id, call.id)
    assert (call.told, call.failed) == ({"a": 1, "c": "d"}, True)
    assert (step.told, step.failed) == ({"b": 0.5}, False)
    assert call.began_ns <= step.began_ns <= step.ended_ns <= call.ended_ns
    assert (later.began_ns, later.ended_ns) == (10, 20)
    assert own == f"00-{TRACE}-{later.id}-01"
    assert {(span.service, span.process) for span in collector.spans} == {("us", "us-1")}


def test_the_environment_names_the_service(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OTEL_RESOURCE_ATTRIBUTES", "service.name=shop,region=eu")
    with collecting(monkeypatch, "http/protobuf") as (collector, tracer):
        assert tracer.record("one", SAMPLED, (1, 2), {})
    assert [(span.service, span.process) for span in collector.spans] == [("shop", "us-1")]


def test_what_the_caller_does_not_sample_is_not_followed(monkeypatch: pytest.MonkeyPatch) -> None:
    with collecting(monkeypatch, "http/protobuf") as (collector, tracer):
        assert tracer.begin("call", [("traceparent", UNSAMPLED)], {}) is None
        assert tracer.record("later", UNSAMPLED, (1, 2), {}) == ""
        for none in ("", "nonsense", SAMPLED[:-1], SAMPLED.replace("ab", "00")):
            assert tracer.record("later", none, (1, 2), {}) == ""
    assert collector.spans == []


def test_one_in_a_hundred_begins_a_trace_unless_the_environment_says_otherwise(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    with collecting(monkeypatch, "http/protobuf") as (_, tracer):
        begun = sum(tracer.begin("call", [], {}) is not None for _ in range(3_000))
    assert (
        0 < begun < 100
    )  # of a binomial with mean 30: either happens by chance less than once in 10^12
    with collecting(monkeypatch, "http/protobuf", "parentbased_always_on") as (_, tracer):
        assert tracer.begin("call", [("traceparent", "nonsense")], {}) is not None


def test_a_collector_that_is_away_is_not_waited_for(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr("pullarm.otel.CLOSE_S", 0.1)
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", "http://127.0.0.1:1")
    with opened(Wanted(service="us", process="us-1")) as tracer:
        assert tracer is not None
        assert tracer.record("lost", SAMPLED, (1, 2), {})


class Followed:
    """A server whose calls are followed, and what the collector has of them."""

    def __init__(self, server: Server, tracer: Tracer, collector: Collector) -> None:
        self.server = server
        self.tracer = tracer
        self.collector = collector

    def spans(self) -> dict[str, Span]:
        """Of the caller's trace, by name; nothing can be added any more."""
        self.tracer.close()
        return {span.name.removeprefix(f"{SERVICE}/"): span for span in self.collector.of(TRACE)}


@pytest.fixture
async def followed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Followed]:
    with collecting(monkeypatch, "http/protobuf") as (collector, tracer):
        async with serving(tmp_path, tracer=tracer) as server:
            yield Followed(server, tracer, collector)


@pytest.fixture
async def stub(followed: Followed) -> AsyncIterator["SelectionServiceAsyncStub"]:
    async with grpc.aio.insecure_channel(followed.server.address) as channel:
        yield SelectionServiceStub(channel)


METADATA = (("traceparent", SAMPLED), ("tracestate", "vendor=1"))


async def test_a_selection_is_decided_and_appended(
    followed: Followed, stub: "SelectionServiceAsyncStub"
) -> None:
    await stub.Select(SELECT, metadata=METADATA)
    spans = followed.spans()
    call, decide, append = spans["Select"], spans["decide"], spans["append"]
    assert set(spans) == {"Select", "decide", "append"}
    assert (call.parent, decide.parent, append.parent) == (CALLER, call.id, call.id)
    assert call.told == {
        "rpc.system.name": "grpc",
        "rpc.method": f"{SERVICE}/Select",
        "rpc.response.status_code": "OK",
    }
    (decision,) = followed.server.sink.stored.decisions
    assert decide.told["pullarm.decision"] == str(UUID(bytes=decision.token.uid))
    assert decide.told["pullarm.policy.assigned"] == "control"
    assert decide.told["pullarm.propensity"] == 1.0
    assert decide.told["pullarm.posterior_version"] == 5
    assert append.told == {"pullarm.durability": "acknowledged"}
    order = [call.began_ns, decide.began_ns, decide.ended_ns, append.began_ns, append.ended_ns]
    assert order == sorted(order)
    context = TraceContext(7, f"00-{TRACE}-{call.id}-01")
    assert list(followed.server.sink.stored.traces) == [context]


async def test_others_in_the_entry_carry_nothing(
    followed: Followed, stub: "SelectionServiceAsyncStub"
) -> None:
    unsampled = (("traceparent", UNSAMPLED),)
    calls = [stub.Select(SELECT, metadata=unsampled) for _ in range(5)]
    await asyncio.gather(*calls, stub.Select(SELECT, metadata=METADATA))
    assert len(followed.server.sink.stored.decisions) == 6
    assert len(followed.server.sink.stored.traces) == 1


async def test_rewards_and_batches_are_followed_too(
    followed: Followed, stub: "SelectionServiceAsyncStub"
) -> None:
    reward = pb.RewardRequest(decision_id=DECISION_ID, value=1)
    await stub.Reward(reward, metadata=METADATA)
    await stub.SelectBatch(pb.SelectBatchRequest(requests=[SELECT] * 200), metadata=METADATA)
    await stub.RewardBatch(pb.RewardBatchRequest(requests=[reward] * 2), metadata=METADATA)
    spans = followed.spans()
    assert set(spans) == {"Reward", "SelectBatch", "RewardBatch", "judge", "decide", "append"}
    assert spans["decide"].told == {"pullarm.requests": 200}
    judged = next(
        s for s in followed.collector.of(TRACE, "judge") if s.parent == spans["Reward"].id
    )
    assert judged.told["pullarm.status"] == "ACCEPTED"
    carried = [context.parent[36:52] for context in followed.server.sink.stored.traces]
    assert carried == [spans[name].id for name in ("Reward", "SelectBatch", "RewardBatch")]


async def test_a_call_that_is_refused_says_so(
    followed: Followed, stub: "SelectionServiceAsyncStub"
) -> None:
    refused = stub.Select(pb.SelectRequest(experiment_id="exp_7"), metadata=METADATA)
    with pytest.raises(grpc.aio.AioRpcError):
        await refused
    (call,) = followed.spans().values()
    assert (call.told["rpc.response.status_code"], call.failed) == ("INVALID_ARGUMENT", False)


async def test_whom_nobody_knows_begins_no_trace(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with collecting(monkeypatch, "http/protobuf") as (collector, tracer):
        async with (
            serving(tmp_path, tracer=tracer, require_tokens=True) as server,
            grpc.aio.insecure_channel(server.address) as channel,
        ):
            call = SelectionServiceStub(channel).Select(SELECT, metadata=METADATA)
            assert (await status(call))[0] is grpc.StatusCode.UNAUTHENTICATED
    assert collector.spans == []


async def test_a_call_that_is_given_up_ends(
    followed: Followed, stub: "SelectionServiceAsyncStub"
) -> None:
    followed.server.sink.open.clear()
    call = stub.Select(SELECT, metadata=METADATA)
    async with asyncio.timeout(30):
        while not followed.server.sink.tries:
            await asyncio.sleep(0.001)
    call.cancel()
    async with asyncio.timeout(30):
        while not followed.server.log.voids:
            await asyncio.sleep(0.001)
    spans = followed.spans()
    assert set(spans) == {"Select", "decide"}
    assert spans["Select"].told["rpc.response.status_code"] == "CANCELLED"


async def test_where_no_answer_waits_its_event_is_followed_all_the_same(
    followed: Followed, stub: "SelectionServiceAsyncStub"
) -> None:
    followed.server.log.durability = Durability.BUFFERED
    await stub.Select(SELECT, metadata=METADATA)
    async with asyncio.timeout(30):
        while not followed.server.sink.stored.traces:
            await asyncio.sleep(0.001)
    assert set(followed.spans()) == {"Select", "decide"}


async def test_our_client_is_a_part_of_its_callers_trace(followed: Followed) -> None:
    tracer = TracerProvider(shutdown_on_exit=False).get_tracer("a recommender")
    async with Client(followed.server.address, timeout_s=30) as client:
        await client.select("exp_7", "user", ["two"])
        with tracer.start_as_current_span("page") as page:
            await client.select("exp_7", "user", ["two"])
            with pytest.raises(InvalidInput):
                await client.reward("nonsense", 1)
    followed.tracer.close()
    context = page.get_span_context()
    calls = followed.collector.of(f"{context.trace_id:032x}")
    parents = {span.name: span.parent for span in calls if span.name.startswith(SERVICE)}
    own = f"{context.span_id:016x}"
    assert parents == {f"{SERVICE}/Select": own, f"{SERVICE}/Reward": own}


class Away(MemoryTraces):
    """A board that nothing can be left on."""

    async def leave(self, number: int, marks: object) -> None:
        raise Unavailable("Redis is away: refused")

    async def left(self, number: int, since: int, upto: int) -> list[Mark]:
        raise Unavailable("Redis is away: refused")


def traced(*contexts: TraceContext) -> Batch:
    make = Events()
    return batch(make.decision(make.token(7)))._replace(traces=contexts)


async def test_what_is_folded_is_found_by_who_publishes_that_fold(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    with collecting(monkeypatch, "http/protobuf") as (collector, tracer):
        board = MemoryTraces()
        worker, publisher = Trail(tracer, board), Trail(tracer, board)
        contexts = TraceContext(7, SAMPLED), TraceContext(8, SAMPLED), TraceContext(7, UNSAMPLED)
        result = FoldResult({7: 4, 8: 1}, 1, 0)
        now = time_ns()
        await worker.folded(traced(*contexts, contexts[0]), result, (now, now + 5))
        publisher.reached("publish", Folds(7, 0, 3), (now, now), {})
        publisher.reached("publish", Folds(7, 3, 4), (now + 6, now + 9), {"version": 2})
        publisher.reached("publish", Folds(7, 4, 9), (now, now + 10), {})
        await publisher.tell(now + 11)
        await publisher.tell(now + 11)  # once told is told
    folds = {span.told["pullarm.experiment"]: span for span in collector.of(TRACE, "fold")}
    assert {number: fold.told["pullarm.fold"] for number, fold in folds.items()} == {7: 4, 8: 1}
    assert {fold.parent for fold in folds.values()} == {CALLER}
    (publish,) = collector.of(TRACE, "publish")
    assert publish.parent == folds[7].id
    assert publish.told == {"version": 2, "pullarm.fold": 4}
    assert (publish.began_ns, publish.ended_ns) == (now + 6, now + 9)
    assert len(collector.spans) == 3


async def test_a_mark_that_comes_late_is_waited_for(monkeypatch: pytest.MonkeyPatch) -> None:
    with collecting(monkeypatch, "http/protobuf") as (collector, tracer):
        trail = Trail(tracer, MemoryTraces())
        trail.reached("publish", Folds(7, 3, 4), (3, 9), {})
        await trail.tell(9)
        await trail.folded(traced(TraceContext(7, SAMPLED)), FoldResult({7: 4}, 1, 0), (1, 2))
        await trail.tell(10)
    assert [span.name for span in collector.spans] == ["fold", "publish"]


async def test_where_nothing_can_be_left_the_trace_ends(monkeypatch: pytest.MonkeyPatch) -> None:
    with collecting(monkeypatch, "http/protobuf") as (collector, tracer):
        trail = Trail(tracer, Away())
        result = FoldResult({7: 4}, 1, 0)
        await trail.folded(traced(TraceContext(7, SAMPLED)), result, (1, 2))
        trail.reached("publish", Folds(7, 0, 4), (3, 4), {})
        await trail.tell(5)
    assert [span.name for span in collector.spans] == ["fold"]
