"""What a scrape and a load balancer are told, over a real HTTP server in its thread."""

import json
import socket
from collections.abc import Iterator
from dataclasses import replace
from urllib.error import HTTPError
from urllib.request import Request, urlopen

import pytest
from prometheus_client.parser import text_string_to_metric_families

from pullarm.domain.errors import ConfigurationError
from serving.metrics import MAX_EXPERIMENTS, watched
from serving.vitals import Calls, Vitals
from tests.vitals import HEALTHY

Labels = frozenset[tuple[str, str]]


class Watched:
    """A process whose vitals a test sets."""

    def __init__(self) -> None:
        self.vitals = HEALTHY
        self.port = 0

    def look(self) -> Vitals:
        return self.vitals

    def get(self, path: str, method: str = "GET") -> tuple[int, str, bytes]:
        """Status, content type and body."""
        request = Request(f"http://127.0.0.1:{self.port}{path}", method=method)
        try:
            with urlopen(request, timeout=30) as response:
                return response.status, response.headers["Content-Type"], response.read()
        except HTTPError as error:
            with error:
                return error.code, error.headers["Content-Type"], error.read()

    def figures(self) -> dict[str, dict[Labels, float]]:
        """Values by name and labels."""
        status, content_type, body = self.get("/metrics")
        assert (status, content_type.partition(";")[0]) == (200, "text/plain")
        found: dict[str, dict[Labels, float]] = {}
        for family in text_string_to_metric_families(body.decode()):
            for sample in family.samples:
                found.setdefault(sample.name, {})[frozenset(sample.labels.items())] = sample.value
        return found


@pytest.fixture
def process() -> Iterator[Watched]:
    process = Watched()
    with watched("127.0.0.1:0", process.look, 900.0) as process.port:
        yield process


def _labels(**labels: str) -> Labels:
    return frozenset(labels.items())


def test_scrape_tells_the_figures(process: Watched) -> None:
    process.vitals = replace(HEALTHY, snapshot_age_s=1.25, stream_trouble="away", voided=3)
    figures = process.figures()
    thompson = _labels(experiment="exp_7", policy="thompson")
    assert figures["pullarm_selections_total"][thompson] == 3
    assert figures["pullarm_selection_errors_total"][thompson] == 1
    assert figures["pullarm_rewards_total"] == {_labels(status="accepted"): 4}
    assert figures["pullarm_refusals_total"] == {_labels(method="Select", code="NOT_FOUND"): 2}
    assert figures["pullarm_weights_seconds_count"] == {frozenset(): 4}
    assert figures["pullarm_weights_seconds_sum"] == {frozenset(): 0.002}
    assert figures["pullarm_snapshot_age_seconds"] == {frozenset(): 1.25}
    assert figures["pullarm_event_stream_away"] == {frozenset(): 1}
    assert figures["pullarm_decisions_voided_total"] == {frozenset(): 3}
    assert figures["pullarm_durability_info"] == {_labels(mode="process"): 1}
    assert figures["pullarm_readiness"][_labels(state="degraded")] == 1
    assert sum(figures["pullarm_readiness"].values()) == 1
    assert figures["process_resident_memory_bytes"][frozenset()] > 0


def test_histogram_has_the_guardrails_edges(process: Watched) -> None:
    figures = process.figures()
    buckets = {
        dict(labels)["le"]: value
        for labels, value in figures["pullarm_selection_seconds_bucket"].items()
        if ("policy", "thompson") in labels
    }
    assert [buckets[le] for le in ("0.001", "0.0025", "0.005", "0.1", "0.12", "1.0", "+Inf")] == [
        *(1, 1, 2, 2, 3, 3, 3)
    ]
    of_thompson = _labels(policy="thompson")
    assert figures["pullarm_selection_seconds_count"][of_thompson] == 3
    total_s = figures["pullarm_selection_seconds_sum"][of_thompson]
    assert total_s == pytest.approx(0.1135, rel=0.01)


def test_labels_are_bounded_and_nothing_is_lost(process: Watched) -> None:
    twice = Calls(count=2, errors=0)
    many = {(f"exp_{n}", "ucb"): twice for n in range(MAX_EXPERIMENTS + 50)}
    process.vitals = replace(HEALTHY, calls=many)
    selections = process.figures()["pullarm_selections_total"]
    assert len(selections) == MAX_EXPERIMENTS + 1
    assert selections[_labels(experiment="other", policy="ucb")] == 100
    assert sum(selections.values()) == 2 * len(many)


@pytest.mark.parametrize(
    ("vitals", "answer", "status"),
    [
        (HEALTHY, 200, "ready"),
        (replace(HEALTHY, missing=1), 200, "degraded"),
        (replace(HEALTHY, draining=True), 503, "unready"),
    ],
)
def test_readiness_is_told_with_its_reasons(
    process: Watched, vitals: Vitals, answer: int, status: str
) -> None:
    process.vitals = vitals
    code, content_type, body = process.get("/readyz")
    told = json.loads(body)
    assert (code, content_type, told["status"]) == (answer, "application/json", status)
    assert bool(told["reasons"]) is (status != "ready")
    assert told["snapshot_age_s"] == 0.5
    assert process.get("/healthz")[0] == 200


def test_other_paths_and_methods_are_refused(process: Watched) -> None:
    assert process.get("/")[0] == 404
    assert process.get("/metrics", "POST")[0] == 405
    assert process.get("/healthz", "HEAD")[::2] == (200, b"")


def test_caller_that_says_nothing_holds_up_nobody(process: Watched) -> None:
    with socket.create_connection(("127.0.0.1", process.port)):
        assert process.get("/healthz")[0] == 200


def test_taken_port_is_named_with_its_setting(process: Watched) -> None:
    address = f"127.0.0.1:{process.port}"
    with (
        pytest.raises(ConfigurationError, match=f"PULLARM_METRICS_ADDRESS.*{address}"),
        watched(address, process.look, 900.0),
    ):
        pass


@pytest.mark.parametrize("address", ["", "9464", "127.0.0.1", "127.0.0.1:x", "127.0.0.1:99999"])
def test_malformed_address_is_named_with_its_setting(address: str) -> None:
    with (
        pytest.raises(ConfigurationError, match=r"PULLARM_METRICS_ADDRESS.*HOST:PORT"),
        watched(address, lambda: HEALTHY, 900.0),
    ):
        pass
