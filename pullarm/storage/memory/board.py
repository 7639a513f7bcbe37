"""The board in memory: what the publisher posted, as serving reads it."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from struct import pack_into

from pullarm.domain.experiment import POLICY_NUMBERS, Experiment, State
from pullarm.domain.ports import BoardIndex, Halt, Version
from pullarm.domain.publication import Head, Publication, Published

_PAIR = "<qq"
_PAIR_BYTES = 16


@dataclass(slots=True, kw_only=True)
class _Posted:
    """One experiment as posted; replaced or changed by its next publication."""

    head: Head
    experiment: Experiment
    grid: bytes | None
    vectors: dict[int, bytearray] = field(
        default_factory=lambda: {policy: bytearray() for policy in POLICY_NUMBERS.values()}
    )


class MemoryBoard:
    """The board of one process."""

    def __init__(self) -> None:
        self._posted: dict[int, _Posted] = {}
        self._halts: dict[int, Halt] = {}
        self._complete: tuple[str, tuple[int, ...]] | None = None
        self._change_no = 0
        self._beats = 0

    async def publish(self, publication: Publication) -> bool:
        """False when a difference does not follow what is there: a complete publication is needed."""
        head, before = publication.head, self._posted.get(publication.experiment.number)
        if before is not None and before.head.incarnation != head.incarnation:
            before = None  # versions of different incarnations do not compare
        if publication.complete:
            if before is None or before.head.pub_no < head.pub_no:
                fresh = _Posted(head=head, experiment=publication.experiment, grid=publication.grid)
                self._post(fresh, publication)
            return True
        if before is None or before.head.pub_no != publication.previous_pub_no:
            return False
        before.head = head
        if publication.reconfigured:
            before.experiment = publication.experiment
        before.grid = publication.grid or before.grid
        self._post(before, publication)
        return True

    def _post(self, posted: _Posted, publication: Publication) -> None:
        size = publication.head.arms * _PAIR_BYTES
        for vector in posted.vectors.values():
            vector.extend(bytes(max(0, size - len(vector))))
        for policy, arm_no, serves, rewards in publication.cells:
            if 0 < arm_no <= publication.head.arms:
                at = (arm_no - 1) * _PAIR_BYTES
                pack_into(_PAIR, posted.vectors[policy], at, serves, rewards)
        self._posted[publication.experiment.number] = posted
        self._change_no += 1

    async def read(self, number: int, have: Head | None) -> Published | None:
        """One experiment, None when it is not published; its configuration and grid only where they are not those of
        `have`."""
        posted = self._posted.get(number)
        if posted is None:
            return None
        head = posted.head
        known = have is not None and (head.incarnation, head.config_no, head.grid_no) == (
            have.incarnation,
            have.config_no,
            have.grid_no,
        )
        return Published(
            head=head,
            experiment=None if known else posted.experiment,
            posteriors={policy: bytes(vector) for policy, vector in posted.vectors.items()},
            grid=None if known else posted.grid,
            halt=self._halted_as(number),
        )

    async def versions(self, numbers: Sequence[int]) -> dict[int, Version]:
        """How far each of these experiments is; what is not published is at version 0."""
        return {number: self._version(number) for number in numbers}

    def _version(self, number: int) -> Version:
        posted, halt = self._posted.get(number), self._halted_as(number) or ""
        if posted is None:
            return Version("", 0, halt)
        return Version(posted.head.incarnation, posted.head.pub_no, halt)

    def _halted_as(self, number: int) -> State | None:
        there = self._halts.get(number)
        return there.state if there else None

    async def index(self) -> BoardIndex:
        """What is published."""
        incarnation, numbers = self._complete or ("", ())
        complete = self._complete is not None
        return BoardIndex(complete, incarnation, self._change_no, numbers, self._beats)

    async def complete(self, incarnation: str, experiments: Sequence[int]) -> None:
        """Declare that everything is published."""
        self._complete = (incarnation, tuple(experiments))
        self._change_no += 1

    async def halt(self, number: int, state: State, guard_epoch: int = 0, note: str = "") -> None:
        """Make serving treat an experiment as stopped or rolled back, at once and whatever else it is told."""
        there = self._halts.get(number)
        later = state is State.STOPPED or there is None or there.guard_epoch < guard_epoch
        if later and (there is None or there.state is not State.STOPPED):
            self._halts[number] = Halt(state, guard_epoch, note)
        self._change_no += 1

    async def unhalt(self, number: int) -> None:
        """Forget that an experiment was halted."""
        if self._halts.pop(number, None):
            self._change_no += 1

    async def release(self, number: int, guard_epoch: int) -> None:
        """End the halt of a rollback that was made before this guard epoch; a stop stands."""
        there = self._halts.get(number)
        if there and there.state is State.ROLLED_BACK and there.guard_epoch < guard_epoch:
            del self._halts[number]
            self._change_no += 1

    async def halted(self, number: int) -> Halt | None:
        """What halts an experiment; None where nothing does."""
        return self._halts.get(number)

    async def beat(self) -> None:
        """Say that everything folded so far is on the board."""
        self._beats += 1
