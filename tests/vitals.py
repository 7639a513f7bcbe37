"""A serving process in good health, for tests that change one thing of it."""

from collections.abc import Mapping

from pullarm.statistics.sketch import LatencySketch
from serving.vitals import Calls, Spooled, Vitals


def latencies(*took_ms: float) -> Mapping[int, int]:
    """The sketch of selections that took so long."""
    sketch = LatencySketch()
    for each in took_ms:
        sketch.add(each)
    return sketch.counts


HEALTHY = Vitals(
    complete=True,
    experiments=2,
    missing=0,
    snapshot_age_s=0.5,
    contact_age_s=0.05,
    refused=0,
    problems={},
    draining=False,
    durability="process",
    stream_trouble=None,
    events_full=None,
    events_waiting=0,
    events_waiting_bytes=0,
    slow_acknowledgements=0,
    voided=0,
    lost=0,
    spool=Spooled(max_bytes=1_000),
    signing_key=2,
    keys=(1, 2),
    calls={
        ("exp_7", "thompson"): Calls(count=3, errors=1),
        ("exp_7", "ucb"): Calls(count=1, errors=0),
    },
    latencies={"thompson": latencies(0.5, 3.0, 110.0), "ucb": latencies(2.0)},
    decided=4,
    deciding_s=0.002,
    rewards={"accepted": 4},
    refusals={("Select", "NOT_FOUND"): 2},
)
