"""Ours and the echo in turn, in one run: what else the machine does hits both alike."""

import asyncio
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass, replace
from math import ceil

from benchmarks import machine, site, traffic, wire
from benchmarks.echo import COMMAND, EchoServers
from benchmarks.figures import Comparison, Figures, Slice
from benchmarks.fleet import Fleet
from benchmarks.generator import Load
from benchmarks.site import Site
from benchmarks.traffic import Traffic
from pullarm.domain.errors import PullarmError
from pullarm.tls import Trust
from pullarm.v1 import selection_pb2 as pb

Report = Callable[[str], None]
"""Told in one line what is going on."""

CONNECTIONS = 8
"""For each serving process, and for each generator at least one."""
_IN_FLIGHT = {
    "select": (16, 64, 256),
    "mix": (16, 64, 256),
    "reward": (16, 64, 256),
    "batch": (2, 4, 8),
}
"""Calls in flight that are tried to find the highest throughput."""
_PROBE_S = 1.0
_WORTH = 1.03
"""More calls in flight are worth it when they raise throughput by 3 %."""
_PRIMING_S = 2.0
"""Before anything is measured the posteriors get something to tell arms apart by."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """How much of what is sent."""

    traffic: Traffic
    rate: float = 0.0
    """Calls of the mode's own kind a second; 0: as many as there can be."""
    reward_rate: float = 0.0
    duration_s: float = 10.0
    """Measured on each side, in slices."""
    warm_up_s: float = 0.5
    """Before each slice."""
    seed: int = 1

    @property
    def slices(self) -> int:
        """On each side; an even number, so that each side comes first as often as the other."""
        each_s = min(10.0, max(1.0, self.duration_s / 4))
        return max(2, 2 * ceil(self.duration_s / each_s / 2))


