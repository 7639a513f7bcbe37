"""The parts of one serving process, what they say of themselves, and whether that makes it ready."""

import asyncio
import gc
import logging
from uuid import uuid4

from grpc_health.v1 import health_pb2
from grpc_health.v1.health import aio as health

from pullarm.clock import Clock, system_clock
from pullarm.domain.decision import RewardStatus, Span
from pullarm.domain.decision_id import KeyRing
from pullarm.domain.errors import ConfigurationError, Unavailable
from pullarm.domain.instance import Condition
from pullarm.domain.ports import Board, CallerBoard, EventSink
from pullarm.environment import stamp
from pullarm.storage import events
from pullarm.tracing import Trail
from serving.access import Callers
from serving.counters import SEND_EVERY_S, Counters
from serving.event_log import EventLog
from serving.lives import Lives
from serving.refresher import Refresher
from serving.service import NAME, SelectionService
from serving.settings import KEYS_FILE, Settings, keys_in
from serving.spool import Spool, name_of
from serving.vitals import Spooled, Status, Vitals, readiness

_log = logging.getLogger(__name__)

HEALTH_EVERY_S = 0.25
KEYS_EVERY_S = 0.5
"""How often the file of keys is looked at."""
_YOUNG = 50_000
"""Containers that may be alive and new before the garbage collector looks at them: some megabytes."""


