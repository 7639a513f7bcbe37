"""The log of an experiment over REST: its decisions as events, page by page, and all of them as a file."""

import io
from collections import deque
from collections.abc import AsyncIterator, Iterator
from contextlib import aclosing
from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING, Annotated

from litestar import Controller, get
from litestar.di import NamedDependency, Provide
from litestar.openapi.spec import OpenAPIResponse, Operation
from litestar.params import QueryParameter
from litestar.response import Stream

from control.access import needs
from control.analysis import FILTERED, Analysis, Asked
from control.experiments import PATH
from control.filters import OfBucket
from pullarm.domain.access import Role
from pullarm.domain.analysis import DecisionFilter, LoggedEvent, Shown
from pullarm.domain.assignment import MICRO
from pullarm.domain.decision import Reason
from pullarm.domain.experiment import POLICY_NAMES, Experiment
from pullarm.storage.postgres.export import PostgresExport, in_turn
from replay.log_file import LogFormat, log_writer

if TYPE_CHECKING:
    from typing_extensions import Buffer

_CSV = "text/csv"
_TYPES = {
    LogFormat.CSV: "text/csv; charset=utf-8",
    LogFormat.JSONL: "application/x-ndjson",
    LogFormat.PARQUET: "application/vnd.apache.parquet",
}

Cursor = Annotated[
    str | None,
    QueryParameter(
        name="cursor",
        pattern="^[0-9a-f]{32}$",
        description="Where the page goes on: the `next` of the page before.",
    ),
]
PageLimit = Annotated[
    int, QueryParameter(name="limit", ge=1, le=1_000, description="Events of a page, at most.")
]
OfFormat = Annotated[LogFormat, QueryParameter(name="format", description="Of the file.")]


@dataclass(frozen=True, slots=True, kw_only=True)
class SlotView:
    """What one slot showed."""

    slot: int
    arm_no: int
    id: str | None
    """None for a candidate that was no arm."""
    propensity: float
    rewards: dict[str, float]
    """By kind, what they are worth from 0 to 1."""


@dataclass(frozen=True, slots=True, kw_only=True)
class EventView:
    """One decision and what came of it."""

    uid: str
    """`GET /api/decisions/UID` says why it came out so."""
    decided_at: datetime
    unit: str
    bucket: int
    cohort: int
    assigned: str
    acting: str
    reason: str
    slots: tuple[SlotView, ...]
    attributes: dict[str, str]
    request_id: str
    voided: bool
    """It was logged and never answered."""
    allocation_epoch: int
    config_no: int
    posterior_version: int


