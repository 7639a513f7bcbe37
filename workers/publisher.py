"""The publisher: hands what was folded and configured to serving. Driven by what is behind, not by what happened."""

import asyncio
import logging
import time
from collections.abc import Mapping
from math import inf

import numpy as np
from numpy.typing import NDArray

from pullarm.clock import Clock
from pullarm.domain.errors import Unavailable
from pullarm.domain.experiment import POLICY_NUMBERS, Experiment, State
from pullarm.domain.ports import Board, Version
from pullarm.domain.publication import PosteriorCell, Publication
from pullarm.policies.draw import KERNEL
from pullarm.policies.grid import Grid
from pullarm.policies.posterior import Posterior
from pullarm.policies.registry import build
from pullarm.storage.postgres.publications import Planned, PostgresPublications, Publishing
from pullarm.tracing import Folds, Trail
from workers.counts import Published

_log = logging.getLogger(__name__)

TICK_S = 0.1
"""The shortest time between two publications of one experiment."""
AUDIT_EVERY_S = 1.0
"""How often the board is compared with the ledger, whatever this process believes; as new, its beat moves."""
REPUBLISH_PATIENCE_S = 10.0
"""How long an experiment that another process is publishing, or that cannot be published, is tried again."""
_PATIENCE_S = 2.0
"""How long another process may be publishing an experiment before the board counts as older than the ledger."""
_THOMPSON = POLICY_NUMBERS["thompson"]
_HALTED = (State.STOPPED, State.ROLLED_BACK)
_Pairs = NDArray[np.int64]  # (n_arms, 2): serves, rewards in millionths


class _Known:
    """What this process published last for one experiment."""

    __slots__ = ("grid", "pairs", "pub_no")

    def __init__(self, pub_no: int, pairs: _Pairs, grid: Grid | None) -> None:
        self.pub_no = pub_no
        self.pairs = pairs
        self.grid = grid