@dataclass(frozen=True, slots=True, kw_only=True)
class Side:
    """A server under load."""

    name: str
    address: str
    pids: Callable[[], Mapping[str, Sequence[int]]]
    """Processes whose CPU counts; `serving` are the servers themselves."""
    trust: Trust | None = None
    """Where it has TLS."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Result:
    """What a plan came to."""

    comparison: Comparison
    plan: Plan
    in_flight: int
    """Of the closed loop; 0 for an open one."""

    def as_json(self) -> dict[str, object]:
        """The comparison and how it was made."""
        mode = self.plan.traffic
        return {
            **self.comparison.as_json(),
            "settings": {
                "mode": mode.mode,
                "rate": self.plan.rate,
                "reward_rate": self.plan.reward_rate,
                "saturate": not self.plan.rate and not self.plan.reward_rate,
                "in_flight": self.in_flight,
                "duration_s": self.plan.duration_s,
                "slices": self.plan.slices,
                "arms": mode.arms,
                "candidates": mode.candidates,
                "slots": mode.slots,
                "batch": mode.batch if mode.mode == "batch" else None,
                "seed": self.plan.seed,
            },
        }


class Comparer:
    """Sends loads from one fleet."""

    def __init__(self, fleet: Fleet, report: Report) -> None:
        self._fleet = fleet
        self._report = report

    async def compare(self, platform: Site, serving: int, plan: Plan) -> Result:
        """Measure an experiment of the platform and as many echo servers, slice by slice in turn."""
        experiment = plan.traffic.experiments[0]
        ours = Side(name="ours", address=platform.address, pids=lambda: grouped(platform.pids))
        await self._prime(ours, plan)
        answers = await asyncio.to_thread(_answers, platform.address, plan)
        command = platform.like_serving(*COMMAND)
        async with EchoServers(serving, platform.address, answers, command) as servers:
            echo = Side(
                name="echo", address=servers.address, pids=lambda: {"serving": servers.pids}
            )
            await site.settled(platform, experiment)
            in_flight = await self._in_flight([ours, echo], plan, platform)
            slices: dict[str, list[Slice]] = {"ours": [], "echo": []}
            for number in range(plan.slices):
                for side in (ours, echo) if number % 2 == 0 else (echo, ours):
                    self._report(f"{_said(plan)}: {side.name}, slice {number + 1} of {plan.slices}")
                    seeded = replace(plan, seed=plan.seed + number)
                    slices[side.name].append(await self.slice(side, seeded, in_flight, serving))
                    if side is ours:
                        self._report(f"{_said(plan)}: waiting until all is folded")
                        await site.settled(platform, experiment)
        decisions = plan.traffic.decisions
        return Result(
            comparison=Comparison(
                ours=Figures(slices=slices["ours"], decisions_a_call=decisions),
                echo=Figures(slices=slices["echo"], decisions_a_call=decisions),
            ),
            plan=plan,
            in_flight=in_flight,
        )

    async def alone(self, address: str, plan: Plan, trust: Trust | None = None) -> Result:
        """Measure a server that is not ours to start, stop or look into."""
        side = Side(name="target", address=address, pids=dict, trust=trust)
        in_flight = await self._in_flight([side], plan, None)
        self._report(_said(plan))
        measured = await self.slice(side, plan, in_flight, 1, slices=1)
        figures = Figures(slices=[measured], decisions_a_call=plan.traffic.decisions)
        return Result(
            comparison=Comparison(ours=figures, echo=None), plan=plan, in_flight=in_flight
        )

    async def slice(
        self, side: Side, plan: Plan, in_flight: int, serving: int, *, slices: int | None = None
    ) -> Slice:
        """One stretch of load; CPU is looked at when its warm-up and its duration end."""
        host, _, port = side.address.rpartition(":")
        load = Load(
            host=host.strip("[]"),
            port=int(port),
            traffic=plan.traffic,
            rate=plan.rate,
            reward_rate=plan.reward_rate,
            in_flight=in_flight,
            connections=CONNECTIONS * serving,
            warm_up_s=plan.warm_up_s,
            duration_s=plan.duration_s / (slices or plan.slices),
            seed=plan.seed,
            trust=side.trust,
        )
        begin = await asyncio.to_thread(self._fleet.prepare, load)
        await asyncio.sleep(begin + load.warm_up_s - time.perf_counter())
        before = _cpu(side)
        await asyncio.sleep(begin + load.warm_up_s + load.duration_s - time.perf_counter())
        after = _cpu(side)
        outcomes = await asyncio.to_thread(self._fleet.collect, load)
        used = {name: after[name] - before[name] for name in before}
        return Slice(outcomes=outcomes, duration_s=load.duration_s, cpu_s=used)

    async def _prime(self, side: Side, plan: Plan) -> None:
        self._report(f"{_said(plan)}: first rewards")
        mixed = replace(
            plan,
            traffic=replace(plan.traffic, mode="mix", slots=1),
            rate=400.0,
            reward_rate=100.0,
            duration_s=_PRIMING_S,
        )
        primed = Figures(slices=[await self.slice(side, mixed, 0, 1, slices=1)])
        if primed.errors:
            raise PullarmError(f"calls fail before anything is measured: {dict(primed.errors)}")

    async def _in_flight(self, sides: Sequence[Side], plan: Plan, platform: Site | None) -> int:
        """How many calls in flight bring the highest throughput; both sides get the larger number of the two."""
        if plan.rate or plan.reward_rate:
            return 0
        wanted = 0
        for side in sides:
            best, most = 0, 0.0
            for tried in _IN_FLIGHT[plan.traffic.mode]:
                self._report(f"{_said(plan)}: {side.name} with {tried} calls in flight")
                probe = replace(plan, duration_s=_PROBE_S)
                measured = await self.slice(side, probe, tried, 1, slices=1)
                rate = Figures(slices=[measured]).rate
                if rate > most * _WORTH:
                    best, most = tried, rate
            wanted = max(wanted, best)
            if platform is not None:
                await site.settled(platform, plan.traffic.experiments[0])
        return wanted


def grouped(pids: Mapping[str, int]) -> dict[str, list[int]]:
    """Process ids by what the processes are: `serving-0` and `serving-1` are both `serving`."""
    groups: dict[str, list[int]] = {}
    for name, pid in pids.items():
        groups.setdefault("serving" if name.startswith("serving-") else name, []).append(pid)
    return groups


def _cpu(side: Side) -> dict[str, float]:
    return {
        name: machine.cpu_s(pids, children=name != "serving") for name, pids in side.pids().items()
    }


def _said(plan: Plan) -> str:
    shape = plan.traffic
    pace = f"{plan.rate:,.0f}/s" if plan.rate else "saturated"
    pace = f"{plan.reward_rate:,.0f} rewards/s" if plan.reward_rate and not plan.rate else pace
    return f"{shape.mode}, {shape.candidates} candidates, {pace}"


def _answers(address: str, plan: Plan) -> dict[str, bytes]:
    """What our server answers to each kind of call: the echo's answers are as long."""
    asked = replace(plan.traffic, mode="select")
    select = traffic.selections(asked, plan.seed)[0]
    batch = traffic.selections(replace(asked, mode="batch"), plan.seed)[0]
    with closing(wire.connect(address)) as server:
        answer = wire.ask(server, traffic.SELECT, select)
        chosen = pb.SelectResponse.FromString(answer)
        reward = traffic.reward(chosen.decision_id, chosen.choices[0].arm_id, 0.0)
        return {
            traffic.SELECT: answer,
            traffic.BATCH: wire.ask(server, traffic.BATCH, batch),
            traffic.REWARD: wire.ask(server, traffic.REWARD, reward),
        }
