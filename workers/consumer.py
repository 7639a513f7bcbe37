"""The consumer: claims stream entries, folds them, acknowledges them. Killed anywhere, it loses and doubles nothing."""

import asyncio
import logging
import time
from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from hashlib import blake2b

from pullarm.clock import Clock
from pullarm.domain.cohorts import Seen
from pullarm.domain.decision import Batch, Decision
from pullarm.domain.errors import Refused, Unavailable
from pullarm.domain.ports import Entry, EventSource, ExperimentStore, Ledger
from pullarm.storage import events
from pullarm.storage.events import Event
from pullarm.tracing import Trail
from workers.counts import Folded

_log = logging.getLogger(__name__)

ENTRIES = 256
"""Stream entries that are claimed at a time, at most 512 events each."""
FOLD_BYTES = 1024 * 1024
"""How much is folded in one transaction: some thousand events."""
FOLD_EVERY_S = 0.1
"""The shortest time between two folds that do not lag: few large ones cost a fraction of many small ones, and no
posterior is published more often."""
REST = 3
"""How many times as long as it took a fold that does not lag rests: where the processors are busy it takes long, and
larger ones leave them more."""
LONGEST_REST_S = 0.3
WAIT_MS = 200
RECLAIM_EVERY_S = 2.0
IDLE_MS = 5_000
"""How long an entry may lie with a consumer before another takes it over."""
_MAX_PAUSE_S = 2.0
_TRIES = 3


class Consumer:
    """One consumer of the event stream."""

    def __init__(
        self,
        source: EventSource,
        ledger: Ledger,
        experiments: ExperimentStore,
        clock: Clock,
        trail: Trail | None = None,
    ) -> None:
        self._source = source
        self._ledger = ledger
        self._experiments = experiments
        self._clock = clock
        self._trail = trail
        self._stopping = False
        self.folded = Folded()

    def stop(self) -> None:
        """Let `run` end after the entries in hand."""
        self._stopping = True

    async def run(self) -> None:
        """Consume until stopped; a store that is away is waited for."""
        loop = asyncio.get_running_loop()
        reclaim_at = fold_at = loop.time()
        away = False
        while not self._stopping:
            await asyncio.sleep(max(0.0, fold_at - loop.time()))
            try:
                entries: list[Entry] = []
                if loop.time() >= reclaim_at:
                    entries = await self._source.reclaim(ENTRIES, IDLE_MS)
                    reclaim_at = loop.time() + RECLAIM_EVERY_S
                entries = entries or await self._source.claim(ENTRIES, WAIT_MS)
            except Unavailable as error:
                if not away:
                    _log.warning("event stream is away: %s", error)
                away = True
                await asyncio.sleep(_MAX_PAUSE_S / 4)
                continue
            away = False
            began = loop.time()
            for together in _portions(entries):
                await self._consume(together)
            if len(entries) < ENTRIES:
                took_s = loop.time() - began
                fold_at = began + max(FOLD_EVERY_S, took_s + min(REST * took_s, LONGEST_REST_S))

    async def _consume(self, entries: Sequence[Entry]) -> None:
        """Fold and acknowledge; while a store is away the entries stay pending here and are tried again."""
        pause_s = 0.05
        while True:
            try:
                await self._fold(entries)
                await self._source.acknowledge(entries)
            except Unavailable as error:
                _log.warning("%d entries wait: %s", len(entries), error)
                await asyncio.sleep(pause_s)
                pause_s = min(_MAX_PAUSE_S, pause_s * 2)
            else:
                return

    async def _fold(self, entries: Sequence[Entry]) -> None:
        batches = []
        for entry in entries:
            try:
                batches.append(events.unpack(entry.payload))
            except events.MalformedEntry as error:
                await self._set_aside(entry.name, f"malformed: {error}", entry.payload)
        batch = events.merge(batches)
        if batch.events() or batch.spans:
            await self._fold_batch(batch, entries[0].name)
            await self._register(batch.decisions)

    async def _fold_batch(self, batch: Batch, first_id: str) -> None:
        """Fold a batch; where the ledger refuses it, halve it until the events at fault stand alone."""
        for attempt in range(_TRIES):
            began, began_ns = time.perf_counter(), time.time_ns()
            try:
                result = await self._ledger.fold(batch, self._clock())
            except Refused as error:
                self.folded.refused += 1
                _log.warning("fold of %d events refused: %s", batch.events(), error)
                await asyncio.sleep(0.02 * 2**attempt)
                refusal = error
            else:
                self.folded.add(result, time.perf_counter() - began)
                if self._trail is not None and batch.traces:
                    await self._trail.folded(batch, result, (began_ns, time.time_ns()))
                return
        halves = _halves(batch)
        if halves is None:
            await self._set_aside_event(first_id, batch, str(refusal))
            return
        for half in halves:
            await self._fold_batch(half, first_id)

    async def _set_aside_event(self, entry_id: str, batch: Batch, problem: str) -> None:
        """Quarantine the only event of a batch."""
        alone: list[Event] = [
            *batch.decisions,
            *batch.rewards,
            *batch.voids,
            *batch.minutes,
            *batch.spans,
        ]
        packed = events.pack(alone[0])
        name = f"{entry_id}/{blake2b(packed, digest_size=8).hexdigest()}"
        await self._set_aside(name, problem, packed)

    async def _set_aside(self, entry_id: str, problem: str, payload: bytes) -> None:
        _log.error("entry %s is quarantined: %s", entry_id, problem)
        await self._ledger.quarantine(entry_id, problem, payload, self._clock())
        self.folded.quarantined += 1

    async def _register(self, decisions: Iterable[Decision]) -> None:
        """Make unlisted candidates of open catalogues arms, and new values cohorts; what is missed comes again with its
        next request."""
        newcomers: defaultdict[int, dict[str, None]] = defaultdict(dict)
        values: defaultdict[int, dict[Seen, None]] = defaultdict(dict)
        for decision in decisions:
            if decision.newcomers:
                newcomers[decision.token.experiment].update(dict.fromkeys(decision.newcomers))
            if (attribute := decision.new_cohort) in decision.attributes:
                values[decision.token.experiment][attribute, decision.attributes[attribute]] = None
        for number, names in newcomers.items():
            await self._experiments.register_arms(number, list(names), self._clock())
        for number, seen in values.items():
            await self._experiments.register_cohorts(number, list(seen), self._clock())


def _portions(entries: Sequence[Entry]) -> Iterator[list[Entry]]:
    """The entries in their order, as many together as fit one transaction."""
    together: list[Entry] = []
    size = 0
    for entry in entries:
        if together and size + len(entry.payload) > FOLD_BYTES:
            yield together
            together, size = [], 0
        together.append(entry)
        size += len(entry.payload)
    if together:
        yield together


def _halves(batch: Batch) -> tuple[Batch, Batch] | None:
    """Two batches with half of each kind of event; None for a single event."""
    if batch.spans and batch.events():  # numbers last: what is set aside before has come too
        return batch._replace(spans=()), Batch([], [], [], spans=batch.spans)
    if batch.events() < 2:
        return None
    kinds = (batch.decisions, batch.rewards, batch.voids, batch.minutes)
    middles = [len(kind) // 2 for kind in kinds]
    if not any(middles):  # at most one event of each kind: part the first from the others
        first = next(place for place, kind in enumerate(kinds) if kind)
        middles[first] = 1
    d, r, v, m = middles
    return (
        Batch(batch.decisions[:d], batch.rewards[:r], batch.voids[:v], batch.minutes[:m]),
        Batch(batch.decisions[d:], batch.rewards[r:], batch.voids[v:], batch.minutes[m:]),
    )
