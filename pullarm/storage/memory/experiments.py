"""Experiments and their history in memory."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta

from pullarm.domain import cohorts
from pullarm.domain.admission import Seat
from pullarm.domain.arms import first_seen
from pullarm.domain.audit import Author
from pullarm.domain.cohorts import Seen
from pullarm.domain.errors import NotFound, VersionMismatch, invalid
from pullarm.domain.experiment import Aggregation, Experiment, Exposure, Spec, State
from pullarm.domain.groups import ALL, FREEING, Group, seats
from pullarm.domain.ports import REGISTRAR, NewExperiment, Revision
from pullarm.domain.transitions import become, difference
from pullarm.storage.memory.trail import MemoryTrail

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


@dataclass(frozen=True, slots=True, kw_only=True)
class Change:
    """One row of an experiment's history."""

    action: str
    actor: str
    became: Experiment


class MemoryExperiments:
    """The experiment store."""

    def __init__(self, trail: MemoryTrail | None = None) -> None:
        self._trail = trail or MemoryTrail()
        self._history: dict[int, list[Change]] = {}
        self._last = 0
        everybody = Group(name=ALL, salt=bytes(16), created_at=_EPOCH)
        self.groups: dict[str, Group] = {ALL: everybody}
        """By name."""

    async def create(self, draft: NewExperiment, now_ms: int) -> Experiment:
        """Store a draft; raises InvalidInput where its key is taken, or its group has no room for it."""
        if any(draft.key == experiment.key for experiment in self._newest()):
            raise invalid("key", f"{draft.key!r} is taken by another experiment")
        self._last += 1
        experiment = Experiment(
            number=self._last,
            id=draft.id,
            key=draft.key,
            state=State.DRAFT,
            spec=draft.spec,
            config_no=1,
            allocation_epoch=1,
            guard_epoch=1,
            salt=draft.salt,
            buckets=draft.buckets,
            arms=draft.arms,
            seats=self._seats(draft.spec, None),
            cohorts=cohorts.declared(draft.spec.cohorts, ()),
            created_at=at(now_ms),
            updated_at=at(now_ms),
        )
        return self.store(draft.action, draft.author, experiment, draft.cloned_from)

    def _newest(self) -> list[Experiment]:
        return [changes[-1].became for changes in self._history.values()]

    def _seats(self, spec: Spec, mine: Experiment | None) -> tuple[Seat, ...]:
        others = {
            each.id: seat
            for each in self._newest()
            for seat in each.seats
            if seat.group == spec.group and each.state not in FREEING
            if mine is None or each.id != mine.id
        }
        return seats(spec, mine.seats if mine else (), self.groups, others)

    def store(
        self, action: str, author: Author, became: Experiment, cloned_from: str = ""
    ) -> Experiment:
        """Keep a version as the newest, and in the audit trail what it changed."""
        changes = self._history.setdefault(became.number, [])
        before, after = difference(changes[-1].became if changes else None, became)
        changes.append(Change(action=action, actor=author.actor, became=became))
        self._trail.record(
            author,
            became.updated_at,
            action,
            (before, {"cloned_from": cloned_from, **after} if cloned_from else after),
            experiment=became.number,
            config_no=became.config_no,
        )
        return became

    async def skip_numbers(self, upto: int) -> None:
        """Give out no experiment number up to this one."""
        self._last = max(self._last, upto)

    async def get(self, reference: str) -> Experiment:
        """By id or key; raises NotFound."""
        by_key = {experiment.key: experiment for experiment in self._newest()}
        by_id = {experiment.id: experiment for experiment in self._newest()}
        found = by_id.get(reference) or by_key.get(reference)
        if found is None:
            raise NotFound(f"there is no experiment {reference!r}")
        return found

    async def all(self) -> list[Experiment]:
        """All, newest first, without their arms."""
        newest = sorted(self._newest(), key=lambda e: (e.created_at, e.number), reverse=True)
        return [replace(experiment, arms=()) for experiment in newest]

    async def due(self, now_ms: int) -> list[tuple[str, str]]:
        """(id, action) of what the schedules of experiments have owed up to now, oldest first."""
        owed = [(each.id, each.due(at(now_ms))) for each in self._newest()]
        return [(each, action) for each, action in owed if action is not None]

    async def revise(self, experiment: Experiment, change: Revision, now_ms: int) -> Experiment:
        """Store a new version of exactly the given one; raises VersionMismatch when it is no longer the newest,
        InvalidInput where its group has no room for it.
        """
        newest = self._history[experiment.number][-1].became
        if newest.config_no != experiment.config_no:
            raise VersionMismatch
        was, spec = newest.spec, change.spec
        same = (was.group, was.group_share) == (spec.group, spec.group_share)
        placed = newest.seats if same else self._seats(spec, newest)
        revised = replace(become(newest, change, at(now_ms)), seats=placed)
        return self.store(change.action, change.author, revised)

    async def register_arms(self, number: int, arm_ids: Sequence[str], now_ms: int) -> int:
        """Make first-seen candidates arms of an open catalogue, up to its max_arms; how many were new."""
        if number not in self._history:
            return 0
        newest = self._history[number][-1].became
        added = first_seen(
            arm_ids,
            newest.spec,
            known={arm.arm_id for arm in newest.arms},
            live=len(newest.live()),
            last=len(newest.arms),
        )
        if added:
            arms, config_no = (*newest.arms, *added), newest.config_no + 1
            grown = replace(newest, arms=arms, config_no=config_no, updated_at=at(now_ms))
            self.store("register_arms", REGISTRAR, grown)
        return len(added)

    def buckets_of(self, number: int, allocation_epoch: int) -> bytes | None:
        """The table of buckets of an experiment's epoch; None where it had no such epoch."""
        tables = {
            each.became.allocation_epoch: each.became.buckets for each in self._history[number]
        }
        return tables.get(allocation_epoch)

    async def register_cohorts(self, number: int, seen: Sequence[Seen], now_ms: int) -> int:
        """Number first-seen values of the attribute that makes cohorts, up to its max_values; how many were new."""
        if number not in self._history:
            return 0
        newest = self._history[number][-1].became
        added = cohorts.first_seen(seen, newest.spec.cohorts, newest.cohorts)
        if added:
            grown = replace(
                newest,
                cohorts=newest.cohorts + added,
                config_no=newest.config_no + 1,
                updated_at=at(now_ms),
            )
            self.store("register_cohorts", REGISTRAR, grown)
        return len(added)

    def exposure(self, number: int) -> Exposure:
        """When an experiment's decisions count as shown, as it was created with."""
        return self._history[number][0].became.spec.reward.exposure

    def aggregation(self, number: int) -> Aggregation:
        """How an experiment's rewards are credited: as it was created, whatever was configured since."""
        return self._history[number][0].became.spec.reward.aggregation

    def history(self, number: int) -> list[Change]:
        """Every version of an experiment, oldest first."""
        return list(self._history[number])


def at(ms: int) -> datetime:
    """The moment, in UTC."""
    return _EPOCH + timedelta(milliseconds=ms)
