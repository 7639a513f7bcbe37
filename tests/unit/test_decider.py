"""Every request has a defined answer, and the logged decision explains it."""

from collections import Counter
from dataclasses import replace
from itertools import permutations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pullarm.domain.assignment import unit_of
from pullarm.domain.cohorts import Cohort, CohortRule
from pullarm.domain.decision import NO_POLICY, UNLISTED, Reason, hash_of, pack_arms, unpack_arms
from pullarm.domain.experiment import (
    POLICY_NUMBERS,
    CandidateLog,
    Catalogue,
    Experiment,
    PolicySpec,
)
from pullarm.domain.publication import Published
from pullarm.policies.draw import KERNEL, choose
from pullarm.policies.grid import Grid
from pullarm.policies.registry import build
from serving.decider import MAX_NEWCOMERS, Answer
from serving.snapshot import Snapshot
from tests.builders import (
    ENTROPY,
    ask,
    cells,
    entropies,
    experiment,
    posterior,
    published,
    query,
    snapshot_of,
)
from tests.ledger_events import START_MS

ARMS = tuple(f"arm-{n}" for n in range(1, 13))
OUTCOMES = [(10.0 * n, 1.0 * (n % 5)) for n in range(1, 13)]
UNIFORM = PolicySpec(name="control", params={"mode": "uniform"})


def learned(policy: str | PolicySpec) -> Published:
    """A publication with one policy that has learned something about twelve arms."""
    name = policy if isinstance(policy, str) else policy.name
    return published(experiment(policy, arms=ARMS), cells(name, *OUTCOMES), pub_no=3)


@pytest.fixture(scope="module")
def snapshots() -> dict[str, Snapshot]:
    return {name: snapshot_of(learned(name)) for name in POLICY_NUMBERS}


@pytest.mark.parametrize("policy", POLICY_NUMBERS)
def test_single_candidate_is_certain(snapshots: dict[str, Snapshot], policy: str) -> None:
    answer = ask(snapshots[policy], query("arm-4"))
    assert (answer.arm_ids, answer.propensities) == (["arm-4"], [1.0])
    assert answer.decision.token.reason == Reason.ASSIGNED
    assert answer.policy == policy


def test_control_shows_the_callers_first_candidates(snapshots: dict[str, Snapshot]) -> None:
    answer = ask(snapshots["control"], query("arm-9", "arm-2", "arm-5", slots=2))
    assert answer.arm_ids == ["arm-9", "arm-2"]
    assert answer.propensities == [1.0, 1.0]
    assert answer.decision.candidates == pack_arms([9, 2, 5])


def test_uniform_control_shows_each_equally_often() -> None:
    snapshot = snapshot_of(learned(UNIFORM))
    answers = [ask(snapshot, query(*ARMS[:4]), entropy=entropy) for entropy in entropies(400)]
    assert {answer.propensities[0] for answer in answers} == {0.25}
    counts = Counter(answer.arm_ids[0] for answer in answers)
    assert set(counts) == set(ARMS[:4])
    assert min(counts.values()) > 70  # 100 are expected, and 70 lie 3.5 deviations below


@pytest.mark.parametrize("policy", POLICY_NUMBERS)
def test_duplicates_count_once(snapshots: dict[str, Snapshot], policy: str) -> None:
    once = ask(snapshots[policy], query("arm-3", "arm-1", "arm-2", slots=3))
    often = ask(snapshots[policy], query("arm-3", "arm-1", "arm-3", "arm-2", "arm-1", slots=3))
    assert often == once
    assert often.decision.candidates == pack_arms([3, 1, 2])


@pytest.mark.parametrize("policy", ["thompson", "egreedy", "ucb"])
def test_order_of_candidates_is_irrelevant_to_what_learns(
    snapshots: dict[str, Snapshot], policy: str
) -> None:
    asked = [query(*order, slots=2) for order in permutations(ARMS[:4])]
    for entropy in entropies(5):
        answers = [ask(snapshots[policy], one, entropy=entropy) for one in asked]
        told = {
            (tuple(a.arm_ids), tuple(a.propensities), tuple(a.decision.weights)) for a in answers
        }
        assert len(told) == 1


@pytest.mark.parametrize("policy", POLICY_NUMBERS)
def test_unknown_candidates_of_a_closed_catalogue_are_counted_and_not_scored(
    snapshots: dict[str, Snapshot], policy: str
) -> None:
    for entropy in entropies(10):
        asked = query("new", "arm-7", "newer", "arm-2", "new", slots=5)
        answer = ask(snapshots[policy], asked, entropy=entropy)
        assert set(answer.arm_ids) == {"arm-7", "arm-2"}
        assert answer.decision.candidates == pack_arms([7, 2])
        assert (answer.decision.unlisted, answer.decision.newcomers) == (2, [])


