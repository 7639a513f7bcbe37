"""One trace from whoever asks the control plane to the posterior that every serving process answers from."""

import asyncio
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from http import HTTPStatus
from itertools import count
from pathlib import Path

import httpx
import pytest

from cli.platform import Platform
from tests.collector import Collector, Span, over_http
from tests.e2e import upstream
from tests.e2e.upstream import PATIENCE_S, answered, launch

CALLER = "cd" * 8
_traces = (f"{number:032x}" for number in count(1))


@contextmanager
def environment(collector: Collector) -> Iterator[None]:
    """That of processes which trace what they are told to, and nothing else."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", collector.url)
        patch.setenv("OTEL_TRACES_SAMPLER", "parentbased_always_off")
        patch.setenv("OTEL_BSP_SCHEDULE_DELAY", "50")
        yield


async def recommended(http: httpx.AsyncClient, experiment: str) -> str:
    """By the control plane's example upstream, which asks serving; the trace it was a part of."""
    asked: dict[str, str | int] = {"experiment_id": experiment, "user_id": "somebody", "slots": 1}
    for trace in _traces:
        parent = {"traceparent": f"00-{trace}-{CALLER}-01"}
        answer = await http.get("/api/movies/recommendations", params=asked, headers=parent)
        if answer.is_success:
            break
        assert answer.status_code == HTTPStatus.SERVICE_UNAVAILABLE, answer.text  # it is busy
    return trace


async def test_a_trace_goes_from_the_caller_to_what_is_served(state_folder: Path) -> None:
    said: list[str] = []
    with ExitStack() as collecting:
        collector = collecting.enter_context(over_http())
        collecting.enter_context(environment(collector))
        async with upstream.running(state_folder, said.append, workers=2) as platform:
            await follow(platform, collector)
            collecting.close()
            async with upstream.http(platform) as http:
                experiments = await answered(http.get("/api/experiments"))
                await recommended(http, experiments["experiments"][0]["id"])
    # Their last spans find nobody, and they stop all the same.
    processes = ("serving-0", "serving-1", "worker", "worker-1", "control")
    assert {f"{process} stopped (status 0)" for process in processes} <= set(said)


async def follow(platform: Platform, collector: Collector) -> None:
    async with (
        upstream.rest(platform) as api,
        upstream.http(platform) as http,
        upstream.fleet(platform.grpc_address) as fleet,
    ):
        experiment = await launch(api, fleet)
        assert collector.spans == []  # nobody asked for any
        async with asyncio.timeout(PATIENCE_S):
            while not await whole(collector, trace := await recommended(http, experiment["id"])):
                pass
    (get,), (decide,) = collector.of(trace, "GET"), collector.of(trace, "decide")
    (call,) = collector.of(trace, "pullarm.v1.SelectionService/Select")
    (append,) = collector.of(trace, "append")
    publish, *refreshes = became_of(collector, trace)
    fold = first_fold(collector, trace)[0]
    # Who did what, for whom.
    assert (get.service, get.parent) == ("pullarm-control", CALLER)
    assert (call.service, call.parent) == ("pullarm-serving", get.id)
    assert [(s.process, s.parent) for s in (decide, append)] == [(call.process, call.id)] * 2
    assert (fold.service, fold.parent) == ("pullarm-worker", call.id)
    assert (publish.name, publish.service) == ("publish", "pullarm-worker")
    assert {(span.name, span.service) for span in refreshes} == {("refresh", "pullarm-serving")}
    assert {span.process for span in refreshes} == {"serving-0", "serving-1"}
    # One event, one fold, one version.
    assert get.told["url.path"] == "/api/movies/recommendations"
    assert "somebody" not in str([span.told for span in collector.spans])
    assert decide.told["pullarm.experiment"] == fold.told["pullarm.experiment"]
    assert len({span.told["pullarm.fold"] for span in (fold, publish, *refreshes)}) == 1
    was, became = (each.told["pullarm.posterior_version"] for each in (decide, publish))
    assert isinstance(was, int)
    assert isinstance(became, int)
    assert was < became
    for span in refreshes:
        shown = span.told["pullarm.posterior_version"]
        assert isinstance(shown, int)
        assert shown >= became
    moments = [get.began_ns, call.began_ns, decide.began_ns, decide.ended_ns, append.began_ns]
    moments += [fold.ended_ns, publish.ended_ns]
    assert moments == sorted(moments)


async def whole(collector: Collector, trace: str) -> bool:
    """Whether it gets to what is served; it ends with its fold where a worker is held up for a second just then."""
    with suppress(TimeoutError):
        async with asyncio.timeout(20):
            while not (collector.of(trace, "GET") and len(became_of(collector, trace)) == 3):
                await asyncio.sleep(0.05)
            return True
    return False


def first_fold(collector: Collector, trace: str) -> list[Span]:
    """None while there is none; an event that was slow to be acknowledged comes, and is folded, once more."""
    return sorted(collector.of(trace, "fold"), key=lambda span: span.began_ns)[:1]


def became_of(collector: Collector, trace: str) -> list[Span]:
    """What became of the first fold, by name."""
    folds = {fold.id for fold in first_fold(collector, trace)}
    later = [span for span in collector.of(trace) if span.parent in folds]
    return sorted(later, key=lambda span: span.name)
