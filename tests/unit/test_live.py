"""Streams of an experiment: what they tell, when they are silent, and when they end."""

import asyncio
import json
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from datetime import UTC, datetime
from itertools import count
from typing import Any

import pytest

from control.guardrails import Guarding
from control.live import Live, Pace
from control.overview import Overview
from pullarm.domain.errors import Exhausted, NotFound, Unavailable
from pullarm.domain.experiment import Experiment
from pullarm.domain.guardrail import Check, Guardrails, Rollback, StoredCheck, Verdict
from pullarm.domain.summary import Summary
from pullarm.lifecycle import Lifecycle
from pullarm.storage.memory import (
    MemoryBoard,
    MemoryExperiments,
    MemoryLedger,
    MemorySummary,
    MemoryTrail,
)
from tests.ledger_events import START_MS, Events, batch, draft

KINDS = ["allocation", "guardrails", "rates", "summary"]
PACE = Pace(look_every_s=0.005, heartbeat_s=0.05, streams=3)


@dataclass
class Scene:
    """An experiment in memory that is watched, and how often it was looked at."""

    experiments: MemoryExperiments = field(default_factory=MemoryExperiments)
    closing: asyncio.Event = field(default_factory=asyncio.Event)
    make: Events = field(default_factory=Events)
    looks: int = 0
    away: bool = False
    broken: bool = False
    checks: dict[str, StoredCheck] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.ledger = MemoryLedger(self.experiments)
        self._summaries = MemorySummary(self.ledger)

    async def of(self, experiment: Experiment) -> Summary:
        """As the port of summaries, counting."""
        self.looks += 1
        if self.away:
            raise Unavailable("PostgreSQL is away: refused")
        if self.broken:
            raise RuntimeError("nobody thought of this")
        return await self._summaries.of(experiment)

    def live(self, pace: Pace = PACE) -> Live:
        """Looks whose every answer is a new one."""
        seconds = count(0, 10)
        lifecycle = Lifecycle(self.experiments, MemoryTrail(), MemoryBoard(), lambda: START_MS)
        overview = Overview(lifecycle, self, lambda: START_MS, lambda: float(next(seconds)))
        return Live(overview, Guarding(lifecycle, self), self.closing, pace)

    async def latest(self, number: int) -> list[StoredCheck]:
        """As the port of guardrails."""
        return [self.checks[name] for name in sorted(self.checks)]

    async def history(
        self, number: int, guardrail: str, *, before: datetime | None, count: int
    ) -> list[StoredCheck]:
        """Nothing but the newest."""
        return [self.checks[guardrail]]

    async def rollbacks(self, number: int) -> list[Rollback]:
        """None."""
        return []

    async def states(self) -> list[tuple[str, str, str]]:
        """Not asked for here."""
        return []

    def check(self, verdict: Verdict, value: float) -> None:
        """The error rate is checked once more."""
        configured = Guardrails().error_rate
        at = datetime(2026, 1, 1, tzinfo=UTC)
        check = Check(guardrail="error_rate", verdict=verdict, configured=configured, value=value)
        self.checks["error_rate"] = StoredCheck(
            due_at=at, checked_at=at, guard_epoch=1, check=check
        )

    async def serve(self) -> None:
        """One more decision."""
        decision = self.make.decision(self.make.token(1))
        await self.ledger.fold(batch(decision), START_MS)


@pytest.fixture
async def scene() -> Scene:
    scene = Scene()
    await scene.experiments.create(draft("front"), START_MS)
    return scene


async def some(stream: AsyncIterator[bytes], number: int) -> list[dict[str, str]]:
    """The next events of a stream, without its comments."""
    found: list[dict[str, str]] = []
    async with asyncio.timeout(60):
        async for piece in stream:
            lines = dict(line.split(": ", 1) for line in piece.decode().strip().splitlines())
            if "event" in lines:
                found.append(lines)
                if len(found) == number:
                    break
    return found


def rates(event: dict[str, str]) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(event["data"])
    return found


async def test_all_at_once_and_then_what_changes(scene: Scene) -> None:
    stream = await scene.live().events("front")
    assert [each["event"] for each in await some(stream, 4)] == KINDS
    await scene.serve()
    changed = await some(stream, 2)
    assert [each["event"] for each in changed] == ["rates", "summary"]
    assert rates(changed[0])["thompson"]["serves"] == 1


