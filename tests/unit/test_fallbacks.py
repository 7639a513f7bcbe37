"""Whom no policy serves gets control's choice and the reason; what is not there is told as such."""

from dataclasses import replace

import pytest

from pullarm.domain.assignment import MICRO, gate_limit, unit_of
from pullarm.domain.decision import NO_POLICY, UNLISTED, Reason, unpack_arms
from pullarm.domain.errors import NotFound, Unavailable
from pullarm.domain.experiment import Catalogue, PolicySpec, State
from serving.snapshot import Snapshot
from tests.builders import ask, entropies, experiment, published, query, snapshot_of

UNIFORM = PolicySpec(name="control", params={"mode": "uniform"})


def user_where(snapshot: Snapshot, *, in_traffic: bool) -> str:
    (served,) = snapshot.by_number.values()
    return next(
        user
        for user in map(str, range(1_000))
        if (unit_of(served.experiment.salt, user).gate < served.gate_limit) is in_traffic
    )


def test_out_of_traffic_is_controls_choice() -> None:
    snapshot = snapshot_of(published(experiment("thompson", traffic_pct=0.5)))
    answer = ask(
        snapshot, query("three", "new", "one", user=user_where(snapshot, in_traffic=False))
    )
    assert (answer.arm_ids, answer.propensities, answer.policy) == (["three"], [1.0], "none")
    decision = answer.decision
    assert decision.token.reason == Reason.NOT_IN_TRAFFIC
    assert (decision.token.assigned, decision.token.acting) == (NO_POLICY, NO_POLICY)
    assert (unpack_arms(decision.candidates), decision.token.arms) == ((3, UNLISTED, 1), [3])
    assert decision.unlisted == 1
    inside = ask(snapshot, query("three", user=user_where(snapshot, in_traffic=True)))
    assert inside.policy == "thompson"


@pytest.mark.parametrize("state", [State.DRAFT, State.STOPPED])
def test_experiment_that_does_not_run_gets_no_new_arms(state: State) -> None:
    snapshot = snapshot_of(published(experiment(catalogue=Catalogue.OPEN, state=state)))
    answer = ask(snapshot, query("new", "one"))
    assert answer.decision.token.reason == Reason.NOT_RUNNING
    assert (answer.decision.unlisted, answer.decision.newcomers) == (1, [])


@pytest.mark.parametrize("share", [0.0, 0.02, 0.5, 0.98, 1.0])
def test_traffic_share_is_let_in_and_nobody_else(share: float) -> None:
    of = experiment(traffic_pct=share)
    snapshot = snapshot_of(published(of))
    users = [f"user-{number}" for number in range(1_000)]
    limit = gate_limit(round(share * MICRO))
    inside = [user for user in users if unit_of(of.salt, user).gate < limit]
    served = [user for user in users if ask(snapshot, query(user=user)).policy == "control"]
    assert served == inside
    assert abs(len(inside) - 1_000 * share) <= 50


def test_shipped_policy_is_everybodys_and_goes_on_learning() -> None:
    running = experiment("thompson", "ucb", traffic_pct=1.0, catalogue=Catalogue.OPEN)
    spec = replace(running.spec, default_policy="ucb")
    shipped = replace(running, spec=spec, state=State.SHIPPED)
    snapshot = snapshot_of(published(shipped))
    for user in map(str, range(50)):
        answer = ask(snapshot, query("new", "one", user=user))
        token = answer.decision.token
        assert (answer.policy, token.acting) == ("ucb", 4)
        assert (token.assigned, token.reason) == (4, Reason.SHIPPED)
        assert answer.decision.newcomers == ["new"]
    halted = snapshot_of(published(shipped, halt=State.ROLLED_BACK))
    assert ask(halted, query("two", "one")).policy == "none"


def test_fallback_takes_the_callers_first_even_where_it_is_no_arm() -> None:
    snapshot = snapshot_of(published(experiment("thompson", traffic_pct=0.0)))
    answer = ask(snapshot, query("new", "one"))
    assert answer.arm_ids == ["new"]
    assert answer.decision.token.arms == [UNLISTED]


@pytest.mark.parametrize(
    ("state", "reason"),
    [
        (State.DRAFT, Reason.NOT_RUNNING),
        (State.STOPPED, Reason.NOT_RUNNING),
        (State.ARCHIVED, Reason.NOT_RUNNING),
        (State.ROLLED_BACK, Reason.ROLLED_BACK),
    ],
)
def test_what_does_not_run_gets_controls_choice(state: State, reason: Reason) -> None:
    snapshot = snapshot_of(published(experiment("thompson", "control", state=state)))
    answer = ask(snapshot, query("two", "one"))
    assert (answer.arm_ids, answer.policy) == (["two"], "none")
    token = answer.decision.token
    assert (token.reason, token.assigned, token.acting) == (reason, NO_POLICY, NO_POLICY)


@pytest.mark.parametrize(
    ("halt", "reason"),
    [(State.STOPPED, Reason.NOT_RUNNING), (State.ROLLED_BACK, Reason.ROLLED_BACK)],
)
def test_halt_overrides_the_configuration(halt: State, reason: Reason) -> None:
    snapshot = snapshot_of(published(experiment("thompson"), halt=halt))
    answer = ask(snapshot, query("two", "one"))
    assert (answer.arm_ids, answer.policy) == (["two"], "none")
    assert answer.decision.token.reason == reason


def test_uniform_control_is_uniform_as_a_fallback_too() -> None:
    of = experiment("thompson", UNIFORM, state=State.DRAFT)
    snapshot = snapshot_of(published(of))
    answers = [ask(snapshot, query("a", "b", "c"), entropy=entropy) for entropy in entropies(60)]
    assert {answer.arm_ids[0] for answer in answers} == {"a", "b", "c"}
    assert {answer.propensities[0] for answer in answers} == {1 / 3}


@pytest.mark.parametrize("reference", ["exp_7", "key-7"])
def test_experiment_is_found_by_id_and_by_key(reference: str) -> None:
    snapshot = snapshot_of(published(experiment()), published(experiment(number=8)))
    assert ask(snapshot, query(reference=reference)).decision.token.experiment == 7


def test_id_wins_over_a_key_that_looks_like_it() -> None:
    impostor = replace(experiment(number=8), key="exp_7")
    for of in ([experiment(), impostor], [impostor, experiment()]):
        snapshot = snapshot_of(*map(published, of))
        assert ask(snapshot, query(reference="exp_7")).decision.token.experiment == 7


def test_unknown_experiment_is_not_found_and_named() -> None:
    with pytest.raises(NotFound, match="experiment_id: there is no experiment 'nothing'"):
        ask(snapshot_of(published(experiment())), query(reference="nothing"))


def test_nothing_is_unknown_before_a_snapshot_is_complete() -> None:
    with pytest.raises(Unavailable, match="NO_SNAPSHOT"):
        ask(Snapshot(), query())
