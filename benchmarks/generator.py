"""One load generator: a process that sends calls on a schedule, or keeps a number of them in flight, and times them.

The schedule is made before the first call, and a call's latency counts from when it was due, not from when it could be
sent: a server that stalls is charged for everybody who had to wait (no coordinated omission: Tene, "How NOT to Measure
Latency"). A closed loop has no schedule; its latencies count from the sending.

It waits in select(2), which is exact to some 0.1 ms where epoll and asyncio round to 1 ms. What it is late by itself is
part of the latency and is reported as lag.
"""

import gc
import select
import time
from collections import Counter, deque
from contextlib import suppress
from dataclasses import dataclass
from functools import partial

import numpy as np

from benchmarks import traffic, wire
from benchmarks.histogram import Histogram
from benchmarks.traffic import Arrivals, Traffic
from pullarm.domain.errors import Unavailable
from pullarm.tls import Trust
from pullarm.v1 import selection_pb2 as pb

CALL_LIMIT_S = 10.0
"""A call without an answer after this long has failed; the server is told so too."""
_SENDS_BETWEEN_READS = 8
_REMEMBERED = 10_000
_PRIMED = 500
_CLICKS = 0.1
_SELECTS_A_REWARD = 6
"""In a closed loop's mix: one call of so many is a reward."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Load:
    """What one generator sends, where to and how."""

    host: str
    port: int
    traffic: Traffic
    rate: float = 0.0
    """Calls of the mode's own kind a second; 0: a closed loop of `in_flight`."""
    reward_rate: float = 0.0
    in_flight: int = 1
    connections: int = 4
    warm_up_s: float = 0.5
    """Sent first, and not counted."""
    duration_s: float = 1.0
    seed: int = 1
    trust: Trust | None = None
    """Where the server has TLS."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    """What came of the calls that were due, or of those that ended, after the warm-up."""

    latency: dict[str, Histogram]
    """By method, errors included."""
    lag: Histogram
    """Between when a call was due and when it was sent: the generator's own share of the latency."""
    statuses: dict[str, Counter[str]]
    """By method: statuses of calls, and of the refused items of a batch."""
    reasons: Counter[str]
    """Of the decisions answered."""
    busy_s: float
    """From the warm-up's end until the last answer; at least the duration."""


class _Method:
    def __init__(self) -> None:
        self.latencies: list[float] = []
        self.statuses: Counter[str] = Counter()


