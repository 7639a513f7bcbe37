"""Drives the platform as an upstream recommender would: visits come, candidates are selected, clicks are reported."""

import asyncio
import heapq
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from typing import TypeVar

import numpy as np

from cli.tally import Tally
from pullarm.client import Client
from pullarm.clock import FileClock
from pullarm.domain.errors import PullarmError, Unavailable
from pullarm.tls import Trust
from replay.traffic import Traffic, Visit

CONNECTIONS = 4
"""Connections are spread over the serving processes; one channel would meet only one of them."""
IN_FLIGHT = 8
_TRIES = 5
_MEAN_DELAY_MS = 20 * 60 * 1000.0
_LONGEST_DELAY_MS = 12 * 3600 * 1000
_LONGEST_CALL_MS = 6 * 3600 * 1000
"""How far simulated time may go on during a call. Together with a reward's delay that is less than the window of 24 h:
a busy machine makes no reward late."""

Answer = TypeVar("Answer")
_Step = tuple[int, Visit | tuple[str, str]]
"""When it happens, and the visit or the decision and policy that are rewarded."""


@dataclass(frozen=True, slots=True, kw_only=True)
class History:
    """A stretch of past time that the traffic is spread over, on a clock that the driver moves."""

    clock: FileClock
    start_ms: int
    end_ms: int
    decisions: int
    seed: int


class Driver:
    """Sends one experiment's traffic and keeps the tally."""

    def __init__(
        self,
        address: str,
        experiment: str,
        traffic: Traffic,
        tally: Tally,
        *,
        token: str = "",
        trust: Trust | None = None,
    ) -> None:
        self._address = address
        self._token = token
        self._trust = trust
        self._experiment = experiment
        self._visits = traffic.visits()
        self._tally = tally

    async def live(self, decisions: int | None, per_second: float | None) -> None:
        """Visits as fast as answers come, or at a pace; the reward follows its answer at once."""
        async with self._clients() as clients:
            pace = _Pace(decisions, per_second)

            async def lane(client: Client) -> None:
                while await pace.tick():
                    await self._visit(client, next(self._visits))

            await asyncio.gather(*(lane(clients[n % CONNECTIONS]) for n in range(IN_FLIGHT)))

    async def history(self, history: History) -> None:
        """The same traffic spread over past days; a reward follows minutes to hours later."""
        async with self._clients() as clients:
            steps = _Steps(self._visits, history)

            async def lane(client: Client) -> None:
                while (step := await steps.next()) is not None:
                    at_ms, what = step
                    if isinstance(what, Visit):
                        await self._visit(client, what, steps)
                    else:
                        await self._reward(client, *what)
                    steps.done(at_ms)

            await asyncio.gather(*(lane(clients[n % CONNECTIONS]) for n in range(IN_FLIGHT)))
            history.clock.set(history.end_ms)

    async def _visit(self, client: Client, visit: Visit, later: "_Steps | None" = None) -> None:
        started = time.perf_counter()
        selection = await self._tried(
            lambda: client.select(self._experiment, visit.user_id, visit.candidates)
        )
        if selection is None:
            return
        took_ms = (time.perf_counter() - started) * 1000
        self._tally.offered = self._tally.offered.add(visit)
        self._tally.decided(selection.decision_id, selection.policy, took_ms)
        if visit.outcome(selection.arm_id):
            reward = selection.decision_id, selection.policy
            if later is None:
                await self._reward(client, *reward)
            else:
                later.reward(reward)

    async def _reward(self, client: Client, decision_id: str, policy: str) -> None:
        if await self._tried(lambda: client.reward(decision_id, 1.0)) is not None:
            self._tally.rewarded(decision_id, policy)

    async def _tried(self, call: Callable[[], Awaitable[Answer]]) -> Answer | None:
        """The answer, tried again while the platform is away; None once that was too often."""
        for attempt in range(_TRIES):
            try:
                return await call()
            except Unavailable as error:
                self._tally.retries += 1
                self._tally.problem = str(error)
                await asyncio.sleep(0.1 * 2**attempt)
            except PullarmError as error:
                self._tally.problem = str(error)
                break
        self._tally.failures += 1
        return None

    @asynccontextmanager
    async def _clients(self) -> AsyncIterator[list[Client]]:
        """CONNECTIONS clients, opened and closed together."""
        async with AsyncExitStack() as stack:
            yield [
                await stack.enter_async_context(
                    Client(self._address, token=self._token, trust=self._trust, timeout_s=5.0)
                )
                for _ in range(CONNECTIONS)
            ]


class _Steps:
    """Visits and the rewards that fall due between them, in order of simulated time; moves the clock."""

    def __init__(self, visits: Iterator[Visit], history: History) -> None:
        self._visits = visits
        self._history = history
        self._sent = 0
        self._due: list[tuple[int, tuple[str, str]]] = []
        self._now_ms = history.start_ms
        self._delays = np.random.default_rng([history.seed, 1])
        self._in_flight: list[int] = []
        self._ended = asyncio.Event()

    def reward(self, reward: tuple[str, str]) -> None:
        """A click that is reported after an exponential delay of 20 minutes on average."""
        delay_ms = min(int(self._delays.exponential(_MEAN_DELAY_MS)), _LONGEST_DELAY_MS)
        heapq.heappush(self._due, (self._now_ms + delay_ms, reward))

    async def next(self) -> _Step | None:
        """The next thing to do; None when nothing is left. Waits where the oldest call in flight would fall behind."""
        while (at_ms := self._next_ms()) is not None:
            if not self._in_flight or at_ms <= min(self._in_flight) + _LONGEST_CALL_MS:
                return self._take(at_ms)
            self._ended.clear()
            await self._ended.wait()
        return None

    def done(self, at_ms: int) -> None:
        """The step of that time has its answer."""
        self._in_flight.remove(at_ms)
        self._ended.set()

    def _next_ms(self) -> int | None:
        times = [self._visit_ms()] if self._sent < self._history.decisions else []
        if self._due:
            times.append(self._due[0][0])
        return min(times, default=None)

    def _visit_ms(self) -> int:
        history = self._history
        return (
            history.start_ms + (history.end_ms - history.start_ms) * self._sent // history.decisions
        )

    def _take(self, at_ms: int) -> _Step:
        self._now_ms = max(self._now_ms, min(at_ms, self._history.end_ms))
        self._history.clock.set(self._now_ms)
        self._in_flight.append(self._now_ms)
        if self._due and self._due[0][0] == at_ms:
            return self._now_ms, heapq.heappop(self._due)[1]
        self._sent += 1
        return self._now_ms, next(self._visits)


class _Pace:
    """How many visits, and how fast; shared by all lanes."""

    def __init__(self, decisions: int | None, per_second: float | None) -> None:
        self._left = decisions
        self._per_second = per_second
        self._started = time.monotonic()
        self._given = 0

    async def tick(self) -> bool:
        """Wait for the next visit's turn; False when there is none left."""
        if self._left is not None and self._given >= self._left:
            return False
        self._given += 1
        if self._per_second is not None:
            due = self._started + self._given / self._per_second
            await asyncio.sleep(max(0.0, due - time.monotonic()))
        return True