async def test_who_comes_back_is_told_only_what_is_new(scene: Scene) -> None:
    live = scene.live()
    last = (await some(await live.events("front"), 4))[-1]["id"]
    await scene.serve()
    again = await live.events("front", seen=last, most=2)
    assert [each["event"] for each in await some(again, 9)] == ["rates", "summary"]
    foreign = await live.events("front", seen="7,x:y:z,?", most=4)
    assert len(await some(foreign, 9)) == 4


async def test_a_guardrail_is_told_when_its_verdict_changes(scene: Scene) -> None:
    scene.check(Verdict.PASS, 0.001)
    stream = await scene.live().events("front")
    first = (await some(stream, 4))[1]
    assert rates(first)["guardrails"]["error_rate"]["verdict"] == "pass"
    scene.check(Verdict.PASS, 0.002)  # nothing that is told
    await scene.serve()
    assert [each["event"] for each in await some(stream, 2)] == ["rates", "summary"]
    scene.check(Verdict.FAIL, 0.1)
    (changed,) = await some(stream, 1)
    assert (changed["event"], rates(changed)["verdict"]) == ("guardrails", "fail")
    assert rates(changed)["guardrails"]["error_rate"]["value"] == 0.1


async def test_one_looks_for_all_who_watch_and_nobody_for_nobody(scene: Scene) -> None:
    live = scene.live(Pace(look_every_s=0.02, streams=3))
    streams = [await live.events("front") for _ in range(3)]
    for stream in streams:
        await some(stream, 4)
    before, began = scene.looks, asyncio.get_running_loop().time()
    while scene.looks < before + 5:
        await asyncio.sleep(0.005)
    # Three that looked would have made three times as many.
    assert (asyncio.get_running_loop().time() - began) / 0.02 >= 4
    with pytest.raises(Exhausted, match="3 streams"):
        await live.events("front")
    for stream in streams:
        await stream.aclose()
    looks = scene.looks
    await asyncio.sleep(0.1)
    assert scene.looks <= looks + 1
    assert len(await some(await live.events("front"), 4)) == 4


async def test_silence_is_broken_by_comments_also_while_the_ledger_is_away(scene: Scene) -> None:
    stream = await scene.live().events("front")
    await some(stream, 4)
    scene.away = True
    async with asyncio.timeout(60):
        assert await anext(stream) == b": nothing new\n\n"
    scene.away = False
    await scene.serve()
    assert [each["event"] for each in await some(stream, 2)] == ["rates", "summary"]


async def test_streams_end_when_the_control_plane_does_or_they_are_old(scene: Scene) -> None:
    stream = await scene.live(Pace(look_every_s=60, heartbeat_s=60)).events("front")
    await some(stream, 4)
    waiting = asyncio.create_task(some(stream, 1))
    await asyncio.sleep(0.01)
    scene.closing.set()
    assert await waiting == []
    scene.closing.clear()
    short = await scene.live(Pace(heartbeat_s=0.01, lifetime_s=1.0)).events("front")
    assert len(await some(short, 9)) == 4


async def test_an_experiment_that_is_not_there(scene: Scene) -> None:
    with pytest.raises(NotFound):
        await scene.live().events("nothing")


async def test_streams_end_where_looking_fails_as_nobody_foresaw_and_can_begin_anew(
    scene: Scene, caplog: pytest.LogCaptureFixture
) -> None:
    live = scene.live()
    streams = [await live.events("front") for _ in range(2)]
    for stream in streams:
        await some(stream, 4)
    scene.broken = True
    for stream in streams:
        assert await some(stream, 1) == []  # to its end
    assert [each.levelname for each in caplog.records] == ["ERROR"]
    with pytest.raises(RuntimeError):
        await live.events("front")
    scene.broken = False
    again = await live.events("front")
    await some(again, 4)
    await scene.serve()
    assert [each["event"] for each in await some(again, 2)] == ["rates", "summary"]


async def test_an_id_names_our_kinds_alone(scene: Scene) -> None:
    stream = await scene.live().events("front", seen="gossip:1,rates:2", most=1)
    (event,) = await some(stream, 1)
    assert {each.partition(":")[0] for each in event["id"].split(",")} == {"allocation", "rates"}
