"""From a policy's name and parameters to the policy."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

from pullarm.policies.parameters import Value, complete, defaults

if TYPE_CHECKING:
    from pullarm.policies.base import Policy

__all__ = ["build", "check", "defaults"]


def check(name: str, params: Mapping[str, Value]) -> dict[str, Value]:
    """All parameters of policy `name`, defaults filled in; ValueError lists every problem."""
    return complete(name, params)


def build(name: str, params: Mapping[str, Value]) -> Policy:
    """The policy `name` with `params`, defaults for the rest; ValueError lists every problem."""
    values: dict[str, Any] = dict(check(name, params))
    # Imported here because numba takes a second to import, and whoever only checks
    # parameters (the control plane) never draws.
    from pullarm.policies.control import Control
    from pullarm.policies.egreedy import Egreedy
    from pullarm.policies.thompson import Thompson
    from pullarm.policies.ucb import Ucb

    policies: Mapping[str, Callable[..., Policy]] = {
        "control": Control,
        "thompson": Thompson,
        "egreedy": Egreedy,
        "ucb": Ucb,
    }
    return policies[name](**values)
