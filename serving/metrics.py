"""What watches a serving process is told: its figures and whether it should get requests.

Figures are read when somebody asks for them; a request never touches them. At most MAX_EXPERIMENTS experiments have
labels of their own, the rest are summed up under `other`, so that a scrape stays small.
"""

from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from functools import cache
from typing import TypeVar

from prometheus_client.core import (
    CounterMetricFamily,
    GaugeMetricFamily,
    HistogramMetricFamily,
    SummaryMetricFamily,
)
from prometheus_client.metrics_core import InfoMetricFamily, Metric
from prometheus_client.registry import Collector

from pullarm import watching
from pullarm.statistics.sketch import LatencySketch
from pullarm.watching import gauge, total
from serving.vitals import Status, Vitals, readiness

MAX_EXPERIMENTS = 100
OTHER = "other"
BUCKETS_MS = (1.0, 2.5, 5.0, 10.0, 25.0, 50.0, 100.0, 120.0, 250.0, 500.0, 1_000.0)
"""Among them 100 and 120: where latency is a warning, and where it is critical."""

_Labels = TypeVar("_Labels", bound=tuple[str, ...])
Look = Callable[[], Vitals]
"""Called in the thread that answers: it copies dictionaries before it goes through them."""


@contextmanager
def watched(address: str, look: Look, max_silence_s: float) -> Iterator[int]:
    """See `watching.watched`; `look` is called in the thread that answers."""
    figures = Figures(look, max_silence_s)
    with watching.watched(address, figures, lambda: ready(look(), max_silence_s)) as port:
        yield port


def ready(vitals: Vitals, max_silence_s: float) -> dict[str, object]:
    """What `/readyz` says."""
    judged = readiness(vitals, max_silence_s)
    return {
        "status": judged.status.value,
        "reasons": judged.reasons,
        "experiments": vitals.experiments,
        "snapshot_age_s": round(vitals.snapshot_age_s, 3),
        "contact_age_s": round(vitals.contact_age_s, 3),
        "events_waiting": vitals.events_waiting,
        "spool_bytes": vitals.spool.waiting_bytes,
        "spool_entries": vitals.spool.waiting_entries,
        "durability": vitals.durability,
    }


class Figures(Collector):
    """A process's vitals as Prometheus names them."""

    def __init__(self, look: Look, max_silence_s: float) -> None:
        self._look = look
        self._max_silence_s = max_silence_s

    def describe(self) -> Iterable[Metric]:
        """Nothing ahead: else registering would look at a process that is only starting."""
        return ()

    def collect(self) -> Iterable[Metric]:
        """All figures of one moment."""
        vitals = self._look()
        yield from _selections(vitals)
        yield from _events(vitals)
        yield from _snapshot(vitals)
        yield _keys(vitals)
        judged = readiness(vitals, self._max_silence_s).status
        states = GaugeMetricFamily(
            "pullarm_readiness", "1 for the state the process is in.", labels=["state"]
        )
        for state in Status:
            states.add_metric([state.value], float(state is judged))
        yield states


def _selections(vitals: Vitals) -> Iterable[Metric]:
    counts: Counter[tuple[str, str]] = Counter()
    errors: Counter[tuple[str, str]] = Counter()
    named: set[str] = set()
    for (experiment, policy), calls in vitals.calls.items():
        if len(named) < MAX_EXPERIMENTS:
            named.add(experiment)
        key = (experiment if experiment in named else OTHER, policy)
        counts[key] += calls.count
        errors[key] += calls.errors
    labels = ["experiment", "policy"]
    yield _counter("pullarm_selections", "Selections by assigned policy.", labels, counts)
    yield _counter("pullarm_selection_errors", "Selections that failed.", labels, errors)
    histogram = HistogramMetricFamily(
        "pullarm_selection_seconds",
        "From request to answer, within 1 %, by assigned policy.",
        labels=["policy"],
    )
    for policy, counted in vitals.latencies.items():
        buckets, sum_ms = _histogram(counted)
        histogram.add_metric([policy], buckets, sum_ms / 1_000)
    yield histogram
    yield SummaryMetricFamily(
        "pullarm_weights_seconds",
        "From a request that was read to its decision: assignment, weights and draw.",
        count_value=vitals.decided,
        sum_value=vitals.deciding_s,
    )
    yield _counter(
        "pullarm_rewards",
        "Answered rewards by status, the refused ones among them.",
        ["status"],
        {(status,): count for status, count in vitals.rewards.items()},
    )
    yield _counter(
        "pullarm_refusals", "Calls answered with an error.", ["method", "code"], vitals.refusals
    )


