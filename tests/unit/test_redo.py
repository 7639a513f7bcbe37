"""A decision is redone to the last integer from the publication it was made from, and whatever was changed is named."""

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import pytest

from pullarm.domain.decision import ARM_BYTES, Decision, Reason, hash_of, pack_arms, unpack_arms
from pullarm.domain.experiment import CandidateLog, PolicySpec, State
from pullarm.domain.publication import PosteriorCell, Published
from pullarm.policies.draw import KERNEL
from replay.explain import Redone, Verdict, redo
from tests.builders import ask, cells, entropies, experiment, published, query, snapshot_of

ARMS = [f"arm-{number}" for number in range(15)]
OUTCOMES = [(40.0 + 7 * number, 3.0 + number % 4) for number in range(15)]
POLICIES = ["thompson", "egreedy", "ucb", "control"]


def learned(*policies: str) -> list[PosteriorCell]:
    return [cell for policy in policies for cell in cells(policy, *OUTCOMES)]


def decisions(
    one: Published, candidates: Sequence[str] = ARMS, *, slots: int = 1, count: int = 20
) -> list[Decision]:
    """By users of all kinds."""
    snapshot = snapshot_of(one)
    return [
        ask(snapshot, query(*candidates, user=f"user-{n}", slots=slots), entropy=entropy).decision
        for n, entropy in enumerate(entropies(count))
    ]


def redone(decision: Decision, one: Published) -> Redone:
    """Redone, and drawn from weights whose sum is the logged total."""
    found = redo(decision, one)
    if decision.token.arms:
        assert sum(s.integer for s in found.scored if s) == decision.totals[0]
        assert sum(s.floored for s in found.scored if s) == pytest.approx(1.0)
    return found


@pytest.mark.parametrize("slots", [1, 3, 15])
@pytest.mark.parametrize("policy", POLICIES)
def test_decision_of_every_policy_is_reproduced(policy: str, slots: int) -> None:
    one = published(experiment(policy, arms=ARMS), learned(policy))
    for decision in decisions(one, ARMS[::-1], slots=slots):
        found = redone(decision, one)
        assert (found.verdict, found.differences) == (Verdict.REPRODUCED, ())
        logged = zip(decision.token.arms, decision.weights, decision.totals, strict=True)
        assert found.slots == tuple(logged)
        assert found.policy == policy


def test_users_of_all_policies_and_outside_are_reproduced() -> None:
    one = published(experiment(*POLICIES, arms=ARMS, traffic_pct=0.7), learned(*POLICIES))
    made = decisions(one, ["none", "arm-3", "nobody", "arm-1"], slots=2, count=100)
    assert {decision.token.acting for decision in made} == {0, 1, 2, 3, 4}
    for decision in made:
        assert redone(decision, one).verdict is Verdict.REPRODUCED


def test_candidates_that_are_no_arms_were_not_scored() -> None:
    one = published(experiment("thompson", arms=ARMS), learned("thompson"))
    (decision,) = decisions(one, ["arm-3", "arm-1"], count=1)
    found = redone(decision._replace(candidates=pack_arms([0, 4, 0, 2]), unlisted=2), one)
    assert found.verdict is Verdict.REPRODUCED
    assert found.candidates == (0, 4, 0, 2)
    assert [scored is not None for scored in found.scored] == [False, True, False, True]


@pytest.mark.parametrize("slots", [1, 3])
@pytest.mark.parametrize("state", [State.RUNNING, State.STOPPED])
@pytest.mark.parametrize("policy", POLICIES)
def test_whole_catalogue_is_reproduced(policy: str, state: State, slots: int) -> None:
    """Drawn without a list, redone with one: to the last integer the same."""
    one = published(experiment(policy, arms=ARMS, state=state), learned(policy))
    for decision in decisions(one, [], slots=slots):
        assert (decision.candidates, decision.all_arms) == (b"", len(ARMS))
        found = redone(decision, one)
        assert (found.verdict, found.differences) == (Verdict.REPRODUCED, ())
        assert found.candidates == tuple(range(1, len(ARMS) + 1))


@pytest.mark.parametrize("mode", ["caller", "uniform"])
@pytest.mark.parametrize("state", [State.DRAFT, State.STOPPED, State.ROLLED_BACK])
def test_fallback_is_control_as_configured(state: State, mode: str) -> None:
    control = PolicySpec(name="control", params={"mode": mode})
    one = published(experiment("thompson", control, arms=ARMS, state=state))
    for decision in decisions(one, ["none", "arm-1", "nobody"], slots=3):
        found = redone(decision, one)
        assert (found.verdict, found.differences) == (Verdict.REPRODUCED, ())
        assert (found.policy, found.params) == ("control", {"mode": mode})
        assert found.candidates == (0, 2, 0)