@dataclass(frozen=True, slots=True, kw_only=True)
class EventsView:
    """Events, newest first."""

    experiment: str
    events: tuple[EventView, ...]
    next: str | None
    """The cursor of the next page, which may be there though this one is empty: a page looks at so many decisions
    only, however rare it is what is looked for. None where there is no more."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Sought:
    """Decisions of one experiment."""

    experiment: Experiment
    filter: DecisionFilter


async def seek(
    asked: NamedDependency[Asked],
    of_policy: NamedDependency[int | None],
    of_arms: NamedDependency[tuple[int, ...] | None],
    of_cohort: NamedDependency[int | None],
    bucket: OfBucket = None,
) -> Sought:
    """For the routes that go by decision."""
    return Sought(
        experiment=asked.experiment,
        filter=DecisionFilter(
            since=None if asked.whole else asked.span.since,
            until=None if asked.whole else asked.span.until,
            policy=of_policy,
            arms=of_arms,
            cohort=of_cohort,
            bucket=bucket,
        ),
    )


@dataclass
class _Formats(Operation):
    """Documents every format of a file."""

    def __post_init__(self) -> None:
        for answer in (self.responses or {}).values():
            if isinstance(answer, OpenAPIResponse) and answer.content and _CSV in answer.content:
                others = (kind for kind in _TYPES.values() if not kind.startswith(_CSV))
                answer.content |= dict.fromkeys(others, answer.content[_CSV])


class Log(Controller):
    """What was decided, one by one."""

    path = f"{PATH}/{{reference:str}}"
    tags = ("Log",)
    opt = needs(Role.VIEWER)
    dependencies = FILTERED | {"sought": Provide(seek)}

    @get("/events")
    async def events(
        self,
        sought: NamedDependency[Sought],
        analysis: NamedDependency[Analysis],
        cursor: Cursor = None,
        limit: PageLimit = 100,
    ) -> EventsView:
        """List decisions with what came of them, newest first."""
        before = None if cursor is None else bytes.fromhex(cursor)
        page = await analysis.readers.decisions.page(
            sought.experiment.number, sought.filter, limit=limit, before=before
        )
        names = {arm.arm_no: arm.arm_id for arm in sought.experiment.arms}
        return EventsView(
            experiment=sought.experiment.id,
            events=tuple(_event(each, names) for each in page.events),
            next=page.next.hex() if page.next else None,
        )

    @get("/export", media_type=_CSV, operation_class=_Formats)
    async def export(
        self,
        sought: NamedDependency[Sought],
        analysis: NamedDependency[Analysis],
        format: OfFormat = LogFormat.CSV,
    ) -> Stream:
        """Stream every decision as a row for each slot, oldest first, as `pullarm export` writes them.

        Each page of rows is as the ledger was when it was read. Memory does not grow with the log.
        """
        name = f"{sought.experiment.key}.{format}"
        return Stream(
            _file(analysis.readers.export, sought, format),
            # As a header, since a handler's own media type goes before that of what it returns.
            headers={
                "Content-Type": _TYPES[format],
                "Content-Disposition": f'attachment; filename="{name}"',
            },
        )


async def _file(
    export: PostgresExport, sought: Sought, log_format: LogFormat
) -> AsyncIterator[bytes]:
    written = _Written()
    kinds = await export.kinds(sought.experiment)
    writer = log_writer(log_format, written, kinds)
    async with aclosing(export.pages(sought.experiment, kinds, sought.filter)) as pages:
        async for page in pages:
            await in_turn(writer.write, page)
            for piece in written.taken():
                yield piece
    writer.close()
    for piece in written.taken():
        yield piece


class _Written(io.BytesIO):
    """A stream that is written on and taken from piece by piece; it tells its place in the whole."""

    def __init__(self) -> None:
        super().__init__()
        self._pieces: deque[bytes] = deque()
        self._length = 0

    def write(self, piece: "Buffer", /) -> int:
        self._pieces.append(bytes(piece))
        self._length += len(self._pieces[-1])
        return len(self._pieces[-1])

    def tell(self) -> int:
        return self._length

    def taken(self) -> Iterator[bytes]:
        """What was written since it was taken last, in the pieces that it was written in."""
        while self._pieces:
            yield self._pieces.popleft()


def _event(event: LoggedEvent, names: dict[int, str]) -> EventView:
    return EventView(
        uid=event.uid.hex(),
        decided_at=event.decided_at,
        unit=event.unit,
        bucket=event.bucket,
        cohort=event.cohort,
        assigned=POLICY_NAMES[event.assigned],
        acting=POLICY_NAMES[event.acting],
        reason=Reason(event.reason).name,
        slots=tuple(_slot(slot, each, names) for slot, each in enumerate(event.slots, start=1)),
        attributes=dict(event.attributes),
        request_id=event.request_id,
        voided=event.voided,
        allocation_epoch=event.allocation_epoch,
        config_no=event.config_no,
        posterior_version=event.pub_no,
    )


def _slot(slot: int, shown: Shown, names: dict[int, str]) -> SlotView:
    return SlotView(
        slot=slot,
        arm_no=shown.arm_no,
        id=names.get(shown.arm_no),
        propensity=shown.weight / shown.total,
        rewards={kind: credit / MICRO for kind, credit in shown.credits.items()},
    )