def _events(vitals: Vitals) -> Iterable[Metric]:
    spool = vitals.spool
    yield gauge("events_waiting", "Events that wait to be stored.", vitals.events_waiting)
    yield gauge("events_waiting_bytes", "Their size.", vitals.events_waiting_bytes)
    away = vitals.stream_trouble is not None
    yield gauge("event_stream_away", "1 while the event stream takes nothing.", away)
    yield gauge("events_full", "1 while events are refused.", vitals.events_full is not None)
    yield total("acknowledgements_slow", "Entries over the budget.", vitals.slow_acknowledgements)
    yield total("events_lost", "Events that found no room anywhere.", vitals.lost)
    yield total("decisions_voided", "Decisions nobody was shown.", vitals.voided)
    yield gauge("spool_bytes", "Size of what waits in the spool.", spool.waiting_bytes)
    yield gauge("spool_limit_bytes", "Size the spool may have.", spool.max_bytes)
    yield gauge("spool_entries", "Entries that wait in the spool.", spool.waiting_entries)
    yield total("spool_written", "Entries written to the spool.", spool.written)
    yield total("spool_torn_bytes", "Bytes cut off behind a last whole entry.", spool.torn)
    yield total("spool_damaged", "Entries that could not be read back.", spool.damaged)
    yield InfoMetricFamily(
        "pullarm_durability", "What an answer outlives.", value={"mode": vitals.durability}
    )


def _keys(vitals: Vitals) -> Metric:
    family = GaugeMetricFamily(
        "pullarm_decision_key",
        "1 for the key that decision ids are signed with, 0 for those that verify.",
        labels=["number"],
    )
    for number in vitals.keys:
        family.add_metric([str(number)], float(number == vitals.signing_key))
    return family


def _snapshot(vitals: Vitals) -> Iterable[Metric]:
    yield gauge(
        "snapshot_age_seconds", "Since all that was folded was served.", vitals.snapshot_age_s
    )
    yield gauge("board_silence_seconds", "Since the board was reached.", vitals.contact_age_s)
    yield gauge("experiments", "Experiments that are served.", vitals.experiments)
    yield gauge("experiments_missing", "Published, and not to be served.", vitals.missing)
    yield total("publications_refused", "Publications that were not sound.", vitals.refused)
    yield gauge("publications_standing_refused", "Of these, not mended.", len(vitals.problems))


def _counter(name: str, help_text: str, labels: list[str], counts: Mapping[_Labels, int]) -> Metric:
    family = CounterMetricFamily(name, help_text, labels=labels)
    for values, count in counts.items():
        family.add_metric(list(values), count)
    return family


def _histogram(counted: Mapping[int, int]) -> tuple[list[tuple[str, float]], float]:
    """Cumulative counts by upper edge in seconds, and the sum in milliseconds, of a sketch's own values."""
    counts = [(_value_ms(bucket), count) for bucket, count in counted.items()]
    edges = [
        (str(edge / 1_000), float(sum(count for value, count in counts if value <= edge)))
        for edge in BUCKETS_MS
    ]
    return [*edges, ("+Inf", float(sum(count for _, count in counts)))], sum(
        value * count for value, count in counts
    )


@cache
def _value_ms(bucket: int) -> float:
    value = LatencySketch({bucket: 1}).quantile(0.5)
    assert value is not None
    return value