def test_shipped_policy_is_reproduced_for_everybody() -> None:
    running = experiment("thompson", "egreedy", arms=ARMS)
    spec = replace(running.spec, default_policy="egreedy")
    shipped = replace(running, spec=spec, state=State.SHIPPED)
    one = published(shipped, learned("thompson", "egreedy"))
    for decision in decisions(one, ARMS[::-1], slots=2):
        token = decision.token
        assert (token.reason, token.assigned, token.acting) == (Reason.SHIPPED, 3, 3)
        found = redone(decision, one)
        assert (found.verdict, found.differences, found.policy) == (
            Verdict.REPRODUCED,
            (),
            "egreedy",
        )
    other = redone(decisions(one, count=1)[0], replace(one, experiment=running))
    assert other.verdict is not Verdict.REPRODUCED


def test_nothing_to_choose_from_is_reproduced() -> None:
    one = published(experiment("thompson", arms=()))
    made = decisions(published(experiment("thompson", arms=ARMS)), ["none"], count=1)
    nothing = made[0]._replace(candidates=b"", weights=[], totals=[], unlisted=0)
    nothing = nothing._replace(token=nothing.token._replace(arms=[]))
    assert redone(nothing, one).verdict is Verdict.REPRODUCED


def test_halt_may_have_been_obeyed_ahead_of_its_version() -> None:
    running = experiment("thompson", arms=ARMS)
    halted = published(running, learned("thompson"), halt=State.ROLLED_BACK)
    (decision,) = decisions(halted, count=1)
    assert decision.token.reason == Reason.ROLLED_BACK
    assert redone(decision, halted).verdict is Verdict.REPRODUCED
    never = redo(decision, replace(halted, halt=None))
    (line,) = never.differences
    assert line.startswith("reason and assigned policy: logged ROLLED_BACK none, redone ASSIGNED")


def spoiled(decision: Decision) -> list[tuple[str, Decision]]:
    """What a redoing has to say, and the decision with one thing changed."""
    token, candidates = decision.token, decision.candidates
    other = next(arm for arm in unpack_arms(candidates) if arm not in token.arms)

    def of(**changed: Any) -> Decision:
        return decision._replace(token=token._replace(**changed))

    return [
        (f"slot 1: logged arm {other} ", of(arms=[other, *token.arms[1:]])),
        ("slot 2: logged arm", of(arms=token.arms[:1])),
        ("with weight 1 of", decision._replace(weights=[decision.weights[0], 1])),
        (" of 12, redone", decision._replace(totals=[12, decision.totals[1]])),
        ("slot 1: logged arm", decision._replace(candidates=candidates[ARM_BYTES:])),
        ("must be arm rows", decision._replace(candidates=candidates + pack_arms([99]))),
        ("candidates: logged 59 bytes", decision._replace(candidates=candidates[:-1])),
        ("slot 1: logged arm", of(uid=bytes(16))),
        ("bucket: logged 10001,", decision._replace(bucket=10_001)),
        ("bucket: logged", decision._replace(unit="somebody else")),
        ("unit hash: logged 1,", of(unit_hash=1)),
        ("configuration: logged 2, redone 1", decision._replace(config_no=2)),
        ("logged ASSIGNED egreedy, redone", of(assigned=3, acting=3)),
        ("acting policy: logged 1, redone 2", of(acting=1)),
        ("reason and assigned policy: logged NOT_IN_TRAFFIC", of(reason=2, acting=0, assigned=0)),
    ]


def test_whatever_was_changed_is_named() -> None:
    one = published(experiment("thompson", arms=ARMS), learned("thompson"))
    (decision,) = decisions(one, slots=2, count=1)
    for said, changed in spoiled(decision):
        found = redo(changed, one)
        assert found.verdict is Verdict.DIFFERS
        assert any(said in line for line in found.differences), (said, found.differences)


def test_another_posterior_or_grid_gives_other_weights() -> None:
    one = published(experiment("thompson", arms=ARMS), learned("thompson"))
    (decision,) = decisions(one, count=1)
    later = [*learned("thompson")[1:], *cells("thompson", (41.0, 3.0))]
    for other in (
        published(experiment("thompson", arms=ARMS), later),
        replace(one, grid=published(experiment("thompson", arms=ARMS), cells("thompson")).grid),
    ):
        assert redo(decision, other).verdict is Verdict.DIFFERS


def test_other_kernel_is_told_and_the_assignment_still_checked() -> None:
    one = published(experiment("thompson", arms=ARMS), learned("thompson"))
    (decision,) = decisions(one, count=1)
    older = decision._replace(kernel=KERNEL - 1)
    found = redo(older, one)
    assert (found.verdict, found.slots) == (Verdict.OTHER_KERNEL, ())
    assert redo(decision, one, kernel=KERNEL + 1).verdict is Verdict.OTHER_KERNEL
    assert redo(older._replace(bucket=1), one).verdict is Verdict.DIFFERS


def test_hash_of_the_candidates_is_not_enough() -> None:
    running = experiment("thompson", arms=ARMS)
    hashing = replace(running, spec=replace(running.spec, log_candidates=CandidateLog.HASH))
    one = published(hashing, learned("thompson"))
    (decision,) = decisions(one, count=1)
    assert decision.candidates_hash == hash_of(pack_arms(range(1, 16)))
    found = redo(decision, one)
    assert (found.verdict, found.slots, found.candidates) == (Verdict.NOT_LOGGED, (), ())
    assert found.unit is not None
    assert found.unit.bucket == decision.bucket
