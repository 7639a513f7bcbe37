"""What users did while an experiment was a draft makes its verdicts sharper."""

from collections.abc import AsyncIterator

import numpy as np
import pytest

from pullarm.domain.assignment import MICRO
from pullarm.statistics.cuped import Past
from pullarm.statistics.ratio import log_lift
from tests.judging import Judging, judging


@pytest.fixture
async def scene(database_url: str) -> AsyncIterator[Judging]:
    async with judging(database_url) as made:
        yield made


def paid(rate: float, users: int = 200) -> "np.ndarray[tuple[int], np.dtype[np.int64]]":
    """Rewards of each user's three serves, as the scene gives them."""
    return np.array([sum((u * 7 + s) % 20 < 20 * rate for s in range(3)) for u in range(users)])


async def test_past_is_that_of_the_fortnight_before_the_start(scene: Judging) -> None:
    await scene.ask_before()
    await scene.ask_before(days=15.0)
    await scene.ask_before(users=100, days=1.0, late=True)
    await scene.visit(0, thompson=0.25)
    now = scene.at_day(1)
    found = await scene.verdicts.material(await scene.now(), 1, now)
    m, c = np.where(np.arange(200) < 100, 6, 3), paid(0.3)
    for policy, rate in (("control", 0.2), ("thompson", 0.25)):
        got = paid(rate)
        assert found.past[policy] == Past(
            n=200,
            m=int(m.sum()),
            c=int(c.sum()) * MICRO,
            mm=int(m @ m),
            cc=int(c @ c) * MICRO**2,
            mc=int(m @ c) * MICRO,
            m_m=3 * int(m.sum()),
            m_c=3 * int(c.sum()) * MICRO,
            c_m=int(got @ m) * MICRO,
            c_c=int(got @ c) * MICRO**2,
        )


async def test_verdict_takes_off_what_was_known_and_is_made_again_to_the_byte(
    scene: Judging,
) -> None:
    await scene.visit(0, thompson=0.25)
    scene.at_day(1)
    await scene.say_complete()
    plain = (await scene.judge.judge("judged")).verdict
    assert plain.known_users == 0
    assert plain.policies["thompson"].lift == plain.policies["thompson"].observed_lift
    await scene.ask_before()
    await scene.visit(1, thompson=0.25)
    now = scene.at_day(2)
    await scene.say_complete()
    stored = await scene.judge.judge("judged")
    told = stored.verdict.policies["thompson"]
    assert stored.verdict.known_users == 400
    assert told.observed_lift == pytest.approx(0.25), "known users are alike in both policies"
    sums = (await scene.verdicts.material(await scene.now(), 2, now)).data.sums
    observed = log_lift(sums["thompson"], sums["control"])
    assert told.error is not None
    assert observed is not None
    assert told.error < 0.9 * observed.error
    await scene.ask_before(days=0.5)
    found = await scene.verdicts.redone(1, now)
    assert found is not None
    assert found[2], "what came later was not known"
    # Once retention has removed those days, what was frozen of them is taken.
    await scene.execute("DELETE FROM decision WHERE reason = 3")
    found = await scene.verdicts.redone(1, now)
    assert found is not None
    assert not found[2]
    await scene.execute(
        "INSERT INTO sealed_day (day, sealed_at, removed_at) SELECT (started_at - interval '2 days')::date, "
        "started_at, started_at FROM experiment"
    )
    found = await scene.verdicts.redone(1, now)
    assert found is not None
    assert found[2]
