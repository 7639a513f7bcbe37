"""An experiment as it goes: server-sent events, from one look at it for however many watch.

Every kind of event says all there is of its kind, so whoever is slow or was away needs the newest of each and no more:
nothing queues up. An id names the events that were sent last, one for each kind, so that it holds in any process.
"""

import asyncio
import logging
from collections.abc import AsyncGenerator, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from hashlib import blake2b
from typing import Annotated, NamedTuple

import msgspec
from litestar import Controller, get
from litestar.di import NamedDependency
from litestar.params import FromPath, HeaderParameter, QueryParameter
from litestar.response import Stream

from control.access import needs
from control.experiments import PATH
from control.guardrails import Guarding, GuardrailsView
from control.overview import Overview
from control.views import SummaryView
from pullarm.domain.access import Role
from pullarm.domain.errors import Exhausted, PullarmError

RETRY_MS = 2_000
_DIGEST_BYTES = 6
_NEVER = datetime.min.replace(tzinfo=UTC)

_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True, kw_only=True)
class Pace:
    """How often is looked, and how much is watched."""

    look_every_s: float = 1.0
    heartbeat_s: float = 15.0
    """After so long without an event a comment is sent: proxies cut what is silent."""
    lifetime_s: float = 900.0
    """After so long a stream ends, and whoever watches asks again, with a token that may have been revoked."""
    streams: int = 200
    """Of all experiments together, at most."""


class Told(NamedTuple):
    """The newest event of one kind."""

    digest: str
    data: bytes


@dataclass(slots=True, eq=False)
class _Watch:
    """One experiment that somebody watches."""

    told: dict[str, Told]
    """By kind."""
    news: asyncio.Event = field(default_factory=asyncio.Event)
    """Set, and replaced by another one, when anything is told anew."""
    watchers: int = 0
    looking: "asyncio.Task[None] | None" = None
    failed: bool = False
    """Whether looking came to an end that nobody foresaw: its streams end, and whoever comes back is told of it."""


class Live:
    """Streams of events; one look for each experiment that is watched, every so often."""

    def __init__(
        self,
        overview: Overview,
        guarding: Guarding,
        closing: asyncio.Event,
        pace: Pace | None = None,
    ) -> None:
        self._overview = overview
        self._guarding = guarding
        self._closing = closing
        self._pace = pace or Pace()
        self._watches: dict[str, _Watch] = {}

    async def events(
        self, reference: str, *, seen: str = "", most: int | None = None
    ) -> AsyncGenerator[bytes, None]:
        """A stream of an experiment, ready to be sent; raises NotFound, or Exhausted where there are enough streams.

        It leaves out what `seen`, the id of an earlier event, says was sent, and ends after `most` events.
        """
        if sum(watch.watchers for watch in self._watches.values()) >= self._pace.streams:
            raise Exhausted(
                f"{self._pace.streams} streams are open, which is the limit; try again later"
            )
        first = await self._look(reference)
        known = {kind: digest for kind, digest in _digests(seen).items() if kind in first}
        return self._stream(reference, first, known, most)

    async def _stream(
        self, reference: str, first: dict[str, Told], seen: dict[str, str], most: int | None
    ) -> AsyncGenerator[bytes, None]:
        loop = asyncio.get_running_loop()
        ends_at = loop.time() + self._pace.lifetime_s
        yield f"retry: {RETRY_MS}\n\n".encode()
        sent = 0
        with self._watching(reference, first) as watch:
            while not (self._closing.is_set() or watch.failed) and loop.time() < ends_at:
                news = watch.news
                for kind, told in watch.told.items():
                    if seen.get(kind) != told.digest:
                        seen[kind] = told.digest
                        yield _event(kind, told, seen)
                        sent += 1
                    if sent == most:
                        return
                try:
                    await asyncio.wait_for(news.wait(), self._pace.heartbeat_s)
                except TimeoutError:
                    yield b": nothing new\n\n"

    @contextmanager
    def _watching(self, reference: str, first: dict[str, Told]) -> Iterator[_Watch]:
        watch = self._watches.get(reference)
        if watch is None:
            watch = self._watches[reference] = _Watch(first)
            watch.looking = asyncio.create_task(self._supervise(reference, watch))
        watch.watchers += 1
        try:
            yield watch
        finally:
            watch.watchers -= 1
            if not watch.watchers:
                self._leave(reference, watch)
                if watch.looking is not None:
                    watch.looking.cancel()

    def _leave(self, reference: str, watch: _Watch) -> None:
        """Let whoever comes next begin anew."""
        if self._watches.get(reference) is watch:
            del self._watches[reference]

    async def _supervise(self, reference: str, watch: _Watch) -> None:
        try:
            await self._keep_looking(reference, watch)
        except Exception:
            _log.exception("%s cannot be looked at: its streams end", reference)
            watch.failed = True
            self._leave(reference, watch)
            watch.news.set()

    async def _keep_looking(self, reference: str, watch: _Watch) -> None:
        while not self._closing.is_set():
            try:
                await asyncio.wait_for(self._closing.wait(), self._pace.look_every_s)
            except TimeoutError:
                try:
                    told = await self._look(reference)
                except PullarmError as error:  # away for a while, of which a stream says nothing
                    _log.debug("nothing is seen of %s: %s", reference, error)
                    continue
                if told == watch.told:
                    continue
                watch.told = told
            news, watch.news = watch.news, asyncio.Event()
            news.set()

    async def _look(self, reference: str) -> dict[str, Told]:
        summary = await self._overview.of(reference)
        guardrails = await self._guarding.of(reference)
        rates = {
            name: {
                "serves": policy.serves,
                "rewards": policy.rewards,
                "rate": policy.rate,
                "interval": policy.interval,
            }
            for name, policy in summary.policies.items()
        }
        allocation = {
            "state": summary.state,
            "traffic_pct": summary.traffic_pct,
            "shares": {name: policy.share for name, policy in summary.policies.items()},
        }
        return {
            "allocation": _told(allocation),
            "guardrails": _told(guardrails, _settled(guardrails)),
            "rates": _told(rates),
            "summary": _told(summary, _lasting(summary)),
        }