def test_unknown_candidates_of_an_open_catalogue_are_named() -> None:
    snapshot = snapshot_of(published(experiment(catalogue=Catalogue.OPEN)))
    answer = ask(snapshot, query("new", "one", "newer", "new"))
    assert answer.arm_ids == ["one"]
    assert (answer.decision.unlisted, answer.decision.newcomers) == (2, ["new", "newer"])


def test_only_a_hash_of_the_candidates_is_logged_where_that_is_wanted() -> None:
    plain = experiment()
    spec = replace(plain.spec, log_candidates=CandidateLog.HASH)
    snapshot = snapshot_of(published(replace(plain, spec=spec)))
    one, other = ask(snapshot, query("two", "one")), ask(snapshot, query("one", "two"))
    assert one.decision.candidates == other.decision.candidates == b""
    assert one.decision.candidates_hash == hash_of(pack_arms([2, 1]))
    assert one.decision.candidates_hash != other.decision.candidates_hash
    assert (one.arm_ids, one.propensities) == (["two"], [1.0])
    assert ask(snapshot_of(published(plain)), query("one")).decision.candidates_hash == 0


def test_newcomers_of_one_event_are_limited() -> None:
    snapshot = snapshot_of(published(experiment(catalogue=Catalogue.OPEN)))
    names = [f"new-{n}" for n in range(MAX_NEWCOMERS + 50)]
    answer = ask(snapshot, query(*names))
    assert answer.decision.newcomers == names[:MAX_NEWCOMERS]
    assert answer.decision.unlisted == MAX_NEWCOMERS + 50


@pytest.mark.parametrize("policy", POLICY_NUMBERS)
def test_no_known_candidate_is_the_callers_order(
    snapshots: dict[str, Snapshot], policy: str
) -> None:
    answer = ask(snapshots[policy], query("x", "y", "x", "z", slots=2))
    assert (answer.arm_ids, answer.propensities) == (["x", "y"], [1.0, 1.0])
    assert answer.policy == "none"
    token = answer.decision.token
    assert (token.reason, token.acting) == (Reason.NO_KNOWN_CANDIDATE, NO_POLICY)
    assert token.assigned == POLICY_NUMBERS[policy]
    assert token.arms == [UNLISTED, UNLISTED]
    assert answer.decision.candidates == pack_arms([UNLISTED] * 3)


def test_no_candidates_mean_all_arms(snapshots: dict[str, Snapshot]) -> None:
    answer = ask(snapshots["thompson"], query(slots=100))
    assert set(answer.arm_ids) == set(ARMS)
    assert (answer.decision.candidates, answer.decision.all_arms) == (b"", 12)


@pytest.mark.parametrize("policy", ["control", "thompson"])
def test_open_catalogue_without_arms_has_nothing_to_choose_until_candidates_come(
    policy: str,
) -> None:
    snapshot = snapshot_of(published(experiment(policy, arms=(), catalogue=Catalogue.OPEN)))
    answer = ask(snapshot, query())
    assert (answer.arm_ids, answer.propensities) == ([], [])
    assert answer.decision.token.reason == Reason.NO_KNOWN_CANDIDATE
    answer = ask(snapshot, query("x", "y"))
    assert answer.arm_ids == ["x"]
    assert answer.decision.newcomers == ["x", "y"]


@pytest.mark.parametrize("policy", POLICY_NUMBERS)
@pytest.mark.parametrize("slots", [1, 2, 5, 11, 12, 13, 100])
def test_slots_hold_distinct_arms_each_with_its_propensity(
    snapshots: dict[str, Snapshot], policy: str, slots: int
) -> None:
    answer = ask(snapshots[policy], query(*ARMS, slots=slots))
    filled = min(slots, len(ARMS))
    decision = answer.decision
    assert len(set(answer.arm_ids)) == len(answer.arm_ids) == filled
    assert len(answer.propensities) == len(decision.weights) == len(decision.totals) == filled
    assert [ARMS[arm - 1] for arm in decision.token.arms] == answer.arm_ids
    for propensity, weight, total in zip(
        answer.propensities, decision.weights, decision.totals, strict=True
    ):
        assert propensity == weight / total
        assert 0 < propensity <= 1


def redone(of: Published, answer: Answer) -> tuple[list[int], list[int], list[int]]:
    """(arm numbers, weights, totals) worked out anew from the logged decision and the publication it names."""
    decision, configured = answer.decision, of.experiment
    assert configured is not None
    (spec,) = configured.spec.policies
    assert decision.token.acting == POLICY_NUMBERS[spec.name]
    policy = build(spec.name, spec.params)
    grid = Grid.from_bytes(of.head.grid_no, of.grid) if of.grid is not None else None
    prepared = policy.prepare(
        posterior(configured, cells(spec.name, *OUTCOMES), decision.token.acting), grid=grid
    )
    choices = choose(
        policy,
        prepared,
        [arm_no - 1 for arm_no in unpack_arms(decision.candidates)],
        slots=len(decision.token.arms),
        uid=decision.token.uid,
    )
    return [c.row + 1 for c in choices], [c.weight for c in choices], [c.total for c in choices]


