"""Serving lets in whom targeting, holdouts and groups let in, says why it does not, and what it did can be redone."""

from collections import Counter
from dataclasses import replace

import pytest

from pullarm.domain.admission import Forced, Seat
from pullarm.domain.assignment import BUCKETS, unit_of
from pullarm.domain.decision import NO_POLICY, Reason
from pullarm.domain.experiment import ArmStatus, Experiment, PolicySpec, State
from pullarm.domain.publication import PosteriorCell, Published
from pullarm.domain.targeting import Targeting
from replay.explain import Verdict, redo
from serving.snapshot import serve
from tests.builders import ask, cells, entropies, experiment, published, query, snapshot_of

POLICIES = ("thompson", "ucb", "control")
ARMS = ("one", "two", "three", "four")
SALT = b"group salt......"
LEARNED: list[PosteriorCell] = [
    *cells("thompson", (50.0, 20.0), (50.0, 2.0), (50.0, 1.0), (50.0, 1.0)),
    *cells("ucb", (50.0, 20.0), (50.0, 2.0), (50.0, 1.0), (50.0, 1.0)),
]


def made(
    *,
    number: int = 7,
    state: State = State.RUNNING,
    traffic_pct: float = 1.0,
    targeting: Targeting | None = None,
    seats: tuple[Seat, ...] = (),
    forced: tuple[Forced, ...] = (),
) -> Experiment:
    running = experiment(*POLICIES, number=number, arms=ARMS, state=state, traffic_pct=traffic_pct)
    spec = replace(running.spec, targeting=targeting or {})
    return replace(running, spec=spec, seats=seats, forced=forced)


def learned(of: Experiment) -> Published:
    return published(of, LEARNED)


def reproduced(
    one: Published, *candidates: str, users: int = 60, slots: int = 1, **attributes: str
) -> Counter[str]:
    """The reasons of these users' decisions, each of which is redone bit for bit."""
    snapshot = snapshot_of(one)
    reasons: Counter[str] = Counter()
    for number, entropy in enumerate(entropies(users)):
        asked = query(*candidates, user=f"user-{number}", slots=slots, attributes=attributes)
        decision = ask(snapshot, asked, entropy=entropy).decision
        found = redo(decision, one)
        assert (found.verdict, found.differences) == (Verdict.REPRODUCED, ())
        reasons[Reason(decision.token.reason).name] += 1
    return reasons


def test_whom_it_is_not_for_gets_the_fallback() -> None:
    one = learned(made(targeting={"country": {"in": ["DE"]}}))
    assert reproduced(one, *ARMS, country="DE") == {"ASSIGNED": 60}
    assert reproduced(one, *ARMS, country="FR") == {"NOT_TARGETED": 60}
    assert reproduced(one, *ARMS) == {"NOT_TARGETED": 60}
    answer = ask(snapshot_of(one), query("three", "one", attributes={"country": "FR"}))
    assert (answer.policy, answer.arm_ids) == ("none", ["three"])
    token = answer.decision.token
    assert (token.assigned, token.acting) == (NO_POLICY, NO_POLICY)


def test_targeting_moves_nobody_it_lets_in() -> None:
    everybody, targeted = learned(made()), learned(made(targeting={"x": {"not_in": ["a"]}}))
    for number in range(40):
        asked = query(*ARMS, user=f"user-{number}")
        first, second = ask(snapshot_of(everybody), asked), ask(snapshot_of(targeted), asked)
        assert first.decision.token == second.decision.token


def test_held_out_users_and_those_of_other_experiments_are_told_apart() -> None:
    seat = Seat(group="g", salt=SALT, holdout_micro=200_000, ranges=((0, 3_000), (7_000, 8_000)))
    one = learned(made(seats=(seat,), traffic_pct=0.5))
    reasons = reproduced(one, *ARMS, users=400)
    expected: Counter[str] = Counter()
    for number in range(400):
        unit = unit_of(SALT, f"user-{number}")
        own = unit_of(one.experiment.salt, f"user-{number}") if one.experiment else unit
        if unit.gate < 0.2 * 2**64:
            expected["IN_HOLDOUT"] += 1
        elif not (unit.bucket < 3_000 or 7_000 <= unit.bucket < 8_000):
            expected["NOT_IN_GROUP_SHARE"] += 1
        else:
            expected["ASSIGNED" if own.gate < 2**63 else "NOT_IN_TRAFFIC"] += 1
    assert reasons == expected
    assert len(expected) == 4


