"""What a worker tells Prometheus of its counters, over a real HTTP server."""

from urllib.request import urlopen

from pullarm.domain.ports import FoldResult
from pullarm.watching import watched
from workers.counts import Folded, Published, Removed
from workers.metrics import Figures


def test_scrape_tells_what_was_folded_and_published() -> None:
    folded, published, failing = Folded(), Published(), dict[int, str]()
    figures = Figures(folded, Removed(days=2, failures=1), published, failing)
    for _ in range(2):
        folded.add(FoldResult(folds={1: 1}, decisions=5, rewards=3), 0.25)
        published.add("exp_a", 7, 11, 0.125)
    folded.refused, folded.quarantined = 4, 1
    published.take()  # the log's own, which takes nothing from the counters
    failing[7] = "no arms"
    with watched("127.0.0.1:0", figures, lambda: {"status": "ready"}) as port:
        with urlopen(f"http://127.0.0.1:{port}/metrics", timeout=30) as answer:
            lines = set(answer.read().decode().splitlines())
        with urlopen(f"http://127.0.0.1:{port}/readyz", timeout=30) as answer:
            assert answer.status == 200
    assert {
        "pullarm_fold_seconds_count 2.0",
        "pullarm_fold_seconds_sum 0.5",
        "pullarm_decisions_folded_total 10.0",
        "pullarm_rewards_folded_total 6.0",
        "pullarm_folds_refused_total 4.0",
        "pullarm_events_quarantined_total 1.0",
        "pullarm_days_removed_total 2.0",
        "pullarm_retention_failures_total 1.0",
        "pullarm_publish_seconds_count 2.0",
        "pullarm_publish_seconds_sum 0.25",
        "pullarm_publications_failing 1.0",
    } <= lines
