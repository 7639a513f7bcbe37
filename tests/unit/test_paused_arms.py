"""Paused and retired arms are shown to nobody, by no policy and no fallback, and every such decision is redone."""

from collections.abc import Sequence
from dataclasses import replace

import pytest

from pullarm.domain.decision import Reason, unpack_arms
from pullarm.domain.experiment import (
    POLICY_NUMBERS,
    ArmStatus,
    CandidateLog,
    Catalogue,
    Experiment,
    PolicySpec,
    State,
)
from pullarm.domain.publication import Published
from replay.explain import Verdict, redo
from serving.decider import Answer
from serving.snapshot import Snapshot
from tests.builders import ask, cells, entropies, experiment, published, query, snapshot_of

ARMS = tuple(f"arm-{n}" for n in range(1, 13))
WITHHELD = ("arm-1", "arm-5", "arm-12")
SHOWN = tuple(arm for arm in ARMS if arm not in WITHHELD)
OUTCOMES = [(10.0 * n, 10.0 * n if f"arm-{n}" in WITHHELD else 1.0 * (n % 5)) for n in range(1, 13)]
"""What is withheld would be every policy's favourite."""
UNIFORM = PolicySpec(name="control", params={"mode": "uniform"})
POLICIES = [*POLICY_NUMBERS, UNIFORM]


def withholding(of: Experiment, names: Sequence[str] = WITHHELD) -> Experiment:
    """With these arms paused, and every other one of them retired."""
    statuses = {name: (ArmStatus.PAUSED, ArmStatus.RETIRED)[n % 2] for n, name in enumerate(names)}
    arms = (replace(arm, status=statuses.get(arm.arm_id, arm.status)) for arm in of.arms)
    return replace(of, arms=tuple(arms))


def learned(
    policy: str | PolicySpec,
    state: State = State.RUNNING,
    log: CandidateLog = CandidateLog.ARMS,
) -> Published:
    name = policy if isinstance(policy, str) else policy.name
    made = experiment(policy, arms=ARMS, state=state)
    made = replace(made, spec=replace(made.spec, log_candidates=log))
    return published(withholding(made), cells(name, *OUTCOMES))


def answers(one: Published, *candidates: str, slots: int = 1) -> list[Answer]:
    """Of many users; each is also redone from its event."""
    snapshot = snapshot_of(one)
    found = [
        ask(snapshot, query(*candidates, user=f"user-{n}", slots=slots), entropy=entropy)
        for n, entropy in enumerate(entropies(60))
    ]
    for answer in found:
        redone = redo(answer.decision, one)
        assert (redone.verdict, redone.differences) == (Verdict.REPRODUCED, ())
    return found


@pytest.mark.parametrize("slots", [1, 2, 12])
@pytest.mark.parametrize("state", [State.RUNNING, State.STOPPED])
@pytest.mark.parametrize("policy", POLICIES, ids=str)
def test_whole_catalogue_is_what_is_active(
    policy: str | PolicySpec, state: State, slots: int
) -> None:
    found = answers(learned(policy, state), slots=slots)
    shown = {arm for answer in found for arm in answer.arm_ids}
    assert shown <= set(SHOWN)
    if slots == 12:
        assert all(sorted(answer.arm_ids) == sorted(SHOWN) for answer in found)
    decision = found[0].decision
    assert (decision.candidates, decision.all_arms, decision.withheld) == (b"", len(SHOWN), 0)


@pytest.mark.parametrize("slots", [1, 3, 12])
@pytest.mark.parametrize("state", [State.RUNNING, State.STOPPED])
@pytest.mark.parametrize("policy", POLICIES, ids=str)
def test_candidates_that_are_withheld_are_left_out(
    policy: str | PolicySpec, state: State, slots: int
) -> None:
    asked = ["arm-5", "arm-3", "none", "arm-1", "arm-2", "arm-5"]
    for answer in answers(learned(policy, state), *asked, slots=slots):
        may_be_shown = {"arm-3", "arm-2"} | ({"none"} if state is State.STOPPED else set())
        assert set(answer.arm_ids) <= may_be_shown
        decision = answer.decision
        assert (decision.withheld, decision.unlisted) == (2, 1)
        logged = (3, 2) if state is State.RUNNING else (3, 0, 2)
        assert unpack_arms(decision.candidates) == logged


@pytest.mark.parametrize("policy", POLICIES, ids=str)
def test_plain_requests_decide_the_same_with_and_without_what_is_withheld(
    policy: str | PolicySpec,
) -> None:
    one = learned(policy)
    for plain, other in zip(
        answers(one, "arm-4", "arm-2", "arm-3", slots=2),
        answers(one, "arm-1", "arm-4", "arm-12", "arm-2", "arm-3", slots=2),
        strict=True,
    ):
        assert plain.decision == other.decision._replace(withheld=0)


@pytest.mark.parametrize("log", CandidateLog)
@pytest.mark.parametrize("state", [State.RUNNING, State.STOPPED])
def test_nothing_is_shown_where_all_candidates_are_withheld(
    state: State, log: CandidateLog
) -> None:
    """What the caller did not offer it may not be able to show, so it is not given that either."""
    for answer in answers(learned("thompson", state, log), *WITHHELD, slots=2):
        assert (answer.arm_ids, answer.policy) == ([], "none")
        expected = Reason.NO_KNOWN_CANDIDATE if state is State.RUNNING else Reason.NOT_RUNNING
        decision = answer.decision
        assert (decision.token.reason, decision.token.arms) == (expected, [])
        assert (decision.withheld, decision.unlisted, decision.all_arms) == (3, 0, 0)


def test_nothing_is_shown_where_all_arms_are_withheld() -> None:
    one = published(withholding(experiment("thompson", arms=ARMS), ARMS))
    for answer in answers(one):
        assert (answer.arm_ids, answer.decision.token.reason) == ([], Reason.NO_KNOWN_CANDIDATE)


def test_withheld_candidates_are_no_newcomers() -> None:
    found = experiment("thompson", arms=ARMS, catalogue=Catalogue.OPEN)
    snapshot = snapshot_of(published(withholding(found)))
    answer = ask(snapshot, query("arm-1", "new", "arm-5", "arm-2"))
    assert (answer.decision.newcomers, answer.decision.unlisted) == (["new"], 1)


def test_of_the_versions_of_an_arm_the_newest_is_shown() -> None:
    made = experiment("thompson", arms=("one", "two", "one"))
    old, two, new = made.arms
    arms = (replace(old, status=ArmStatus.RETIRED), two, replace(new, version=2))
    one = published(replace(made, arms=arms), cells("thompson", (0, 0), (90, 1), (90, 80)))
    snapshot: Snapshot = snapshot_of(one)
    for asked in (query("two", "one"), query("one", "new", "two"), query()):
        shown = [ask(snapshot, asked, entropy=entropy) for entropy in entropies(200)]
        assert {tuple(answer.decision.token.arms) for answer in shown} == {(2,), (3,)}
        assert {answer.arm_ids[0] for answer in shown} == {"one", "two"}