class Process:
    """One serving process without its port: snapshot, event log, spool, counters and service."""

    def __init__(
        self,
        settings: Settings,
        board: Board,
        callers: CallerBoard,
        sink: EventSink,
        clock: Clock,
        trail: Trail | None = None,
    ) -> None:
        self.loaded = asyncio.Event()
        """Set once there is a complete snapshot."""
        self.healthy = health.HealthServicer()
        life = f"{name_of(settings.process[:48])}-{uuid4().hex[:8]}"
        self.spool = Spool(settings.spool, life, max_bytes=settings.spool_bytes)
        self.refresher = Refresher(board, self._on_complete, clock=clock, trail=trail)
        self.event_log = EventLog(
            sink,
            self.spool,
            life,
            durability=settings.durability,
            clock=clock,
        )
        self.counters = Counters(life)
        # By the machine's clock: a simulated one neither opens nor closes the service to anybody.
        self.callers = Callers(callers, system_clock, required=settings.require_tokens)
        self.service = SelectionService(
            self.refresher, self.event_log, self.counters, settings.keys, clock, self.callers
        )
        self._sink = sink
        self._life = life
        self.lives = Lives(settings.spool, life)
        self._settings = settings
        self._status = Status.UNREADY
        self._draining = False
        self._telling = asyncio.Lock()

    def vitals(self) -> Vitals:
        """Its figures now; from any thread."""
        refresher, log, spool, counters = (
            self.refresher,
            self.event_log,
            self.spool,
            self.counters,
        )
        snapshot = refresher.snapshot
        ids = {number: served.experiment.id for number, served in snapshot.by_number.items()}
        return Vitals(
            complete=snapshot.complete and self.callers.loaded.is_set(),
            experiments=len(ids),
            missing=len(refresher.problems.keys() - ids.keys()),
            snapshot_age_s=refresher.age_s(),
            contact_age_s=refresher.contact_age_s(),
            refused=refresher.refused,
            problems=refresher.problems,
            draining=self._draining,
            durability=log.durability.value,
            stream_trouble=log.trouble,
            events_full=log.full(),
            events_waiting=log.waiting,
            events_waiting_bytes=log.waiting_bytes,
            slow_acknowledgements=log.slow,
            voided=log.voids,
            lost=log.lost,
            spool=Spooled(
                waiting_bytes=spool.waiting_bytes,
                max_bytes=self._settings.spool_bytes,
                waiting_entries=spool.waiting_entries,
                written=spool.written,
                torn=spool.torn,
                damaged=spool.damaged,
            ),
            calls=counters.calls(ids),
            latencies=counters.latencies(),
            signing_key=self.service.keys.sign,
            keys=tuple(sorted(self.service.keys.keys)),
            decided=counters.decided,
            deciding_s=counters.deciding_s,
            rewards={status.name.lower(): counters.rewards[status] for status in RewardStatus},
            refusals=dict(counters.refusals),
        )

    def condition(self) -> Condition:
        """How it is, for whoever looks at all processes."""
        judged = readiness(self.vitals(), self._settings.max_silence_s)
        return Condition(
            status=judged.status,
            reasons=tuple(judged.reasons),
            snapshot_age_s=self.refresher.age_s(),
        )

    async def tell_health(self) -> None:
        """Tell load balancers whether requests are welcome, and callers what is amiss."""
        async with (
            self._telling
        ):  # else what was judged before may be told after what was judged since
            await self._tell_health()

    async def _tell_health(self) -> None:
        judged = readiness(self.vitals(), self._settings.max_silence_s)
        self.service.tell_degraded(judged.reasons)
        if judged.status is not self._status:
            _log.info("%s: %s", judged.status.value, "; ".join(judged.reasons) or "all is well")
        self._status = judged.status
        answer = health_pb2.HealthCheckResponse
        for name in ("", NAME):
            await self.healthy.set(name, answer.SERVING if judged.serving else answer.NOT_SERVING)

    async def watch_health(self) -> None:
        """Tell it for ever."""
        while True:
            self.counters.count()
            await self.tell_health()
            await asyncio.sleep(HEALTH_EVERY_S)

    async def watch_keys(self) -> None:
        """Take over the keys of decision ids whenever their file changes, for ever."""
        path, seen = self._settings.keys_file, None
        while path is not None:
            if (found := stamp(path)) != seen:
                seen = found
                try:
                    self._use(keys_in(path).ring)
                except ConfigurationError as error:
                    _log.error("the keys of decision ids stay as they are: %s", error)
            await asyncio.sleep(KEYS_EVERY_S)

    def _use(self, ring: KeyRing) -> None:
        if ring.deployment != self.service.keys.deployment:
            raise ConfigurationError(
                f"{KEYS_FILE}: these are the keys of another deployment; begin with it anew"
            )
        if ring != self.service.keys:
            numbers = ", ".join(map(str, sorted(ring.keys)))
            _log.info("decision ids are signed with key %d, verified with %s", ring.sign, numbers)
        self.service.keys = ring

    async def report(self) -> None:
        """Tell the ledger how serving does, and of processes that have ended, for ever."""
        while True:
            self.event_log.tell(self.counters.take())
            try:
                for life in await asyncio.to_thread(self.lives.ended):
                    await self._bury(life)
            except OSError as error:
                _log.warning("ended processes cannot be told: %s", error)
            await asyncio.sleep(SEND_EVERY_S)

    async def leave(self) -> None:
        """Tell the ledger that this life is over, where the event log has ended and nothing is left in the spool; else
        whoever takes the spool over will."""
        if not self.spool.waiting_entries:
            await self._bury(self._life)
        self.lives.close()
        self.spool.close()

    async def _bury(self, life: str) -> None:
        span = Span(life, 0, 0, spooled=False, ended=True)
        try:
            await self._sink.append(events.entry([], [], [], span=span))
            await asyncio.to_thread(self.lives.forget, life)
        except Unavailable as error:
            _log.debug("the end of %s is told later: %s", life, error)

    async def drain(self) -> None:
        """Take no more requests."""
        self._draining = True
        await self.tell_health()

    def _on_complete(self) -> None:
        self.service.rehearse()
        # What is loaded stays: the collector need not look through it again and again. What requests make is gone by
        # itself, but for the time being there is more of it than Python's 700, and looking costs a quarter of a batch.
        gc.collect()
        gc.freeze()
        gc.set_threshold(_YOUNG)
        self.loaded.set()
