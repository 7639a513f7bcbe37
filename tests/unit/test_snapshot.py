"""A sound publication becomes a picture to answer from; an unsound one is refused with what is wrong."""

from collections.abc import Callable
from dataclasses import replace
from struct import pack
from typing import Any

import pytest

from pullarm.domain.assignment import allocate
from pullarm.domain.decision import Reason
from pullarm.domain.experiment import Experiment, PolicySpec, State
from pullarm.domain.publication import Published
from pullarm.policies.thompson import PreparedThompson
from serving.snapshot import Served, serve
from tests.builders import cells, experiment, published

TWO = experiment("thompson", "control")
LEARNED = published(TWO, cells("thompson", (10, 4), (20, 3), (5, 1)))


def later(of: Published, *, pub_no: int = 2, **changes: Any) -> Published:
    """The next publication of the same configuration, as serving reads it: without what it has."""
    head = of.head._replace(pub_no=pub_no)
    same = replace(of, head=head, experiment=None, grid=None)
    return replace(same, **changes)


def posteriors(of: Published, *pairs: tuple[int, int]) -> dict[int, bytes]:
    """Its posteriors with another of thompson's, in serves."""
    vector = b"".join(pack("<qq", n * 1_000_000, s * 1_000_000) for n, s in pairs)
    return {**of.posteriors, 2: vector}


def thompson(served: Served) -> PreparedThompson:
    prepared = served.policies[2].prepared
    assert isinstance(prepared, PreparedThompson)
    return prepared


def test_publication_is_ready_to_answer() -> None:
    served = serve(LEARNED, None)
    assert served.head == LEARNED.head
    assert served.arms.ids == ("one", "two", "three")
    assert served.arms.rows == {"one": 0, "two": 1, "three": 2}
    assert served.standing is Reason.ASSIGNED
    assert set(served.policies) == {1, 2}
    assert set(served.kinds) == {"reward"}
    assert not served.open


def test_refresh_tabulates_changed_arms_only() -> None:
    first = serve(LEARNED, None)
    second = serve(later(LEARNED, posteriors=posteriors(LEARNED, (10, 4), (21, 3), (5, 1))), first)
    before, after = thompson(first), thompson(second)
    assert after.slab is before.slab
    assert (after.starts == before.starts).tolist() == [True, False, True]
    assert after.posterior.serves_micro.tolist() == [10_000_000, 21_000_000, 5_000_000]
    assert before.posterior.serves_micro.tolist() == [10_000_000, 20_000_000, 5_000_000]


def test_refresh_keeps_what_the_publication_does_not_bring() -> None:
    first = serve(LEARNED, None)
    second = serve(later(LEARNED), first)
    assert second.experiment is first.experiment
    assert second.grid is first.grid
    assert second.arms is first.arms
    assert second.policies[2].policy is first.policies[2].policy


def test_other_parameters_keep_nothing_that_depends_on_them() -> None:
    first = serve(LEARNED, None)
    changed = replace(
        TWO.spec,
        policies=(PolicySpec(name="thompson", params={"prior_beta": 9.0}), TWO.spec.policies[1]),
    )
    new = replace(TWO, spec=changed, config_no=2)
    outcomes = cells("thompson", (10, 4), (20, 3), (5, 1))
    renewed = serve(published(new, outcomes, pub_no=2), first)
    fresh = serve(published(new, outcomes, pub_no=2), None)
    assert thompson(renewed).prior == (1.0, 9.0)
    assert thompson(renewed).windows.tolist() == thompson(fresh).windows.tolist()


def test_new_arms_are_answered_from() -> None:
    grown = replace(experiment("ucb", arms=("one", "two", "three", "four")), config_no=2)
    first = serve(published(experiment("ucb")), None)
    second = serve(published(grown, pub_no=2), first)
    assert second.arms.rows["four"] == 3
    assert second.policies[4].prepared.n_arms == 4
    assert "four" not in first.arms.rows


