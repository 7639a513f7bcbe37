"""Exclusion groups in memory, with the experiments that are in them."""

from dataclasses import replace

from pullarm.domain.assignment import MICRO
from pullarm.domain.audit import Author, Difference
from pullarm.domain.errors import NotFound, invalid
from pullarm.domain.groups import ALL, FREEING, Group, held_out
from pullarm.storage.memory.experiments import MemoryExperiments, at
from pullarm.storage.memory.trail import MemoryTrail


class MemoryGroups:
    """The group store."""

    def __init__(self, experiments: MemoryExperiments, trail: MemoryTrail) -> None:
        self._experiments = experiments
        self._trail = trail

    async def create(self, group: Group, author: Author) -> None:
        """Store a new group; raises InvalidInput where its name is taken."""
        groups = self._experiments.groups
        if group.name in groups:
            raise invalid("name", f"{group.name!r} is taken by another group")
        groups[group.name] = group
        change: Difference = {}, {"group": group.name, "holdout_pct": group.holdout_micro / MICRO}
        self._trail.record(author, group.created_at, "create_group", change)

    async def all(self) -> list[Group]:
        """All, by name."""
        return [group for _, group in sorted(self._experiments.groups.items())]

    async def hold_out(self, name: str, holdout_micro: int, author: Author, now_ms: int) -> Group:
        """Change a group's holdout, with a new version of each of its experiments; raises NotFound."""
        groups = self._experiments.groups
        if name not in groups:
            raise NotFound(f"there is no group {name!r}")
        before = groups[name].holdout_micro
        groups[name] = replace(groups[name], holdout_micro=holdout_micro)
        for newest in await self._experiments.all():
            experiment = await self._experiments.get(newest.id)
            member = name == ALL or any(seat.group == name for seat in experiment.seats)
            if member and experiment.state not in FREEING:
                self._experiments.store(
                    "hold_out",
                    author,
                    replace(
                        experiment,
                        seats=held_out(groups[name], experiment.seats),
                        config_no=experiment.config_no + 1,
                        updated_at=at(now_ms),
                    ),
                )
        change = (
            {"group": name, "holdout_pct": before / MICRO},
            {"group": name, "holdout_pct": holdout_micro / MICRO},
        )
        self._trail.record(author, at(now_ms), "hold_out", change)
        return groups[name]