class Generator:
    """Made ready by its constructor; `run` sends."""

    def __init__(self, load: Load) -> None:
        self._load = load
        self._scheduled = bool(load.rate or load.reward_rate)
        self._rng = np.random.default_rng([load.seed, 3])
        self._requests = traffic.selections(load.traffic, load.seed)
        self._arrivals = self.schedule(load)
        self._methods = {
            name: _Method() for name in (traffic.SELECT, traffic.BATCH, traffic.REWARD)
        }
        self._lags: list[float] = []
        self._reasons: Counter[int] = Counter()
        self._decided: deque[tuple[str, str]] = deque(maxlen=_REMEMBERED)
        self._sent = self._in_flight = 0
        self._begin = self._last = time.perf_counter()
        self._counting = False
        self._connections = [self._connect() for _ in range(load.connections)]
        if load.traffic.mode in ("reward", "mix"):
            self._prime()

    @staticmethod
    def schedule(load: Load) -> Arrivals:
        """When a load's calls are due."""
        rng = np.random.default_rng([load.seed, 2])
        span_s = load.warm_up_s + load.duration_s
        return traffic.arrivals(rng, load.rate, load.reward_rate, span_s)

    def run(self, begin: float) -> Outcome:
        """Send from `begin` on, a time of perf_counter's; return once all is answered or given up."""
        load = self._load
        self._begin, self._counting = begin, True
        gc.collect()
        gc.disable()  # a collection would show up as latency
        try:
            if self._scheduled:
                self._open()
            else:
                self._closed(load.warm_up_s + load.duration_s)
            self._await_answers()
        finally:
            gc.enable()
            for each in self._connections:
                each.close()
        # What a closed loop is answered after its end is not counted.
        until_s = self._last if self._scheduled else 0.0
        used = {path: each for path, each in self._methods.items() if each.statuses}
        names = {path: path.rpartition("/")[2] for path in used}
        return Outcome(
            latency={names[path]: Histogram.of(each.latencies) for path, each in used.items()},
            lag=Histogram.of(self._lags),
            statuses={names[path]: each.statuses for path, each in used.items()},
            reasons=Counter({pb.Reason.Name(n)[7:]: many for n, many in self._reasons.items()}),
            busy_s=max(load.duration_s, until_s - load.warm_up_s),
        )

    def _open(self) -> None:
        due_s, rewards = self._arrivals.due_s.tolist(), self._arrivals.reward.tolist()
        at, total = 0, len(due_s)
        while at < total:
            ahead = min(total, at + _SENDS_BETWEEN_READS)
            while at < ahead and due_s[at] <= (now := self._now()):
                if due_s[at] >= self._load.warm_up_s:
                    self._lags.append(now - due_s[at])
                self._send(due_s[at], reward=rewards[at])
                self._flush()
                at += 1
            self._wait(0.0 if at == ahead else max(0.0, due_s[at] - self._now()))

    def _closed(self, span_s: float) -> None:
        mixed = self._load.traffic.mode == "mix"
        while self._now() < span_s:
            for _ in range(self._load.in_flight - self._in_flight):
                reward = mixed and self._sent % _SELECTS_A_REWARD == 0
                self._send(self._now(), reward=reward)
            self._flush()
            self._wait(0.01)

    def _await_answers(self) -> None:
        deadline = self._now() + CALL_LIMIT_S
        while self._in_flight and self._now() < deadline:
            self._wait(0.05)
        for each in self._connections:
            each.abandon("DEADLINE_EXCEEDED")

    def _prime(self) -> None:
        """Make decisions that can be rewarded."""
        until = time.perf_counter() + CALL_LIMIT_S
        for request in self._requests[:_PRIMED]:
            done = partial(self._done, traffic.SELECT, 0.0)
            self._in_flight += 1
            self._pick().call(traffic.SELECT, request, done)
            self._flush()
            while self._in_flight >= 8 and time.perf_counter() < until:
                self._wait(0.05)
        while self._in_flight and time.perf_counter() < until:
            self._wait(0.05)

    def _send(self, due_s: float, *, reward: bool) -> None:
        self._sent += 1
        if reward or self._load.traffic.mode == "reward":
            if not self._decided:  # nothing was answered yet
                self._count(traffic.REWARD, "NO_DECISION_YET", due_s)
                return
            decision = self._decided.popleft()
            if self._load.traffic.mode == "reward":  # nobody makes new ones
                self._decided.append(decision)
            path = traffic.REWARD
            request = traffic.reward(*decision, float(self._rng.random() < _CLICKS))
        else:
            path = self._load.traffic.path
            request = self._requests[self._sent % len(self._requests)]
        connection = self._pick()
        self._in_flight += 1
        connection.call(path, request, partial(self._done, path, due_s))

    def _pick(self) -> wire.Connection:
        """The next connection in turn, opened anew where its server has gone."""
        place = self._sent % len(self._connections)
        if self._connections[place].broken:
            with suppress(Unavailable):  # then this call fails as well
                self._connections[place].close()
                self._connections[place] = self._connect()
        return self._connections[place]

    def _connect(self) -> wire.Connection:
        return wire.Connection(self._load.host, self._load.port, trust=self._load.trust)

    def _flush(self) -> None:
        for each in self._connections:
            if each.wants_write:
                each.flush()

    def _wait(self, at_most_s: float) -> None:
        live = [each for each in self._connections if not each.broken]
        writing = [each for each in live if each.wants_write]
        readable, writable, _ = select.select(live, writing, (), at_most_s)
        for each in readable:
            each.read()
        if readable or writable:
            self._flush()

    def _done(self, path: str, due_s: float, status: str, answer: bytes) -> None:
        self._in_flight -= 1
        self._last = self._now()
        reasons: list[int] = []
        if status == wire.OK:
            if path == traffic.SELECT:
                response = pb.SelectResponse.FromString(answer)
                self._decided.append((response.decision_id, response.choices[0].arm_id))
                reasons = [response.reason]
            elif path == traffic.BATCH:
                results = pb.SelectBatchResponse.FromString(answer).results
                reasons = [each.response.reason for each in results if each.HasField("response")]
                if len(reasons) < len(results):
                    status = "REFUSED_IN_BATCH"
        if self._counts(due_s):
            self._reasons.update(reasons)
        self._count(path, status, due_s)

    def _counts(self, due_s: float) -> bool:
        """Whether a call falls into the measured stretch: by when it was due, in a closed loop by when it ended."""
        load = self._load
        if not self._counting:
            return False
        if self._scheduled:
            return due_s >= load.warm_up_s
        return load.warm_up_s <= self._last < load.warm_up_s + load.duration_s

    def _count(self, path: str, status: str, due_s: float) -> None:
        if self._counts(due_s):
            method = self._methods[path]
            method.statuses[status] += 1
            method.latencies.append(max(0.0, self._now() - due_s))

    def _now(self) -> float:
        """Seconds since the beginning."""
        return time.perf_counter() - self._begin
