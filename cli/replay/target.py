"""From a command's words to the policy that is to be evaluated."""

from collections.abc import Sequence
from pathlib import Path

import msgspec
import numpy as np

from pullarm.domain.errors import invalid
from pullarm.policies.grid import Grid
from pullarm.policies.registry import build
from replay.log import LogHead
from replay.targets import SIMPLE, Belief, Learned, Target, posterior

LEARNED = ("thompson", "egreedy", "ucb")


class _Learned(msgspec.Struct, forbid_unknown_fields=True):
    serves: float
    rewards: float


_Arms = dict[str, _Learned]


class _Version(msgspec.Struct, forbid_unknown_fields=True):
    """What was learnt from one posterior version on: by one policy, or by each."""

    version: int
    arms: _Arms | None = None
    policies: dict[str, _Arms] = {}
    grid: list[float] = []

    def of(self, policy: str) -> _Arms:
        arms = self.policies.get(policy) if self.arms is None else self.arms
        if arms is None:
            raise invalid(
                "--posterior", f"version {self.version} has nothing that {policy} learned"
            )
        return arms


def target(head: LogHead, name: str, params: Sequence[str], posterior_file: Path | None) -> Target:
    """The policy `name` for a log with this head; raises InvalidInput or DatasetError naming what is wrong."""
    if name in SIMPLE:
        if params or posterior_file is not None:
            raise invalid("--param" if params else "--posterior", f"is not for {name}")
        return SIMPLE[name]()
    if name not in LEARNED:
        raise invalid("--policy", f"{name!r} is none of {', '.join((*SIMPLE, *LEARNED))}")
    if posterior_file is None:
        raise invalid("--posterior", f"is needed for {name}: what it has learned")
    learned = {each.version: _belief(head, each, name) for each in _read(posterior_file)}
    try:
        return Learned(build(name, dict(map(_param, params))), learned)
    except ValueError as error:
        raise invalid("--param", str(error)) from error


def _param(said: str) -> tuple[str, float | str]:
    name, equals, value = said.partition("=")
    if not equals:
        raise ValueError(f"{said!r} is not NAME=VALUE")
    try:
        return name, float(value)
    except ValueError:
        return name, value


def _belief(head: LogHead, said: _Version, policy: str) -> Belief:
    arms = said.of(policy)
    known = posterior(head.arms, {arm: (of.serves, of.rewards) for arm, of in arms.items()})
    try:
        grid = Grid(number=1, points=np.array(said.grid)) if said.grid else None
    except ValueError as error:
        raise invalid("--posterior", f"version {said.version}: {error}") from error
    return Belief(known, grid)


def _read(file: Path) -> Sequence[_Version]:
    try:
        said = msgspec.json.decode(file.read_bytes(), type=list[_Version] | _Arms)
    except OSError as error:
        raise invalid("--posterior", f"{file} cannot be read: {error.strerror}") from error
    except msgspec.DecodeError as error:
        raise invalid("--posterior", f"{file}: {error}") from error
    return said if isinstance(said, list) else [_Version(0, arms=said)]
