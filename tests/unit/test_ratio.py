"""The clustered ratio against statsmodels and gbstats, kept up to date an event at a time."""

from fractions import Fraction
from itertools import accumulate
from operator import add
from random import Random

import numpy as np
import pytest

from pullarm.statistics.ratio import LogLift, Sums, log_lift
from tests.vectors import vector

VECTOR = vector("ratio_delta")
EXPECTED = VECTOR["expected"]
CONTROL = Sums.of(*np.transpose(VECTOR["input"]["control_users_m_c"]))
TREATMENT = Sums.of(*np.transpose(VECTOR["input"]["treatment_users_m_c"]))


def exactly(value: float) -> object:
    return pytest.approx(value, rel=VECTOR["tolerance"])


def test_sums_are_the_reference_s() -> None:
    for sums, name in ((CONTROL, "control"), (TREATMENT, "treatment")):
        given = VECTOR["sufficient_statistics"][name]
        assert [sums.n, sums.m, sums.c, sums.mm, sums.cc, sums.mc] == given


def test_ratio_and_variance() -> None:
    for sums, name in ((CONTROL, "control"), (TREATMENT, "treatment")):
        assert sums.ratio == exactly(EXPECTED[f"R_{name}"])
        assert sums.variance == exactly(EXPECTED[f"V_{name}"])


def test_log_lift_and_its_interval() -> None:
    effect = log_lift(TREATMENT, CONTROL)
    assert effect is not None
    assert effect.value == exactly(EXPECTED["log_lift"])
    assert effect.error == exactly(EXPECTED["se_log_lift"])
    assert effect.lift == exactly(EXPECTED["lift"])
    assert effect.interval(1.959963984540054) == pytest.approx(EXPECTED["ci95_lift_via_log"])
    assert effect.z == exactly(effect.value / effect.error)
    assert effect.information == exactly(1.0 / effect.error**2)


def test_the_other_way_round_the_log_lift_has_the_other_sign() -> None:
    there, back = log_lift(TREATMENT, CONTROL), log_lift(CONTROL, TREATMENT)
    assert there is not None
    assert back == LogLift(-there.value, there.error)


def test_the_unit_of_reward_does_not_matter_to_the_lift() -> None:
    def paid(name: str) -> Sums:
        m, c = np.transpose(VECTOR["input"][f"{name}_users_m_c"])
        return Sums.of(m, c * 250_000)

    effect = log_lift(paid("treatment"), paid("control"))
    assert effect is not None
    assert effect.error == exactly(EXPECTED["se_log_lift"])
    assert effect.value == exactly(EXPECTED["log_lift"])


def test_events_one_by_one_give_the_sums_of_the_whole_in_any_order() -> None:
    """Impressions, rewards, a void and a retraction, in millionths: whole numbers, so equality is exact."""
    rng = Random(4)
    events = [(user, 1, 0) for user in range(5) for _ in range(user + 1)]
    events += [(user, 0, reward) for user in range(5) for reward in (1_000_000, 333_333)]
    events += [(4, -1, 0), (4, 0, -333_333), (0, 1, 0)]
    totals = set()
    for _ in range(20):
        # A void follows its impression.
        rng.shuffle(events)
        events.sort(key=lambda event: event[1] < 0)
        users = dict.fromkeys(range(5), (0, 0))
        changes = [Sums()]
        for user, impressions, reward in events:
            m, c = users[user]
            changes.append(Sums.change(m, c, impressions=impressions, reward=reward))
            users[user] = m + impressions, c + reward
        totals.add(list(accumulate(changes, add))[-1])
    assert users == {
        0: (2, 1_333_333),
        1: (2, 1_333_333),
        2: (3, 1_333_333),
        3: (4, 1_333_333),
        4: (4, 1_000_000),
    }
    assert totals == {Sums.of(*np.transpose([users[user] for user in range(5)]))}


def test_a_user_whose_only_impression_is_void_is_none() -> None:
    total = Sums.change(0, 0, impressions=1) + Sums.change(1, 0, impressions=-1)
    assert total == Sums()
    with pytest.raises(ValueError, match="impressions must leave 0 or more, not 0 \\+ -1"):
        Sums.change(0, 0, impressions=-1)


def test_shards_add_up() -> None:
    users = np.array(VECTOR["input"]["control_users_m_c"])
    assert Sums.of(*users[:7].T) + Sums.of(*users[7:].T) == CONTROL
    assert Sums.of([0, 3], [0, 1]) == Sums.of([3], [1])


def test_whole_numbers_do_not_cancel() -> None:
    """Ten million users with ratios that differ in the twelfth digit: the variance is still to full precision."""
    c, more, users = 10**12, 10**12 + 3, 5 * 10**6
    sums = Sums(
        n=2 * users,
        m=2 * users,
        mm=2 * users,
        c=users * (c + more),
        cc=users * (c**2 + more**2),
        mc=users * (c + more),
    )
    assert sums.variance == pytest.approx(float(Fraction(9, 4) / (2 * users - 1)), rel=1e-12)


@pytest.mark.parametrize(
    "sums",
    [Sums(), Sums.of([3], [1]), Sums.of([3, 4], [0, 0])],
    ids=["no users", "one user", "nothing earned"],
)
def test_without_enough_data_nothing_is_told(sums: Sums) -> None:
    assert log_lift(sums, CONTROL) is None
    assert log_lift(CONTROL, sums) is None


def test_what_does_not_vary_has_no_log_lift() -> None:
    constant = Sums.of([1, 1, 2], [1, 1, 2])
    assert constant.variance == 0.0
    assert log_lift(constant, constant) is None
    assert Sums().ratio is None
    assert Sums.of([3], [1]).variance is None
