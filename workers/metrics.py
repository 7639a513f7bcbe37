"""What a worker tells Prometheus. How much waits for all of them together, the control plane tells."""

from collections.abc import Iterable, Sized

from prometheus_client.core import SummaryMetricFamily
from prometheus_client.metrics_core import Metric
from prometheus_client.registry import Collector

from pullarm.watching import gauge, total
from workers.counts import Folded, Published, Removed


class Figures(Collector):
    """A worker's counters as Prometheus names them."""

    def __init__(
        self, folded: Folded, removed: Removed, published: Published, unpublished: Sized
    ) -> None:
        self._folded = folded
        self._removed = removed
        self._published = published
        self._unpublished = unpublished

    def collect(self) -> Iterable[Metric]:
        """All figures of one moment."""
        folded, published = self._folded, self._published
        yield SummaryMetricFamily(
            "pullarm_fold_seconds",
            "Transactions that folded events into the ledger.",
            count_value=folded.folds,
            sum_value=folded.seconds,
        )
        yield total("decisions_folded", "Decisions that were new.", folded.decisions)
        yield total("rewards_folded", "Rewards that were new.", folded.rewards)
        yield total("folds_refused", "Folds that the ledger refused.", folded.refused)
        yield total("events_quarantined", "Entries and events set aside.", folded.quarantined)
        yield total("days_removed", "Days of decisions that were removed.", self._removed.days)
        failures = self._removed.failures
        yield total("retention_failures", "Tries to archive or remove days, in vain.", failures)
        yield SummaryMetricFamily(
            "pullarm_publish_seconds",
            "Publications, from the ledger to the board.",
            count_value=published.publications,
            sum_value=published.seconds,
        )
        failing = len(self._unpublished)
        yield gauge("publications_failing", "Experiments that cannot be published.", failing)
