"""Keeps the snapshot new: looks at the board, rebuilds what changed apart from the event loop, swaps one reference."""

import asyncio
import logging
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace
from math import inf
from time import time_ns

from pullarm.clock import Clock, system_clock
from pullarm.domain.errors import Unavailable
from pullarm.domain.experiment import EFFECT_DELAY, State, standing
from pullarm.domain.ports import Board, BoardIndex, Version
from pullarm.tracing import Folds, Trail
from serving.snapshot import Served, Snapshot, serve

_log = logging.getLogger(__name__)

POLL_S = 0.05
"""How often the board is asked whether anything changed; a halt is obeyed with the next look."""
READ_EVERY_S = 0.1
"""The shortest time between two refreshes; one publisher posts an experiment no more often either."""
FULL_LOOK_S = 1.0
"""How often all are compared, and what could not be taken is tried anew, whatever the board says of changes."""
_TICK_S = 0.001
"""How much too early a timer may be."""
_SLICE_S = 0.04
"""How long a refresh reads before it looks for halts again."""
_HALTS = {state.value: standing(state) for state in (State.STOPPED, State.ROLLED_BACK)}
_UNSOUND = (ValueError, TypeError, LookupError, ArithmeticError)
"""What a publication may make the code that reads it raise; whatever it is, the others are refreshed."""


@dataclass(frozen=True, slots=True)
class _Waiting:
    """A version that is to take effect at this moment."""

    until_s: float
    served: Served


