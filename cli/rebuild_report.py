"""What `pullarm rebuild` says: as one JSON object, or as tables."""

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

import msgspec
from rich.console import Console
from rich.table import Table
from rich.text import Text

from pullarm.domain.experiment import Experiment
from pullarm.domain.rebuild import PastRebuild, Rebuilt
from replay.rebuilt import ArmFigures, arm_changes

_ROWS = 60
"""Arms in the table; all are in the object."""


class JsonReport:
    """One object a report."""

    def changes(self, experiment: Experiment, rebuilt: Rebuilt, *, done: bool) -> None:
        """What changed, or would."""
        changes = [
            asdict(change) | {"before": _flat(change.before), "after": _flat(change.after)}
            for change in arm_changes(experiment, rebuilt)
        ]
        self._print(
            experiment,
            rebuild=rebuilt.rebuild_no,
            done=done,
            as_of_fold=rebuilt.fold_no,
            credits=rebuilt.credits,
            held_ms=rebuilt.held_ms,
            changes=changes,
        )

    def past(self, experiment: Experiment, rebuilds: Sequence[PastRebuild]) -> None:
        """Past rebuilds, oldest first."""
        self._print(experiment, rebuilds=[each._asdict() for each in rebuilds])

    def _print(self, experiment: Experiment, **said: Any) -> None:
        named = {"experiment": {"id": experiment.id, "key": experiment.key}}
        print(msgspec.json.encode(named | said).decode())


def _flat(figures: ArmFigures) -> dict[str, Any]:
    return {
        "serves": figures.serves,
        "rewards": figures.rewards,
        **figures.belief._asdict(),
        "weight": figures.weight,
    }


@dataclass(frozen=True, slots=True)
class TableReport:
    """Tables on a console."""

    console: Console

    def changes(self, experiment: Experiment, rebuilt: Rebuilt, *, done: bool) -> None:
        """What changed, or would; the arms whose rewards changed most first, if there are too many."""
        changes = arm_changes(experiment, rebuilt)
        largest = sorted(changes, key=lambda c: -abs(c.after.rewards - c.before.rewards))[:_ROWS]
        table = Table(box=None)
        for name in ("policy", "arm", "serves", "rewards", "alpha", "beta", "mean", "weight"):
            table.add_column(name, justify="left" if name in ("policy", "arm") else "right")
        for change in largest:
            before, after = _flat(change.before), _flat(change.after)
            said = [_pair(before[name], after[name]) for name in before]
            table.add_row(change.policy, Text(change.arm_id or str(change.arm_no)), *said)
        if len(changes) > len(largest):
            table.caption = f"and {len(changes) - len(largest)} more, which --json lists"
        if changes:
            self.console.print(table)
        became = "changed" if done else "would change"
        self.console.print(
            f"rebuild {rebuilt.rebuild_no} of {experiment.id} {experiment.key}: {became} {len(changes)} arms of "
            f"policies and {rebuilt.credits} credits, as of fold {rebuilt.fold_no}"
            + (f"; folds waited for {rebuilt.held_ms:,} ms" if done else ""),
            soft_wrap=True,
        )

    def past(self, experiment: Experiment, rebuilds: Sequence[PastRebuild]) -> None:
        """Past rebuilds, oldest first."""
        table = Table(box=None)
        for name in ("no", "at", "by", "fold", "what", "now", "note"):
            table.add_column(name)
        for each in rebuilds:
            lifted = f"restored at fold {each.lifted_fold}" if each.lifted_fold else "left out"
            what = _what(each)
            table.add_row(
                *(str(each.rebuild_no), f"{each.at:%Y-%m-%d %H:%M:%SZ}", Text(each.actor)),
                *(str(each.fold_no), Text(what), lifted if _leaves_out(each) else "-"),
                Text(each.note),
            )
        self.console.print(f"rebuilds of {experiment.id} {experiment.key}: {len(rebuilds)}")
        if rebuilds:
            self.console.print(table)


def _pair(before: float | None, after: float | None) -> str:
    was, now = ("-" if each is None else f"{each:.6g}" for each in (before, after))
    return was if was == now else f"{was} -> {now}"


def _leaves_out(rebuild: PastRebuild) -> bool:
    return any((rebuild.source is not None, rebuild.from_at, rebuild.folds))


def _what(rebuild: PastRebuild) -> str:
    if rebuild.restored is not None:
        return f"restored rebuild {rebuild.restored}"
    if not _leaves_out(rebuild):
        return "repaired"
    said = []
    if rebuild.source is not None:
        said.append(f"rewards of source {rebuild.source!r}")
    if rebuild.from_at is not None and rebuild.to_at is not None:
        said.append(
            f"from {rebuild.from_at:%Y-%m-%dT%H:%M:%SZ} to {rebuild.to_at:%Y-%m-%dT%H:%M:%SZ}"
        )
    if rebuild.folds is not None:
        said.append(f"brought by folds {rebuild.folds[0]} to {rebuild.folds[1]}")
    return ", ".join(said)