def _lasting(summary: SummaryView) -> SummaryView:
    """Without what changes by the mere passing of time."""
    return replace(summary, as_of=_NEVER, days_running=0.0)


def _settled(guardrails: GuardrailsView) -> object:
    """Without the values, which differ a little at every check."""
    verdicts = {name: check.verdict for name, check in guardrails.guardrails.items()}
    return guardrails.state, guardrails.guard_epoch, verdicts, guardrails.rollbacks


def _told(data: object, lasting: object = None) -> Told:
    encoded = msgspec.json.encode(data)
    digested = encoded if lasting is None else msgspec.json.encode(lasting)
    return Told(blake2b(digested, digest_size=_DIGEST_BYTES).hexdigest(), encoded)


def _event(kind: str, told: Told, seen: dict[str, str]) -> bytes:
    identity = ",".join(f"{kind}:{digest}" for kind, digest in sorted(seen.items()))
    return f"event: {kind}\nid: {identity}\n".encode() + b"data: " + told.data + b"\n\n"


def _digests(identity: str) -> dict[str, str]:
    """By kind, what an id says was sent; nothing where it is none of ours."""
    pairs = (part.split(":") for part in identity.split(","))
    return {pair[0]: pair[1] for pair in pairs if len(pair) == 2}


class LiveStreams(Controller):
    """What changes, as it changes."""

    path = f"{PATH}/{{reference:str}}/live"
    tags = ("Analytics",)
    opt = needs(Role.VIEWER)

    @get(media_type="text/event-stream")
    async def live(
        self,
        reference: FromPath[str],
        live: NamedDependency[Live],
        max_events: Annotated[
            int | None, QueryParameter(ge=1, le=1_000_000, description="End after so many events.")
        ] = None,
        last_event_id: Annotated[
            str | None,
            HeaderParameter(
                name="Last-Event-ID",
                description="The id of the event that was seen last: what has not changed since is not sent again.",
            ),
        ] = None,
    ) -> Stream:
        """Stream server-sent events: `allocation`, `guardrails`, `rates`, `summary`, each at once and when it changes.

        Guardrails are told when a verdict changes, with the values of that check.

        Each says all there is of its kind. A stream ends after a quarter of an hour, or when the control plane stops;
        `EventSource` goes on by itself.
        """
        events = await live.events(reference, seen=last_event_id or "", most=max_events)
        return Stream(events, media_type="text/event-stream", headers={"X-Accel-Buffering": "no"})
