"""What is stated of arms becomes versions: numbers are never reused, and one version of each id is not retired."""

from dataclasses import replace

import pytest

from pullarm.domain.arms import MAX_ARMS, Stated, first_seen, moved, restated, statuses_at
from pullarm.domain.errors import Conflict, InvalidInput, NotFound
from pullarm.domain.experiment import Arm, ArmStatus, Catalogue, PolicySpec, Spec
from pullarm.domain.publication import warmed

ACTIVE, PAUSED, RETIRED = ArmStatus
SPEC = Spec(name="x", policies=(PolicySpec(name="thompson"),))
OPEN = replace(SPEC, catalogue=Catalogue.OPEN, max_arms=3)
A = Arm(arm_no=1, arm_id="a", label="A", payload_hash="1")
B = Arm(arm_no=2, arm_id="b", status=PAUSED)
C = Arm(arm_no=3, arm_id="c", status=RETIRED, payload_hash="1")


def test_what_is_new_is_added_with_what_is_stated_of_it() -> None:
    stated = (
        Stated(
            arm_id="d", label="D", payload_hash="9", prior_serves_micro=5, prior_rewards_micro=2
        ),
        Stated(arm_id="e", status=PAUSED),
    )
    assert restated((A, B, C), stated, SPEC) == (
        *(A, B, C),
        Arm(
            arm_no=4,
            arm_id="d",
            label="D",
            payload_hash="9",
            prior_serves_micro=5,
            prior_rewards_micro=2,
        ),
        Arm(arm_no=5, arm_id="e", status=PAUSED),
    )


@pytest.mark.parametrize(
    "stated",
    [
        Stated(arm_id="a"),
        Stated(arm_id="a", payload_hash="1"),
        Stated(arm_id="a", status=ACTIVE),
        Stated(arm_id="b"),
        Stated(arm_id="b", status=PAUSED),
        Stated(arm_id="c", status=RETIRED),
    ],
    ids=repr,
)
def test_what_is_there_as_stated_stays_as_it_is(stated: Stated) -> None:
    assert restated((A, B, C), [stated], SPEC) == (A, B, C)


def test_label_is_only_for_people_and_changes_without_a_version() -> None:
    stated = Stated(arm_id="a", label="another")
    assert restated((A, B, C), [stated], SPEC) == (replace(A, label="another"), B, C)


def test_what_is_retired_opens_no_version_for_its_payload() -> None:
    stated = Stated(arm_id="a", payload_hash="2", status=RETIRED)
    assert restated((A, B, C), [stated], SPEC) == (replace(A, status=RETIRED), B, C)


def test_another_payload_opens_the_next_version_and_retires_the_last() -> None:
    stated = Stated(arm_id="a", payload_hash="2", prior_serves_micro=7)
    old, *_, new = restated((A, B, C), [stated], SPEC)
    assert old == replace(A, status=RETIRED)
    assert new == Arm(
        arm_no=4, arm_id="a", label="A", version=2, payload_hash="2", prior_serves_micro=7
    )
    back = restated((old, B, C, new), [Stated(arm_id="a", payload_hash="1")], SPEC)[-1]
    assert (back.arm_no, back.version, back.prior_serves_micro) == (5, 3, 0)


def test_paused_arm_with_another_payload_stays_paused() -> None:
    paused = replace(A, status=PAUSED)
    asked = Stated(arm_id="a", payload_hash="2")
    assert restated((paused,), [asked], SPEC)[-1].status is PAUSED
    assert restated((paused,), [replace(asked, status=ACTIVE)], SPEC)[-1].status is ACTIVE


def test_payload_that_was_never_stated_may_be_any() -> None:
    """Arms that an open catalogue found keep what they learned once somebody lists them."""
    (arm,) = restated((Arm(arm_no=1, arm_id="a"),), [Stated(arm_id="a", payload_hash="1")], SPEC)
    assert arm == Arm(arm_no=1, arm_id="a", payload_hash="1")


def test_retired_arm_that_is_added_again_learns_anew() -> None:
    *_, new = restated((A, B, C), [Stated(arm_id="c", payload_hash="1")], SPEC)
    assert (new.arm_no, new.version, new.status) == (4, 2, ACTIVE)


def test_statuses_are_stated_of_many_at_once() -> None:
    stated = [Stated(arm_id="a", status=PAUSED), Stated(arm_id="b", status=ACTIVE)]
    assert [arm.status for arm in restated((A, B, C), stated, SPEC)] == [PAUSED, ACTIVE, RETIRED]


