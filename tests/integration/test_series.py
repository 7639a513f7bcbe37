"""Figures over time, by arm and by cohort, as the roll-ups have them."""

from collections.abc import AsyncIterator
from dataclasses import replace
from datetime import timedelta

import pytest

from pullarm.domain.errors import InvalidInput
from pullarm.domain.experiment import Aggregation
from pullarm.domain.rollup import Counts, Grain, Span
from pullarm.storage.postgres import (
    PostgresSeries,
)
from tests.integration.ledger_scene import ledger_scene
from tests.integration.small_scene import Small


@pytest.fixture
async def small(database_url: str) -> AsyncIterator[Small]:
    async with ledger_scene(database_url) as scene:
        yield Small(scene, await scene.experiment(Aggregation.FIRST))


async def test_series_arms_and_cohorts(small: Small) -> None:
    tokens = [
        small.token(unit, hour=unit // 2)._replace(cohort=unit % 2, arms=[unit + 1, 9, 8, 7])
        for unit in range(4)
    ]
    await small.serve(*tokens)
    await small.scene.fold(
        [small.make.reward(tokens[0], credit=0.5), small.make.reward(tokens[3], slot=3)]
    )
    await small.summary()
    series = PostgresSeries(small.scene.database)
    start = (await small.scene.found(small.number)).created_at
    hour = timedelta(hours=1)
    one = Counts(serves=1, rewarded=0, credit_micro=0)
    half = Counts(serves=2, rewarded=1, credit_micro=500_000)
    two = replace(one, serves=2)
    everything = Span(since=start, until=start + 24 * hour)
    points = await series.timeseries(small.number, everything, Grain.HOUR)
    assert [(p.begins_at, p.policy, p.counts) for p in points] == [
        (start, 2, half),
        (start + hour, 2, two),
    ]
    assert [p.counts.rate for p in points] == [0.25, 0.0]
    minutes = await series.timeseries(small.number, everything, Grain.MINUTE)
    assert [p.begins_at for p in minutes] == [start, start + hour]
    (day,) = await series.timeseries(small.number, everything, Grain.DAY)
    assert day.counts == replace(half, serves=4)
    later = Span(since=start + hour, until=start + 2 * hour)
    assert len(await series.timeseries(small.number, later, Grain.HOUR)) == 1
    assert await series.timeseries(small.number, later, Grain.DAY) == []

    found = await series.arms(small.number, later)
    arms = {(arm_no, first_slot): counts for _, arm_no, first_slot, counts in found.rows()}
    assert arms == {
        (3, 1): one,
        (4, 1): one,
        (9, 2): two,
        (8, 2): replace(two, rewarded=1, credit_micro=1_000_000),
        (7, 4): two,
    }
    every_arm = await series.arms(small.number, everything)
    assert every_arm.serves[every_arm.first_slots == 2].tolist() == [4, 4]
    assert list((await series.arms(small.number, Span(since=start, until=start))).rows()) == []
    nines = await series.arms_timeseries(small.number, everything, Grain.HOUR, [1, 2])
    assert [(p.begins_at, p.policy, p.counts) for p in nines] == [(start, 2, half)]
    with pytest.raises(InvalidInput):
        await series.arms_timeseries(small.number, everything, Grain.MINUTE, [1])
    odd = await series.cohorts_timeseries(small.number, everything, Grain.DAY, [1])
    assert [(p.begins_at, p.policy, p.counts) for p in odd] == [(start, 2, two)]
    cohorts = await series.cohorts(small.number, everything)
    assert [(c.cohort, c.counts) for c in cohorts] == [(0, half), (1, two)]
    whole = replace(half, serves=4)
    minute = timedelta(minutes=1)
    for since, until, counts in [
        (
            start - 30 * hour,
            start + 50 * hour,
            whole,
        ),  # whole days inside, hours and minutes at the ends
        (start - minute, start + minute, half),
        (start + minute, start + 30 * hour, two),
        (start + 2 * hour, start + 2 * hour, None),
    ]:
        sums = await series.policies(small.number, Span(since=since, until=until))
        assert sums == ({} if counts is None else {2: counts})
