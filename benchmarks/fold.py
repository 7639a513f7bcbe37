"""How fast one worker folds: a stream is filled while the worker stands still, then it is let go.

The events are made by serving's own code: decisions over one catalogue, and rewards of a tenth of them a moment later.
What counts is the time until the last of them is in the ledger and in the posteriors that serving reads.
"""

import asyncio
import os
import signal
import time
from collections import deque
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from itertools import islice
from random import Random

from benchmarks import machine, site, traffic
from benchmarks.compare import Report, grouped
from benchmarks.site import Site
from benchmarks.sla import Limit
from benchmarks.traffic import Traffic
from pullarm.clock import system_clock
from pullarm.domain.assignment import MICRO
from pullarm.domain.decision import Decision, Reason, Reward, Span
from pullarm.domain.errors import PullarmError
from pullarm.policies.posterior import Posterior
from pullarm.policies.warm import warm_up
from pullarm.storage import events
from pullarm.storage.postgres import Database, PostgresLedger
from pullarm.storage.postgres import facts as postgres_facts
from pullarm.storage.redis import RedisBoard, RedisEventSink, connect, keys
from pullarm.storage.redis import facts as redis_facts
from serving import requests
from serving.decider import Answer, decide
from serving.refresher import Refresher
from serving.rewards import Report as Reported
from serving.rewards import judge
from serving.snapshot import Snapshot

PER_S = 15_000
"""Events a second that one worker is to keep up with."""
LONGEST_S = 100.0
"""The pace times this fits the stream: some 180 MB of the 256 MiB that may wait there."""
ARMS = 1_000
CANDIDATES = 10
REWARDED = 0.1
"""Of the decisions."""
CLICKED = 0.3
"""Of the rewards; the others are worth nothing."""
LATER = 1_000
"""How many events come between a decision and its reward."""
AN_ENTRY = 64
"""Events of one stream entry: as many as calls in flight saturate a serving process."""
LIMITS = (
    Limit(figure="events_per_s", at_least=PER_S, unit="/s"),
    Limit(figure="missing", at_most=0),
    Limit(figure="differences", at_most=0),
)
_LOOK_S = 0.05
_WITHIN_S = 600.0


@dataclass(slots=True)
class Made:
    """What was put into the stream."""

    decided: list[bytes] = field(default_factory=list)
    """The uid of every decision."""
    rewarded: list[bytes] = field(default_factory=list)
    """Of those that have a reward."""
    serves_micro: int = 0
    rewards_micro: int = 0
    """What the posteriors come to, in millionths."""

    @property
    def events(self) -> int:
        """Decisions and rewards."""
        return len(self.decided) + len(self.rewarded)

    def note(self, event: Decision | Reward) -> None:
        """Count one event; a decision has one reward at most, and its policies' posteriors learn from one slot."""
        uid = event.token.uid
        if isinstance(event, Reward):
            self.rewarded.append(uid)
            self.rewards_micro += event.credit_micro
        else:
            self.decided.append(uid)
            self.serves_micro += MICRO


@dataclass(frozen=True, slots=True, kw_only=True)
class Folded:
    """What the fold of one stream came to."""

    events: int
    megabytes: float
    """Of stream entries (10^6 bytes)."""
    committed_s: float
    """From the worker's release until the stream was empty: an entry goes once its fold is committed."""
    published_s: float
    """Until the posteriors on the board held all of it."""
    missing: int
    """Decisions and rewards that the ledger does not have."""
    differences: int
    """That verify finds between the ledger's rows and its posteriors."""
    waiting_bytes: int
    """Of Redis' memory, by all of it in the stream."""
    ledger_bytes: int
    """By which the database grew."""
    cpu_s: dict[str, float]
    """Meanwhile, by process."""

    @property
    def events_per_s(self) -> float:
        """Folded and published."""
        return self.events / self.published_s

    def figures(self) -> dict[str, float | None]:
        """The fields, and CPU in microseconds an event by process."""
        numbers = {name: value for name, value in asdict(self).items() if name != "cpu_s"}
        used = {f"{name}_cpu_us": s / self.events * 1e6 for name, s in self.cpu_s.items()}
        each = {
            f"{name}_bytes_an_event": numbers[f"{name}_bytes"] / self.events
            for name in ("waiting", "ledger")
        }
        return {"events_per_s": self.events_per_s, **numbers, **each, **used}

    def table(self) -> str:
        """The figures in two lines."""
        used = ", ".join(
            f"{name} {seconds / self.events * 1e6:.1f}" for name, seconds in self.cpu_s.items()
        )
        return (
            f"{self.events:,} events ({self.megabytes:.0f} MB) committed in {self.committed_s:.1f} s, "
            f"published in {self.published_s:.1f} s: {self.events_per_s:,.0f} events/s\n"
            f"CPU us/event meanwhile: {used}; bytes/event: {self.waiting_bytes / self.events:.0f} waiting in Redis, "
            f"{self.ledger_bytes / self.events:.0f} in PostgreSQL"
        )