class Refresher:
    """Owns the process's snapshot. Figures and ages may be read from any thread."""

    def __init__(
        self,
        board: Board,
        on_complete: Callable[[], None] = lambda: None,
        monotonic: Callable[[], float] = time.monotonic,
        clock: Clock = system_clock,
        trail: Trail | None = None,
    ) -> None:
        self.snapshot = Snapshot()
        self.refused = 0
        """Publications that were not sound; each kept its predecessor."""
        self._board = board
        self._on_complete = on_complete
        self._monotonic = monotonic
        self._clock = clock
        self._problems: dict[int, str] = {}
        """Of experiments whose publication is refused; each is told once."""
        self._served: dict[int, Served] = {}
        self._waiting: dict[int, list[_Waiting]] = {}
        """Versions that are yet to take effect, oldest first."""
        self._index = BoardIndex(
            complete=False, incarnation="", change_no=0, experiments=(), beat=0
        )
        self._versions: dict[int, Version] = {}
        """Both as of the last look at a complete board that had changed."""
        self._tried: dict[int, Version] = {}
        """What was read last of each experiment, taken or not."""
        self._behind: dict[int, None] = {}
        """What is to be read, in the order in which it was found."""
        self._awaited: set[int] = set()
        """What is yet to be read before the snapshot holds all that was folded when `_beat` was seen, at `_beat_at`."""
        self._beat: int | None = None
        self._beat_at = -inf
        self._looked_at = self._read_at = -inf
        self._fresh_at = self._contact_at = monotonic()
        self._away = False
        self._trail = trail
        self._began_ns = 0
        """When the last look began, where requests are traced."""

    @property
    def problems(self) -> Mapping[int, str]:
        """What is wrong with the publications that are refused now, by experiment number."""
        return dict(self._problems)

    def age_s(self) -> float:
        """For how long nothing may have been learned: seconds since the snapshot last held all that was folded.

        Measured on this machine's clock alone: since a look that found the board's beat moved and led to everything
        being read, versions that are yet to take effect among it. Until the beat first moves it is the time since the
        process began, and so at least that old.
        """
        return self._monotonic() - self._fresh_at

    def contact_age_s(self) -> float:
        """For how long a halt would not have been heard: seconds since the board was last reached and complete."""
        return self._monotonic() - self._contact_at

    async def run(self) -> None:
        """Refresh for ever; the board away only means that the snapshot grows older."""
        task = asyncio.current_task()
        # Looked at because the driver's `wait_for` may swallow a cancellation (CPython 3.11, issue 86296).
        while task is not None and not task.cancelling():
            started = self._monotonic()
            try:
                await self._step(started)
                if self._away:
                    _log.info("board is back; snapshot is fresh")
                self._away = False
            except Unavailable as error:
                if not self._away:
                    _log.warning("snapshot is not refreshed: %s", error)
                self._away = True
            await asyncio.sleep(max(0.0, POLL_S - (self._monotonic() - started)))

    async def refresh(self) -> None:
        """Take over all that changed; an incomplete board changes nothing."""
        await self._look()
        await self._take_over(inf)

    async def _step(self, started: float) -> None:
        await self._look()
        if not self.snapshot.complete:
            await self._take_over(inf)
        elif self._behind and started - self._read_at >= READ_EVERY_S:
            # What a slice leaves over keeps the time of its beginning, and so is gone on with at the next look.
            began = self._read_at
            await self._take_over(started + _SLICE_S)
            self._read_at = began if self._behind else started

    async def _look(self) -> None:
        """Find out what is behind, and obey halts, whatever else is true of their experiments."""
        self._take_effect()
        if self._trail is not None:
            self._began_ns = time_ns()
        now = self._monotonic()
        index = await self._board.index()
        if not index.complete:
            return
        full = now - self._looked_at >= FULL_LOOK_S
        if full or index != self._index:
            self._versions = await self._board.versions(index.experiments)
            self._index = index
            listed = self._versions.keys()
            self._behind = {n: None for n in self._behind if n in listed}
            self._behind |= {n: None for n in listed if self._differs(n, full=full)}
            self._obey_halts()
            self._awaited &= self._behind.keys()
            if full:
                self._looked_at = now
        self._contact_at = now
        self._note_beat(index.beat, now)

    def _note_beat(self, beat: int, now: float) -> None:
        if self._awaited or beat == self._beat:
            return  # one beat after the other
        if self._beat is not None:
            self._awaited, self._beat_at = set(self._behind), now
        self._beat = beat
        self._note_freshness()

    def _differs(self, number: int, *, full: bool) -> bool:
        version, before = self._versions[number], self._newest(number)
        if before is not None and _version(before) == version:
            return False
        return full or self._tried.get(number) != version

    def _obey_halts(self) -> None:
        """At once, and where its publication cannot be read too."""
        for number, version in self._versions.items():
            before, standing = self._newest(number), _HALTS.get(version.halt)
            if before is not None and standing is not None and before.halt != version.halt:
                self._waiting.pop(number, None)
                self._served[number] = replace(before, halt=State(version.halt), standing=standing)
                if _version(self._served[number]) == version:
                    self._behind.pop(number, None)
        if self.snapshot.complete:
            self._swap()

    async def _take_over(self, until: float) -> None:
        """Read what is behind, or as much of it as can be until then."""
        while self._behind:
            number = next(iter(self._behind))
            await self._one(number)
            self._behind.pop(number, None)
            self._awaited.discard(number)
            if self._monotonic() >= until:
                break
        if self._index.complete and (self.snapshot.complete or not self._behind):
            self._swap()
        self._note_freshness()

    async def _one(self, number: int) -> None:
        """Take over one experiment; where that cannot be, its predecessor serves on."""
        version, before = self._versions[number], self._newest(number)
        try:
            published = await self._board.read(number, before.head if before else None)
            if published is None and before is None and not self.snapshot.complete:
                raise Unavailable(
                    f"experiment {number} is listed and not there; the board was emptied"
                )
            if published is not None:
                self._take(number, await asyncio.to_thread(serve, published, before))
        except _UNSOUND as error:
            self._refuse(number, str(error))
        else:
            self._problems.pop(number, None)
        self._tried[number] = version

    def _newest(self, number: int) -> Served | None:
        """What was taken over last, in effect or not."""
        waiting = self._waiting.get(number)
        return waiting[-1].served if waiting else self._served.get(number)

    def _take(self, number: int, made: Served) -> None:
        """Serve from it, or from its moment on; until then the version before it is served as it is."""
        waiting, before = self._waiting.get(number, []), self._newest(number)
        same = before is not None and _configuration(before) == _configuration(made)
        wait_s = 0.0 if same or before is None else self._wait_s(made)
        if same and waiting:
            waiting[-1] = replace(waiting[-1], served=made)
        elif wait_s > 0.0:
            self._waiting[number] = [*waiting, _Waiting(self._monotonic() + wait_s, made)]
            asyncio.get_running_loop().call_later(wait_s, self._take_effect)
        else:
            self._waiting.pop(number, None)
            self._served[number] = made

    def _wait_s(self, made: Served) -> float:
        """Until it takes effect; never longer than from the change itself, however wrong a clock may be."""
        if made.halt is not None:
            return 0.0
        left = made.experiment.effective_from.timestamp() - self._clock() / 1000
        return min(max(left, 0.0), EFFECT_DELAY.total_seconds())

    def _take_effect(self) -> None:
        """Serve from what has waited for its moment."""
        until = self._monotonic() + _TICK_S
        ripe = {
            n: [w for w in waiting if w.until_s <= until] for n, waiting in self._waiting.items()
        }
        for number, taken in ripe.items():
            if taken:
                self._served[number] = taken[-1].served
                self._waiting[number] = self._waiting[number][len(taken) :]
        self._waiting = {number: waiting for number, waiting in self._waiting.items() if waiting}
        if any(ripe.values()) and self.snapshot.complete:
            self._swap()

    def _refuse(self, number: int, problem: str) -> None:
        self.refused += self._tried.get(number) != self._versions[number]
        if self._problems.get(number) != problem:
            _log.error(
                "experiment %d: publication refused, the old one serves on: %s", number, problem
            )
        self._problems[number] = problem

    def _swap(self) -> None:
        # Experiments are never deleted: one the board no longer lists could not be published anew, and is served on.
        listed = set(self._index.experiments)
        self._served = {
            number: served
            for number, served in self._served.items()
            if number in listed or served.head.incarnation == self._index.incarnation
        }
        missing = len(listed - self._served.keys())
        before = self.snapshot
        if before.complete and (self._served, missing) == (before.by_number, before.missing):
            return
        self.snapshot = Snapshot.of(self._served, missing)
        if self._trail is not None:
            took = self._began_ns, time_ns()
            for folds, pub_no in _learned(before, self.snapshot):
                told = {"pullarm.posterior_version": pub_no}
                self._trail.reached("refresh", folds, took, told)
        if not before.complete:
            self._on_complete()

    def _note_freshness(self) -> None:
        if not self._awaited:
            self._fresh_at = max(self._fresh_at, self._beat_at)


def _learned(before: Snapshot, after: Snapshot) -> Iterator[tuple[Folds, int]]:
    """The folds that the one does not hold and the other does, with the publication that brought them."""
    for number, served in after.by_number.items():
        old, new = before.by_number.get(number), served.head
        if old is not None and old.head.incarnation == new.incarnation:
            folds = Folds(number, old.head.fold_no, new.fold_no)
            if folds.since < folds.upto:
                yield folds, new.pub_no


def _configuration(served: Served) -> tuple[str, int]:
    return served.head.incarnation, served.head.config_no


def _version(served: Served) -> Version:
    return Version(served.head.incarnation, served.head.pub_no, served.halt or "")