def test_every_fault_is_named_by_its_place() -> None:
    stated = [
        Stated(arm_id="a", prior_serves_micro=3),
        Stated(arm_id="b", payload_hash="2"),
        Stated(arm_id="none", status=RETIRED),
    ]
    with pytest.raises(InvalidInput) as refused:
        restated((A, B, C), stated, SPEC)
    fields = [problem.field for problem in refused.value.problems]
    assert fields == ["arms[0].prior_serves", "arms[2].status"]
    assert "another payload_hash opens a new version" in str(refused.value)


def test_limits_count_what_is_not_retired() -> None:
    assert len(restated((A, B, C), [Stated(arm_id="d")], OPEN)) == 4
    with pytest.raises(InvalidInput, match="arms: would be 4, more than max_arms, 3"):
        restated((A, B, C), [Stated(arm_id="d"), Stated(arm_id="e")], OPEN)
    many = [Stated(arm_id=f"{n}") for n in range(MAX_ARMS)]
    assert len(restated((), many, SPEC)) == MAX_ARMS
    with pytest.raises(InvalidInput, match="arms: would be 10001, more than the limit"):
        restated((A,), many, SPEC)
    old = tuple(Arm(arm_no=n, arm_id="c", status=RETIRED) for n in range(1, 100_001))
    with pytest.raises(InvalidInput, match="100001 with all their versions"):
        restated(old, [Stated(arm_id="d")], SPEC)


@pytest.mark.parametrize(
    ("arm_id", "status", "became"),
    [
        ("a", PAUSED, [PAUSED, PAUSED, RETIRED]),
        ("a", ACTIVE, [ACTIVE, PAUSED, RETIRED]),
        ("a", RETIRED, [RETIRED, PAUSED, RETIRED]),
        ("b", ACTIVE, [ACTIVE, ACTIVE, RETIRED]),
        ("b", PAUSED, [ACTIVE, PAUSED, RETIRED]),
        ("c", RETIRED, [ACTIVE, PAUSED, RETIRED]),
    ],
)
def test_an_arm_is_moved(arm_id: str, status: ArmStatus, became: list[ArmStatus]) -> None:
    assert [arm.status for arm in moved((A, B, C), arm_id, status)] == became


def test_only_the_newest_version_is_moved_and_what_is_retired_stays() -> None:
    arms = restated((A,), [Stated(arm_id="a", payload_hash="2")], SPEC)
    assert [arm.status for arm in moved(arms, "a", PAUSED)] == [RETIRED, PAUSED]
    with pytest.raises(Conflict, match="'c' is retired for good; add it again, as version 2"):
        moved((A, B, C), "c", ACTIVE)
    with pytest.raises(NotFound, match="no arm 'none'"):
        moved((A, B, C), "none", PAUSED)


def test_first_seen_candidates_fill_the_room_that_is_left() -> None:
    def seen(*arm_ids: str, live: int, last: int = 7) -> list[tuple[int, str]]:
        found = first_seen(arm_ids, OPEN, known={"a", "c"}, live=live, last=last)
        return [(arm.arm_no, arm.arm_id) for arm in found]

    assert seen("x", "a", "y", "x", "c", "z", live=1) == [(8, "x"), (9, "y")]
    assert seen("x", live=3) == seen("x", live=4) == []
    assert seen("x", live=0, last=100_000) == []
    assert first_seen(["x"], SPEC, known=(), live=0, last=0) == []


def test_statuses_are_those_of_the_version_asked_for() -> None:
    brought = {1: 1, 2: 3}
    moves = [(2, 1, PAUSED), (3, 2, PAUSED), (4, 1, ACTIVE), (5, 1, RETIRED)]
    found = [statuses_at(brought, moves, config_no) for config_no in range(1, 6)]
    assert found == [
        {1: ACTIVE},
        {1: PAUSED},
        {1: PAUSED, 2: PAUSED},
        {1: ACTIVE, 2: PAUSED},
        {1: RETIRED, 2: PAUSED},
    ]


def test_pseudo_counts_are_added_to_what_was_learned_by_every_policy() -> None:
    warm = (A, replace(B, prior_serves_micro=10, prior_rewards_micro=4), C)
    learnt = [(2, 1, 100, 50), (2, 2, 200, 60), (3, 2, 300, 70)]
    assert warmed(learnt, (A, B, C)) == learnt
    assert sorted(warmed(learnt, warm)) == [
        (1, 2, 10, 4),
        (2, 1, 100, 50),
        (2, 2, 210, 64),
        (3, 2, 310, 74),
        (4, 2, 10, 4),
    ]
    assert warmed(learnt, warm, since=2) == [(2, 1, 100, 50), (2, 2, 210, 64), (3, 2, 310, 74)]