async def measure(platform: Site, count: int, seed: int, report: Report) -> Folded:
    """Fill the stream of a platform that nobody else uses with so many events, and let its worker fold them."""
    report("starting an experiment")
    experiment = await platform.launch("fold", traffic.arm_names(ARMS))
    await site.seen(platform.address, experiment)
    await site.settled(platform, experiment)
    await asyncio.to_thread(warm_up)
    dsn = platform.environment["DATABASE_URL"]
    async with connect(platform.environment["REDIS_URL"]) as redis:
        board = RedisBoard(redis)
        refresher = Refresher(board)
        await refresher.refresh()
        snapshot = refresher.snapshot
        number = snapshot.find(experiment).experiment.number
        made = Made()
        size = 0
        sink = RedisEventSink(redis)
        with _standing_still(platform.pids["worker"]):
            report(f"filling the stream with {count:,} events")
            empty_bytes = (await redis_facts.look(redis)).used_bytes
            old_bytes = (await postgres_facts.look(dsn)).size_bytes
            source = stream(snapshot, experiment, count, seed)
            for packed in entries(source, made):
                await sink.append(packed)
                size += len(packed)
            await sink.aclose()
            waiting_bytes = (await redis_facts.look(redis)).used_bytes - empty_bytes
            before = _cpu_s(platform)
            began = time.perf_counter()
        report("folding")
        while await redis.xlen(keys.events(0)):
            await _look(began, "committed")
        committed_s = time.perf_counter() - began
        while await _totals(board, number) != (made.serves_micro, made.rewards_micro):
            await _look(began, "published")
        published_s = time.perf_counter() - began
        after = _cpu_s(platform)
    report("verifying")
    ledger_bytes = (await postgres_facts.look(dsn)).size_bytes - old_bytes
    async with Database(dsn, max_connections=1) as database:
        ledger = PostgresLedger(database)
        return Folded(
            events=made.events,
            megabytes=size / 1e6,
            committed_s=committed_s,
            published_s=published_s,
            missing=await ledger.missing(made.decided, made.rewarded),
            differences=len(await ledger.verify(number)),
            waiting_bytes=waiting_bytes,
            ledger_bytes=ledger_bytes,
            cpu_s={name: after[name] - before[name] for name in before},
        )


def stream(
    snapshot: Snapshot, experiment: str, count: int, seed: int
) -> Iterator[Decision | Reward]:
    """So many events as a serving process with this snapshot makes them, in their order.

    Raises PullarmError where a decision is answered without a policy: the posteriors would not learn from it.
    """
    random = Random(seed)
    asked = Traffic(mode="select", experiments=(experiment,), arms=ARMS, candidates=CANDIDATES)
    queries = [requests.read(snapshot, one) for one in traffic.selections(asked, seed)]
    due: deque[tuple[int, Answer]] = deque()
    for number in range(count):
        now_ms, entropy = system_clock(), random.randbytes(10)
        if due and due[0][0] <= number:
            _, answer = due.popleft()
            yield _reward(snapshot, answer, now_ms, entropy, clicked=random.random() < CLICKED)
            continue
        served, query = queries[number % len(queries)]
        user = f"user-{random.randrange(traffic.USERS)}"
        answer = decide(served, query._replace(user=user), now_ms, entropy)
        if answer.decision.token.reason != Reason.ASSIGNED:
            raise PullarmError(f"{experiment} does not decide by policy; is it running?")
        if random.random() < REWARDED:
            due.append((number + LATER, answer))
        yield answer.decision


def entries(source: Iterator[Decision | Reward], made: Made) -> Iterator[bytes]:
    """The events as stream entries of AN_ENTRY each; `made` notes them."""
    end = 0
    while some := list(islice(source, AN_ENTRY)):
        decisions: list[bytes] = []
        rewards: list[bytes] = []
        for event in some:
            made.note(event)
            (rewards if isinstance(event, Reward) else decisions).append(events.pack(event))
        end += len(some)
        yield events.entry(decisions, rewards, [], span=Span("bench", end - len(some), end))


def _reward(
    snapshot: Snapshot, answer: Answer, now_ms: int, entropy: bytes, *, clicked: bool
) -> Reward:
    said = Reported(
        arm_id=answer.arm_ids[0],
        value=float(clicked),
        kind="",
        reward_id="",
        occurred_ms=None,
        source="",
        retract=False,
    )
    return judge(snapshot, answer.decision.token, said, now_ms, entropy)


@contextmanager
def _standing_still(pid: int) -> Iterator[None]:
    """Nothing is restarted: a worker that is started anew would first load its kernels."""
    os.kill(pid, signal.SIGSTOP)
    try:
        yield
    finally:
        os.kill(pid, signal.SIGCONT)


async def _totals(board: RedisBoard, number: int) -> tuple[int, int]:
    """Serves and rewards of all arms and policies on the board, in millionths."""
    published = await board.read(number, None)
    found = (
        [Posterior.from_bytes(one) for one in published.posteriors.values()] if published else []
    )
    serves = sum(int(one.serves_micro.sum()) for one in found)
    return serves, sum(int(one.rewards_micro.sum()) for one in found)


async def _look(began: float, what: str) -> None:
    if time.perf_counter() - began > _WITHIN_S:
        raise PullarmError(
            f"not all is {what} after {_WITHIN_S:.0f} s; see the worker's log in the state folder"
        )
    await asyncio.sleep(_LOOK_S)


def _cpu_s(platform: Site) -> dict[str, float]:
    return {
        name: machine.cpu_s(pids, children=True) for name, pids in grouped(platform.pids).items()
    }