class Publisher:
    """Publishes every experiment that is behind, one publisher for each at a time."""

    def __init__(
        self,
        publications: PostgresPublications,
        board: Board,
        clock: Clock,
        trail: Trail | None = None,
    ) -> None:
        self._publications = publications
        self._board = board
        self._clock = clock
        self._known: dict[int, _Known] = {}
        self.problems: dict[int, str] = {}
        """What is wrong with experiments that cannot be published, by number."""
        self._audit_at = 0.0
        self._left: dict[int, float] = {}
        """Since when experiments that are behind are left to another process."""
        self._turn = 0
        """The experiment that was last read back."""
        self.published = Published()
        self._trail = trail

    async def run(self) -> None:
        """Publish for ever; a store that is away is waited for."""
        loop = asyncio.get_running_loop()
        away, compared = False, False
        task = asyncio.current_task()
        # Looked at because the driver's `wait_for` may swallow a cancellation (CPython 3.11, issue 86296).
        while task is not None and not task.cancelling():
            started = loop.time()
            try:
                # After an outage PostgreSQL may be back in an earlier state, which must not be published from.
                if not compared:
                    await self._compared()
                    compared = True
                await self.publish_due()
                if started >= self._audit_at:
                    await self.audit()
                    self._audit_at = loop.time() + AUDIT_EVERY_S
                away = False
            except Unavailable as error:
                if not away:
                    _log.warning("publishing waits: %s", error)
                away, compared = True, False
            await asyncio.sleep(max(0.0, TICK_S - (loop.time() - started)))

    async def publish_due(self) -> None:
        """Publish every experiment whose newest publication is behind."""
        now = asyncio.get_running_loop().time()
        self._left = {
            number: self._left.get(number, now)
            for number in await self._publications.due(self._clock())
            if not await self._publish_or_tell(number, whole=False)
        }

    async def audit(self) -> None:
        """Publish whole what the board does not have as the ledger says; then declare the board complete and as new as
        the ledger.

        The beat leaves out what cannot be published, which the log has told, and stops for what another process has
        been publishing for too long.
        """
        incarnation, newest, on_board = await self._compared()
        await self._store_halts({n: on_board[n].halt for n in newest if on_board[n].halt})
        for number, pub_no in newest.items():
            there = on_board[number]
            if pub_no == 0 or (there.incarnation, there.pub_no) != (incarnation, pub_no):
                await self._publish_or_tell(number, whole=True)
        await self._read_back(newest)
        on_board = await self._board.versions(list(newest))
        current = [n for n in newest if on_board[n].incarnation == incarnation]
        if not newest.keys() - current <= self.problems.keys():
            return  # another process is publishing one just now
        index = await self._board.index()
        if (index.incarnation, index.experiments) != (incarnation, tuple(current)):
            await self._board.complete(incarnation, current)
            _log.info("board is complete: %d experiments", len(current))
        behind = {n for n in current if on_board[n].pub_no < newest[n]}
        longest = asyncio.get_running_loop().time() - min(self._left.values(), default=inf)
        if behind <= self.problems.keys() and longest < _PATIENCE_S:
            await self._board.beat()

    async def _store_halts(self, halts: Mapping[int, str]) -> None:
        """Store stops and rollbacks that serving was told of without the ledger; end those that it knows as resumed."""
        stopped = [number for number, state in halts.items() if state == State.STOPPED]
        if stopped:
            for number in await self._publications.unstopped(stopped):
                halt = await self._board.halted(number)
                await self._publications.stop(number, halt.note if halt else "", self._clock())
                _log.warning("experiment %d was stopped without the ledger; stored now", number)
        for number in (n for n, state in halts.items() if state == State.ROLLED_BACK):
            halt = await self._board.halted(number)
            if halt is None or halt.state is not State.ROLLED_BACK:
                continue
            resumed_in = await self._publications.roll_back(
                number, halt.guard_epoch, halt.note, self._clock()
            )
            if resumed_in is not None:
                await self._board.release(number, resumed_in)

    async def _compared(self) -> tuple[str, Mapping[int, int], Mapping[int, Version]]:
        """The ledger's incarnation, its newest publications, and those on the board.

        A ledger that was put back to an earlier state begins a new life before.
        """
        while True:
            incarnation = await self._publications.incarnation()
            index = await self._board.index()
            newest = await self._publications.experiments()
            listed = index.experiments if index.incarnation == incarnation else ()
            on_board = await self._board.versions(sorted({*newest, *listed}))
            reason = await self._put_back(incarnation, newest, on_board)
            if not reason:
                return incarnation, newest, on_board
            if await self._publications.reopen(incarnation, self._clock()) is not None:
                _log.error("the ledger is from a backup: %s; all is published anew", reason)

    async def _put_back(
        self, incarnation: str, newest: Mapping[int, int], on_board: Mapping[int, Version]
    ) -> str:
        """What says that the ledger was put back to an earlier state; "" where nothing does."""
        if await self._publications.moved(incarnation):
            return "it is in another PostgreSQL than before"
        ahead = {
            number: there.pub_no
            for number, there in on_board.items()
            if there.incarnation == incarnation and there.pub_no > newest.get(number, 0)
        }
        if ahead:  # asked anew, because another process may have published meanwhile, which it records first
            newest = await self._publications.experiments()
        lacking = [number for number, pub_no in ahead.items() if pub_no > newest.get(number, 0)]
        return f"Redis has later publications of experiments number {lacking}" if lacking else ""

    async def republish(self, *, patience_s: float = REPUBLISH_PATIENCE_S) -> int:
        """Publish every experiment whole, whatever the board has, and declare it complete; how many there are.

        Raises Unavailable naming those that another process kept for patience_s, or that cannot be published.
        """
        _, newest, _ = await self._compared()
        owed = sorted(newest)
        until = asyncio.get_running_loop().time() + patience_s
        while owed := [n for n in owed if not await self._republished(n)]:
            if asyncio.get_running_loop().time() > until:
                raise Unavailable(
                    f"experiments number {owed} could not be republished: another process was publishing them all "
                    "the time, or what is said above is wrong with them"
                )
            await asyncio.sleep(TICK_S)
        await self.audit()
        return len(newest)

    async def _republished(self, number: int) -> bool:
        return await self._publish_or_tell(number, whole=True) and number not in self.problems

    async def _read_back(self, newest: Mapping[int, int]) -> None:
        """Read one experiment as serving does, in turn, and publish it whole where it cannot be read."""
        if not newest:
            return
        self._turn = min((n for n in newest if n > self._turn), default=min(newest))
        try:
            await self._board.read(self._turn, None)
        except ValueError as error:
            _log.error("experiment %d on the board is damaged, made good: %s", self._turn, error)
            await self._publish_or_tell(self._turn, whole=True)

    async def _publish_or_tell(self, number: int, *, whole: bool) -> bool:
        """Publish one experiment; what is wrong with it is told once and holds up no other.

        False where it is left to another process.
        """
        try:
            owned = await self._publish(number, whole=whole)
        except ValueError as error:
            if self.problems.get(number) != str(error):
                _log.error("experiment %d cannot be published: %s", number, error)
            self.problems[number] = str(error)
            return True
        if owned:
            self.problems.pop(number, None)
        return owned

    async def _publish(self, number: int, *, whole: bool) -> bool:
        began, began_ns = time.perf_counter(), time.time_ns()
        async with self._publications.owning(number) as publishing:
            if publishing is None:
                return False
            known = None if whole else self._known.get(number)
            publication = await self._next(publishing, known.pub_no if known else None)
            since = publication.previous_fold_no if publication is not None else 0
            if publication is not None and not await self._board.publish(publication):
                publication = await self._next(publishing, None)
                if publication is not None:
                    await self._board.publish(publication)
        if publication is not None:
            head, state = publication.head, publication.experiment.state
            if publication.complete and state in _HALTED:
                await self._board.halt(number, state, publication.experiment.guard_epoch)
            if head.pub_no == 1:
                self._audit_at = 0.0  # serving takes a new experiment once the board lists it
            took_s = time.perf_counter() - began
            self.published.add(publication.experiment.id, head.pub_no, head.fold_no, took_s)
            if self._trail is not None:
                folds, took = Folds(number, since, head.fold_no), (began_ns, time.time_ns())
                told = {"pullarm.posterior_version": head.pub_no}
                self._trail.reached("publish", folds, took, told)
        return True

    async def _next(self, publishing: Publishing, have_pub_no: int | None) -> Publication | None:
        planned: list[tuple[_Pairs, Grid | None]] = []

        async def plan(
            experiment: Experiment, grid_no: int, complete: bool, cells: list[PosteriorCell]
        ) -> Planned:
            known = self._known.get(publishing.number)
            grid = known.grid if known else None
            if grid_no and (grid is None or grid.number != grid_no):
                points = await publishing.grid(grid_no)
                grid = Grid.from_bytes(grid_no, points) if points else None
            base = None if complete or known is None else known.pairs
            pairs = _pairs(experiment, cells, base)
            grid = await asyncio.to_thread(_plan, experiment, pairs, grid, grid_no)
            planned.append((pairs, grid))
            if grid is None:
                return Planned(number=0, points=None)
            fresh = complete or grid.number != grid_no
            return Planned(number=grid.number, points=grid.to_bytes() if fresh else None)

        publication = await publishing.next(
            have_pub_no=have_pub_no, as_of_ms=self._clock(), kernel=KERNEL, plan=plan
        )
        if publication is not None:
            ((pairs, grid),) = planned
            self._known[publishing.number] = _Known(publication.head.pub_no, pairs, grid)
        return publication


def _pairs(experiment: Experiment, cells: list[PosteriorCell], base: _Pairs | None) -> _Pairs:
    """Thompson's posterior after these cells."""
    count = experiment.arms[-1].arm_no if experiment.arms else 0
    pairs = np.zeros((count, 2), dtype=np.int64)
    if base is not None:
        pairs[: len(base)] = base
    for policy, arm_no, serves, rewards in cells:
        if policy == _THOMPSON and arm_no <= count:
            pairs[arm_no - 1] = serves, rewards
    return pairs


def _plan(experiment: Experiment, pairs: _Pairs, grid: Grid | None, grid_no: int) -> Grid | None:
    """The grid to publish: the present one while it serves or nobody needs one, else the next number."""
    for spec in experiment.spec.policies:
        if POLICY_NUMBERS[spec.name] == _THOMPSON:
            posterior = Posterior(serves_micro=pairs[:, 0], rewards_micro=pairs[:, 1])
            planned = build(spec.name, spec.params).plan_grid(posterior, grid)
            if planned is None or planned is grid:
                return planned
            return planned.numbered(grid_no + 1)
    return grid