@pytest.mark.parametrize("policy", [*POLICY_NUMBERS, UNIFORM], ids=str)
def test_logged_decision_explains_the_answer(policy: str | PolicySpec) -> None:
    of = learned(policy)
    snapshot = snapshot_of(of)
    for number, entropy in enumerate(entropies(20)):
        asked = query("unknown", *ARMS[number % 7 :], "arm-1", slots=1 + number % 4)
        answer = ask(snapshot, asked, entropy=entropy)
        decision = answer.decision
        assert redone(of, answer) == (decision.token.arms, decision.weights, decision.totals)
        assert (decision.pub_no, decision.config_no, decision.kernel) == (3, 1, KERNEL)


def test_decision_says_what_was_asked() -> None:
    of = replace(experiment("ucb", arms=ARMS, learn_slots=2), allocation_epoch=5, config_no=9)
    snapshot = snapshot_of(published(of, pub_no=4))
    asked = query("arm-1", user="Zoë", attributes={"country": "de"}, request_id="r-1")
    decision = ask(snapshot, asked).decision
    unit = unit_of(of.salt, "Zoë")
    assert decision.token.uid == START_MS.to_bytes(6, "big") + ENTROPY
    assert (decision.unit, decision.bucket, decision.token.unit_hash) == (
        "Zoë",
        unit.bucket,
        unit.hash,
    )
    assert (decision.attributes, decision.request_id) == ({"country": "de"}, "r-1")
    assert (decision.config_no, decision.pub_no) == (9, 4)
    assert decision.token.experiment == 7
    assert (decision.token.allocation_epoch, decision.token.learn_slots) == (5, 2)


def test_decision_has_the_cohort_of_its_request() -> None:
    rule = CohortRule(attribute="country", max_values=2)
    cohort = Cohort(cohort_no=1, attribute="country", value="de")
    plain = experiment()
    of = replace(plain, spec=replace(plain.spec, cohorts=rule), cohorts=(cohort,))

    def asked(of: Experiment, **attributes: str) -> tuple[int, str]:
        snapshot = snapshot_of(published(of))
        decision = ask(snapshot, query("one", attributes=attributes)).decision
        return decision.token.cohort, decision.new_cohort

    assert asked(of, country="de", device="tv") == (1, "")
    assert asked(of, country="fr") == (0, "country")
    assert asked(of, country="") == asked(of, device="tv") == asked(of) == (0, "")
    assert asked(plain, country="de") == (0, "")
    # Whoever takes no part neither uses up numbers nor lacks the one there is.
    out = replace(of, spec=replace(of.spec, traffic_pct=0.0))
    assert (asked(out, country="de"), asked(out, country="fr")) == ((1, ""), (0, ""))
    full = replace(of, cohorts=(cohort, replace(cohort, cohort_no=2, value="it")))
    assert (asked(full, country="it"), asked(full, country="fr")) == ((2, ""), (0, ""))


def test_units_get_the_policy_of_their_bucket_every_time() -> None:
    of = experiment("control", "egreedy", PolicySpec(name="ucb", weight=2.0))
    snapshot = snapshot_of(published(of))
    met = Counter[str]()
    for number in range(1_000):
        answers = [
            ask(snapshot, query("two", "one", user=f"user-{number}"), entropy=entropy)
            for entropy in entropies(2)
        ]
        token = answers[0].decision.token
        assert token.assigned == token.acting == of.buckets[answers[0].decision.bucket]
        assert {answer.policy for answer in answers} == {answers[0].policy}
        met[answers[0].policy] += 1
    assert abs(met["ucb"] - 500) < 70
    assert abs(met["control"] - 250) < 60


@given(
    candidates=st.lists(st.sampled_from([*ARMS, "x", "y"]), max_size=20),
    slots=st.integers(1, 100),
    policy=st.sampled_from(sorted(POLICY_NUMBERS)),
    user=st.text(st.characters(exclude_categories=["Cc", "Cs"]), min_size=1, max_size=20),
    entropy=st.binary(min_size=10, max_size=10),
)
def test_every_request_has_an_answer_that_can_be_shown(
    snapshots: dict[str, Snapshot],
    candidates: list[str],
    slots: int,
    policy: str,
    user: str,
    entropy: bytes,
) -> None:
    answer = ask(snapshots[policy], query(*candidates, slots=slots, user=user), entropy=entropy)
    offered = set(candidates) or set(ARMS)
    known = offered & set(ARMS)
    assert set(answer.arm_ids) <= (known or offered)
    assert len(answer.arm_ids) == min(slots, len(known or offered))
    assert len(set(answer.arm_ids)) == len(answer.arm_ids)
    assert answer.decision.unlisted == len(offered - known)