@pytest.mark.parametrize(
    ("state", "halt", "standing"),
    [
        (State.RUNNING, None, Reason.ASSIGNED),
        (State.RUNNING, State.STOPPED, Reason.NOT_RUNNING),
        (State.RUNNING, State.ROLLED_BACK, Reason.ROLLED_BACK),
        (State.DRAFT, None, Reason.NOT_RUNNING),
        (State.STOPPED, None, Reason.NOT_RUNNING),
        (State.ARCHIVED, None, Reason.NOT_RUNNING),
        (State.ROLLED_BACK, None, Reason.ROLLED_BACK),
        (State.SHIPPED, None, Reason.SHIPPED),
    ],
)
def test_state_and_halt_decide_the_standing(
    state: State, halt: State | None, standing: Reason
) -> None:
    assert serve(published(experiment(state=state), halt=halt), None).standing is standing


def with_experiment(change: Callable[[Experiment], Experiment]) -> Published:
    return replace(LEARNED, experiment=change(TWO))


def with_policy(name: str, **params: float | str) -> Published:
    policies = (PolicySpec(name=name, params=params), TWO.spec.policies[1])
    return with_experiment(
        lambda e: replace(e, spec=replace(e.spec, policies=policies), buckets=allocate({1: 1.0}))
    )


UNSOUND: dict[str, tuple[Published, str]] = {
    "another policy shipped": (
        with_experiment(
            lambda e: replace(
                e, state=State.SHIPPED, spec=replace(e.spec, default_policy="egreedy")
            )
        ),
        "egreedy is shipped, which it does not have",
    ),
    "no configuration": (replace(LEARNED, experiment=None), "without a configuration"),
    "another configuration": (
        with_experiment(lambda e: replace(e, config_no=2)),
        "configuration 2, but version says 1",
    ),
    "arm missing": (
        with_experiment(lambda e: replace(e, arms=e.arms[:2])),
        "2 arms, but version says 3",
    ),
    "arm numbers with a gap": (
        with_experiment(
            lambda e: replace(e, arms=(*e.arms[:2], replace(e.arms[2], arm_no=4))),
        ),
        "3 arms, but version says 3",
    ),
    "bucket of no policy": (
        with_experiment(lambda e: replace(e, buckets=allocate({1: 1.0, 3: 1.0}))),
        "buckets must be 10000 numbers of the experiment's policies",
    ),
    "too few buckets": (with_experiment(lambda e: replace(e, buckets=bytes(9))), "buckets must be"),
    "unknown policy": (with_policy("exp3"), "exp3"),
    "parameter out of range": (with_policy("thompson", floor=7.0), "floor"),
    "posterior too short": (
        replace(LEARNED, posteriors=posteriors(LEARNED, (1, 1))),
        "a posterior has 1 arms, but version says 3",
    ),
    "posterior cut": (replace(LEARNED, posteriors={2: b"\x00" * 17}), "multiple of element size"),
    "more rewards than serves": (
        replace(LEARNED, posteriors=posteriors(LEARNED, (1, 1), (1, 2), (0, 0))),
        "arm row 1: rewards_micro exceeds serves_micro",
    ),
    "grid missing": (replace(LEARNED, grid=None), "grid 1 is missing"),
    "grid not ascending": (replace(LEARNED, grid=pack("<3d", 0.0, 1.0, 0.5)), "grid points"),
    "grid cut": (replace(LEARNED, grid=b"\x00" * 9), "multiple of element size"),
    "grid of another posterior": (
        replace(LEARNED, grid=pack("<2d", 1.5, 1.57)),
        "the grid misses arm row 0",
    ),
    "thompson without a grid": (
        replace(LEARNED, head=LEARNED.head._replace(grid_no=0), grid=None),
        "thompson needs the grid",
    ),
}


@pytest.mark.parametrize("fault", UNSOUND)
def test_unsound_publication_is_refused_with_what_is_wrong(fault: str) -> None:
    unsound, problem = UNSOUND[fault]
    with pytest.raises(ValueError, match=problem):
        serve(unsound, None)


def test_new_grid_number_without_its_points_is_refused() -> None:
    first = serve(LEARNED, None)
    head = LEARNED.head._replace(pub_no=2, grid_no=2)
    with pytest.raises(ValueError, match="grid 2 is missing"):
        serve(later(LEARNED, head=head), first)
