"""What the benchmarks send, and when."""

import numpy as np
import pytest

from benchmarks import traffic
from benchmarks.compare import Plan
from benchmarks.traffic import Traffic
from pullarm.v1 import selection_pb2 as pb


def test_arrivals_are_a_poisson_process_at_both_rates() -> None:
    due_s, reward = traffic.arrivals(np.random.default_rng(1), 1_000.0, 200.0, 50.0)
    gaps = np.diff(due_s)
    assert len(due_s) == pytest.approx(60_000, abs=4 * 60_000**0.5)
    assert reward.mean() == pytest.approx(200 / 1_200, abs=0.01)
    assert gaps.min() >= 0.0
    # Exponential gaps: their standard deviation is their mean, and 1 in e is longer than that.
    assert gaps.mean() == pytest.approx(1 / 1_200, rel=0.02)
    assert gaps.std() == pytest.approx(gaps.mean(), rel=0.03)
    assert (gaps > gaps.mean()).mean() == pytest.approx(np.exp(-1), abs=0.01)


def test_arrivals_depend_on_the_seed_alone() -> None:
    one, again, other = (
        traffic.arrivals(np.random.default_rng(seed), 100.0, 10.0, 5.0) for seed in (1, 1, 2)
    )
    assert one.due_s.tolist() == again.due_s.tolist()
    assert one.due_s.tolist() != other.due_s.tolist()


def test_no_rewards_arrive_at_rate_0() -> None:
    assert not traffic.arrivals(np.random.default_rng(1), 100.0, 0.0, 5.0).reward.any()


def test_selections_name_distinct_arms_of_the_catalogue() -> None:
    shape = Traffic(mode="select", experiments=("a", "b"), arms=30, candidates=10, slots=3)
    requests = [pb.SelectRequest.FromString(each) for each in traffic.selections(shape, 1)]
    known = set(traffic.arm_names(30))
    assert {len(set(each.candidate_ids)) for each in requests} == {10}
    assert {name for each in requests for name in each.candidate_ids} == known
    assert [each.experiment_id for each in requests[:4]] == ["a", "b", "a", "b"]
    assert {each.slots for each in requests} == {3}
    assert len({each.user_id for each in requests}) > 1_000


def test_no_candidates_means_that_every_arm_is_offered() -> None:
    shape = Traffic(mode="select", experiments=("a",), arms=30, candidates=0)
    assert not pb.SelectRequest.FromString(traffic.selections(shape, 1)[0]).candidate_ids


def test_a_batch_holds_as_many_requests_as_asked_for() -> None:
    shape = Traffic(mode="batch", experiments=("a",), arms=30, candidates=10, batch=7)
    batch = pb.SelectBatchRequest.FromString(traffic.selections(shape, 1)[0])
    assert len(batch.requests) == 7
    assert {len(each.candidate_ids) for each in batch.requests} == {10}
    assert (shape.path, shape.decisions) == (traffic.BATCH, 7)


@pytest.mark.parametrize(("duration_s", "slices"), [(1, 2), (2, 2), (8, 4), (60, 6), (300, 30)])
def test_each_side_comes_first_as_often_as_the_other(duration_s: float, slices: int) -> None:
    shape = Traffic(mode="select", experiments=("a",), arms=10, candidates=10)
    assert Plan(traffic=shape, duration_s=duration_s).slices == slices