def test_no_user_is_in_two_experiments_of_a_group() -> None:
    ranges = [((0, 4_000),), ((4_000, 5_000), (9_000, BUCKETS)), ((5_000, 9_000),)]
    group = [
        made(number=n, seats=(Seat(group="g", salt=SALT, ranges=own),))
        for n, own in enumerate(ranges, 1)
    ]
    served = [serve(published(each, LEARNED), None) for each in group]
    for number in range(500):
        user = f"user-{number}"
        refusals = [each.admission.refusal(user, {}) for each in served if each.admission]
        assert sorted(map(str, refusals)) == sorted(
            [str(None), *2 * [str(Reason.NOT_IN_GROUP_SHARE)]]
        )


def test_an_experiment_for_everybody_asks_nothing() -> None:
    assert serve(learned(made()), None).admission is None


@pytest.mark.parametrize("state", [State.DRAFT, State.RUNNING])
@pytest.mark.parametrize("candidates", [ARMS, ("zero", "two", "one"), ("zero",), ()])
def test_forced_policy_chooses_and_nothing_counts(
    state: State, candidates: tuple[str, ...]
) -> None:
    forced = tuple(Forced(user_id=f"user-{n}", policy="ucb") for n in range(60))
    one = learned(
        made(state=state, forced=forced, traffic_pct=0.0, targeting={"x": {"exists": True}})
    )
    assert reproduced(one, *candidates, slots=2) == {"FORCED": 60}
    answer = ask(snapshot_of(one), query(*candidates, user="user-7"))
    token = answer.decision.token
    assert (token.reason, token.assigned, token.acting) == (Reason.FORCED, NO_POLICY, NO_POLICY)
    assert answer.policy == ("none" if candidates == ("zero",) else "ucb")
    other = ask(snapshot_of(one), query(*candidates, user="somebody"))
    assert other.decision.token.reason != Reason.FORCED


@pytest.mark.parametrize(
    ("candidates", "shown"),
    [
        (ARMS, ["three", "one", "two"]),
        (("zero", "two", "three"), ["three", "zero", "two"]),
        ((), ["three", "one", "two"]),
        (("two", "one"), ["two", "one"]),
        (("zero", "nobody"), ["zero", "nobody"]),
    ],
)
@pytest.mark.parametrize("mode", ["caller", "uniform"])
def test_forced_arm_comes_first_where_it_is_offered(
    candidates: tuple[str, ...], shown: list[str], mode: str
) -> None:
    control = PolicySpec(name="control", params={"mode": mode})
    running = experiment("thompson", control, arms=ARMS)
    one = published(replace(running, forced=(Forced(user_id="user-3", arm_id="three"),)), LEARNED)
    answer = ask(snapshot_of(one), query(*candidates, user="user-3", slots=3))
    assert (answer.policy, answer.arm_ids, set(answer.propensities)) == ("none", shown, {1.0})
    assert answer.decision.token.reason == Reason.FORCED
    assert reproduced(one, *candidates, users=10, slots=3)["FORCED"] == 1


def test_paused_arm_is_shown_to_nobody_by_force_either() -> None:
    running = made(forced=(Forced(user_id="user", arm_id="three"),))
    arms = tuple(
        replace(arm, status=ArmStatus.PAUSED) if arm.arm_id == "three" else arm
        for arm in running.arms
    )
    one = published(replace(running, arms=arms), LEARNED)
    assert ask(snapshot_of(one), query("zero", "three", "one")).arm_ids == ["zero"]


@pytest.mark.parametrize("state", [State.STOPPED, State.ROLLED_BACK])
def test_who_is_forced_obeys_what_ends_or_halts_the_experiment(state: State) -> None:
    forced = (Forced(user_id="user", policy="ucb"),)
    ended = published(made(state=state, forced=forced), LEARNED)
    halted = published(made(forced=forced), LEARNED, halt=state)
    for one in (ended, halted):
        decision = ask(snapshot_of(one), query(*ARMS)).decision
        assert decision.token.reason != Reason.FORCED
        assert redo(decision, one).verdict is Verdict.REPRODUCED


def test_force_to_a_policy_that_is_gone_is_refused_as_a_publication() -> None:
    with pytest.raises(ValueError, match="egreedy, which it does not have"):
        serve(learned(made(forced=(Forced(user_id="user", policy="egreedy"),))), None)


def test_of_an_erased_user_the_draw_is_redone() -> None:
    one = learned(made())
    decision = ask(snapshot_of(one), query(*ARMS)).decision
    erased = decision._replace(unit="erased", token=decision.token._replace(unit_hash=1))
    assert redo(erased, one).verdict is Verdict.DIFFERS
    found = redo(erased, one, erased=True)
    assert (found.verdict, found.unit) == (Verdict.REPRODUCED, None)
