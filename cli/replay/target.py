"""From a command's words to the policy that is to be evaluated."""

from collections.abc import Sequence
from pathlib import Path

import msgspec
import numpy as np

from pullarm.domain.errors import invalid
from pullarm.policies.grid import Grid
from pullarm.policies.registry import build
from replay.errors import DatasetError
from replay.evaluation import NOT_LOGGING
from replay.log import LogHead
from replay.targets import SIMPLE, Belief, Learned, Target, posterior

LEARNED = ("thompson", "egreedy", "ucb")
POLICY_HELP = f"One of {', '.join(SIMPLE)}, {', '.join(LEARNED)}."
POSTERIOR_HELP = (
    'Of a policy that learns: a JSON file with {"ARM": {"serves": 10, "rewards": 2}}, or a list of '
    '{"version": 7, "arms": {...}}, each from that posterior version of the log on, as `posteriors` writes.'
)
LOGGED_BY_HELP = (
    "Use only rows that this policy chose; may be repeated. Without it all but control's own."
)


class _Learned(msgspec.Struct, forbid_unknown_fields=True):
    serves: float
    rewards: float


class _Version(msgspec.Struct, forbid_unknown_fields=True):
    version: int
    arms: dict[str, _Learned]
    grid: list[float] = []


def target(head: LogHead, name: str, params: Sequence[str], posterior_file: Path | None) -> Target:
    """The policy `name` for a log with this head; raises InvalidInput or DatasetError naming what is wrong."""
    if name in SIMPLE:
        if params or posterior_file is not None:
            raise invalid("--param" if params else "--posterior", f"is not for {name}")
        return SIMPLE[name]()
    if name not in LEARNED:
        raise invalid("--policy", f"{name!r} is none; {POLICY_HELP}")
    if posterior_file is None:
        raise invalid("--posterior", f"is needed for {name}: what it has learned")
    learned = {each.version: _belief(head, each) for each in _read(posterior_file)}
    try:
        return Learned(build(name, dict(map(_param, params))), learned)
    except ValueError as error:
        raise invalid("--param", str(error)) from error


def logged_by(head: LogHead, named: Sequence[str] | None) -> Sequence[str]:
    """The policies whose rows are used; raises DatasetError where none is left."""
    policies = named or [each for each in head.policies if each not in NOT_LOGGING]
    if not policies:
        raise DatasetError(
            f"{head.name} has only rows of {', '.join(head.policies)}, which support no other policy; "
            "name one with --logged-by to use them all the same"
        )
    return policies


def _param(said: str) -> tuple[str, float | str]:
    name, equals, value = said.partition("=")
    if not equals:
        raise ValueError(f"{said!r} is not NAME=VALUE")
    try:
        return name, float(value)
    except ValueError:
        return name, value


def _belief(head: LogHead, said: _Version) -> Belief:
    known = posterior(head.arms, {arm: (of.serves, of.rewards) for arm, of in said.arms.items()})
    try:
        grid = Grid(number=1, points=np.array(said.grid)) if said.grid else None
    except ValueError as error:
        raise invalid("--posterior", f"version {said.version}: {error}") from error
    return Belief(known, grid)


def _read(file: Path) -> Sequence[_Version]:
    try:
        said = msgspec.json.decode(file.read_bytes(), type=list[_Version] | dict[str, _Learned])
    except OSError as error:
        raise invalid("--posterior", f"{file} cannot be read: {error.strerror}") from error
    except msgspec.DecodeError as error:
        raise invalid("--posterior", f"{file}: {error}") from error
    return said if isinstance(said, list) else [_Version(0, said)]
