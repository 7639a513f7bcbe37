"""What the benchmarks of fold and freshness put into the stream, and how they count."""

from collections import Counter

import pytest

from benchmarks import fold, freshness, traffic
from benchmarks.fold import Folded, Made
from benchmarks.freshness import Freshness
from pullarm.domain.assignment import MICRO
from pullarm.domain.decision import Decision, Reward, RewardStatus, unpack_arms
from pullarm.domain.errors import PullarmError
from pullarm.domain.experiment import POLICY_NUMBERS, State
from pullarm.policies.warm import warm_up
from pullarm.storage import events
from serving.snapshot import Snapshot
from tests.builders import experiment, published, snapshot_of


@pytest.fixture(scope="module")
def snapshot() -> Snapshot:
    warm_up()
    return snapshot_of(published(experiment(*POLICY_NUMBERS, arms=traffic.arm_names(fold.ARMS))))


def made(snapshot: Snapshot, count: int, seed: int = 1) -> list[Decision | Reward]:
    return list(fold.stream(snapshot, "exp_7", count, seed))


def test_a_tenth_of_the_decisions_is_rewarded_once_and_later(snapshot: Snapshot) -> None:
    stream = made(snapshot, 12_000)
    assert len(stream) == 12_000
    places = {one.token.uid: at for at, one in enumerate(stream) if isinstance(one, Decision)}
    rewards = {at: one for at, one in enumerate(stream) if isinstance(one, Reward)}
    assert len(rewards) == pytest.approx(fold.REWARDED * (12_000 - fold.LATER) / 1.1, rel=0.1)
    assert len({one.token.uid for one in rewards.values()}) == len(rewards)
    gaps = [at - places[one.token.uid] for at, one in rewards.items()]
    assert min(gaps) == fold.LATER
    assert max(gaps) < fold.LATER + 100  # one behind the other where several are due
    assert {one.status for one in rewards.values()} == {RewardStatus.ACCEPTED}
    clicks = Counter(one.credit_micro for one in rewards.values())
    assert clicks.keys() == {0, MICRO}
    assert clicks[MICRO] / len(rewards) == pytest.approx(fold.CLICKED, abs=0.06)


def test_decisions_are_those_of_every_policy_over_the_whole_catalogue(snapshot: Snapshot) -> None:
    decisions = [one for one in made(snapshot, 5_000) if isinstance(one, Decision)]
    policies = Counter(one.token.acting for one in decisions)
    assert policies.keys() == set(POLICY_NUMBERS.values())
    assert min(policies.values()) > 1_000
    assert len({one.unit for one in decisions}) > 4_000
    assert {len(unpack_arms(one.candidates)) for one in decisions} == {fold.CANDIDATES}
    assert len({arm for one in decisions for arm in one.token.arms}) > 0.9 * fold.ARMS


def test_a_stream_depends_on_its_seed_but_for_the_time(snapshot: Snapshot) -> None:
    one, again, other = (made(snapshot, 2_000, seed) for seed in (1, 1, 2))

    def kinds(stream: list[Decision | Reward]) -> list[tuple[type, bytes]]:
        return [(type(event), event.token.uid[6:]) for event in stream]

    assert kinds(one) == kinds(again)
    assert kinds(one) != kinds(other)


def test_entries_hold_all_events_and_the_account_of_them(snapshot: Snapshot) -> None:
    stream = made(snapshot, 3_000)
    account = Made()
    batches = [events.unpack(packed) for packed in fold.entries(iter(stream), account)]
    sizes = [batch.events() for batch in batches]
    assert sizes == [fold.AN_ENTRY] * (3_000 // fold.AN_ENTRY) + [3_000 % fold.AN_ENTRY]
    whole = events.merge(batches)
    assert whole.decisions == [one for one in stream if isinstance(one, Decision)]
    assert whole.rewards == [one for one in stream if isinstance(one, Reward)]
    assert account.events == 3_000
    assert account.decided == [one.token.uid for one in whole.decisions]
    assert account.rewarded == [one.token.uid for one in whole.rewards]
    assert account.serves_micro == len(whole.decisions) * MICRO
    assert account.rewards_micro == sum(one.credit_micro for one in whole.rewards) > 0


def test_what_no_policy_decides_is_no_load() -> None:
    stopped = experiment(arms=traffic.arm_names(fold.ARMS), state=State.STOPPED)
    with pytest.raises(PullarmError, match="is it running"):
        made(snapshot_of(published(stopped)), 1)


def test_the_rate_counts_until_all_is_published_and_cpu_is_that_of_an_event() -> None:
    folded = Folded(
        events=30_000,
        megabytes=3.6,
        committed_s=1.5,
        published_s=2.0,
        missing=0,
        differences=0,
        waiting_bytes=6_000_000,
        ledger_bytes=9_000_000,
        cpu_s={"worker": 1.2, "postgres": 0.6},
    )
    figures = folded.figures()
    assert figures["events_per_s"] == 15_000
    assert figures["worker_cpu_us"] == pytest.approx(40)
    assert figures["postgres_cpu_us"] == pytest.approx(20)
    assert figures["waiting_bytes_an_event"] == 200
    assert figures["ledger_bytes_an_event"] == 300
    assert "cpu_s" not in figures
    assert {limit.figure for limit in fold.LIMITS} <= figures.keys()
    assert "15,000 events/s" in folded.table()
    assert "worker 40.0, postgres 20.0" in folded.table()


def test_a_delay_is_that_of_the_same_probe_and_counts_from_the_warm_up_on() -> None:
    took, unseen = freshness.delays_ms([1.0, 2.0, 3.0, 4.0], [1.9, 2.2, 3.1, 4.5], since=2.0)
    assert took == pytest.approx([200, 100, 500])
    assert unseen == 0


def test_probes_that_are_never_seen_are_counted_apart() -> None:
    assert freshness.delays_ms([1.0, 2.0, 3.0], [], since=2.0) == ([], 2)
    took, unseen = freshness.delays_ms([1.0, 2.0, 3.0], [1.5, 2.5], since=0.0)
    assert took == pytest.approx([500, 500])
    assert unseen == 1


def test_what_is_seen_before_its_acknowledgement_arrives_took_no_time() -> None:
    assert freshness.delays_ms([1.0], [0.99], since=0.0) == ([0.0], 0)


def test_without_probes_there_is_no_latency_and_errors_are_told_by_status() -> None:
    nothing = Freshness(
        p50_ms=None,
        p95_ms=None,
        max_ms=None,
        probes=0,
        unseen=0,
        events_per_s=0.0,
        errors_by_status={"UNAVAILABLE": 3, "CANCELLED": 2},
    )
    figures = nothing.figures()
    assert {limit.figure for limit in freshness.LIMITS} <= figures.keys()
    assert figures["errors"] == 5
    assert nothing.table().splitlines() == [
        "no probe was seen at 0 events/s",
        "3 calls failed with UNAVAILABLE",
        "2 calls failed with CANCELLED",
    ]
