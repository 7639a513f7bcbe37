"""`pullarm try`: what a policy would choose, by its own code, from a posterior that is given."""

import secrets
from typing import Annotated

import msgspec
import numpy as np
from rich.console import Console
from rich.table import Table
from rich.text import Text
from typer import Argument, Option

from pullarm.domain.assignment import MICRO
from pullarm.domain.errors import invalid
from pullarm.domain.experiment import POLICY_NUMBERS
from pullarm.policies.base import Offer
from pullarm.policies.draw import choose, integer_weights
from pullarm.policies.posterior import Posterior
from pullarm.policies.registry import build, check

_MOST = 10_000


def command(
    policy: Annotated[str, Argument(help=f"One of {', '.join(POLICY_NUMBERS)}.")],
    arms: Annotated[str, Option(help="The candidates in the caller's order, as a,b,c.")],
    posterior: Annotated[
        str, Option(help="Rewards of serves by arm, as a=3/40,b=5/50; others were never served.")
    ] = "",
    params: Annotated[str, Option(help="Of the policy, as floor=0.1,prior_beta=9.")] = "",
    slots: Annotated[int, Option(min=1, max=100, help="How many to choose.")] = 1,
    uid: Annotated[
        str | None, Option(help="32 hex digits that the draw depends on, random by default.")
    ] = None,
    json: Annotated[bool, Option("--json", help="One JSON object instead of a table.")] = False,
) -> None:
    """Show every candidate's probability and draw once; without a platform, and nothing is logged."""
    names = _names(arms)
    serves, rewards = _sums(names, posterior)
    given = Posterior(serves_micro=serves, rewards_micro=rewards)
    key = bytes.fromhex(_uid(uid))
    built = build(*_policy(policy, params))
    prepared = built.prepare(given, grid=built.plan_grid(given, None))
    rows = list(range(len(names)))
    weights = prepared.weights(Offer.of(rows))
    integers = integer_weights(weights, built.floor)
    chosen = [names[each.row] for each in choose(built, prepared, rows, slots=slots, uid=key)]
    found = [
        {
            "arm": name,
            "rewards": float(rewards[row] / MICRO),
            "serves": float(serves[row] / MICRO),
            "weight": float(weights[row]),
            "propensity": int(integers[row]) / int(integers.sum()),
        }
        for row, name in enumerate(names)
    ]
    if json:
        answer = {"policy": policy, "uid": key.hex(), "candidates": found, "chosen": chosen}
        print(msgspec.json.encode(answer).decode())
        return
    table = Table("arm", box=None)
    for head in ("rewards", "serves", "weight", "propensity"):
        table.add_column(head, justify="right")
    for each in found:
        table.add_row(
            *(Text(value if isinstance(value, str) else f"{value:.6g}") for value in each.values())
        )
    console = Console()
    console.print(table)
    console.print(Text(f"chosen by uid {key.hex()}: {', '.join(chosen)}"), soft_wrap=True)


def _policy(name: str, params: str) -> tuple[str, dict[str, float | str]]:
    if name not in POLICY_NUMBERS:
        raise invalid("POLICY", f"must be one of {', '.join(POLICY_NUMBERS)}, not {name!r}")
    values = {key: _value(text) for key, text in _pairs("--params", params).items()}
    try:
        return name, check(name, values)
    except ValueError as error:
        raise invalid("--params", str(error)) from error


def _value(text: str) -> float | str:
    try:
        return float(text)
    except ValueError:
        return text


def _names(arms: str) -> list[str]:
    names = [name.strip() for name in arms.split(",")]
    if not 1 <= len(names) <= _MOST or not all(names) or len(set(names)) < len(names):
        raise invalid("--arms", f"must be 1 to {_MOST:,} different names with commas between")
    return names


def _sums(names: list[str], posterior: str) -> tuple[np.ndarray, np.ndarray]:
    """Serves and rewards in millionths, (n_arms,) each."""
    sums = np.zeros((2, len(names)), dtype=np.int64)
    for name, text in _pairs("--posterior", posterior).items():
        if name not in names:
            raise invalid("--posterior", f"{name!r} is none of --arms")
        rewards, _, serves = text.partition("/")
        try:
            pair = float(serves), float(rewards)
        except ValueError as error:
            raise invalid("--posterior", f"{name}={text} is not REWARDS/SERVES, as 3/40") from error
        if not 0 <= pair[1] <= pair[0] <= 1e12:
            raise invalid("--posterior", f"{name}={text}: rewards must be from 0 to serves")
        sums[:, names.index(name)] = [round(value * MICRO) for value in pair]
    return sums[0], sums[1]


def _pairs(option: str, text: str) -> dict[str, str]:
    pairs = [pair.partition("=") for pair in text.split(",") if pair.strip()]
    if not all(equals for _, equals, _ in pairs):
        raise invalid(option, f"{text!r} is no list of NAME=VALUE with commas between")
    return {name.strip(): value.strip() for name, _, value in pairs}


def _uid(given: str | None) -> str:
    if given is None:
        return secrets.token_hex(16)
    if len(given) != 32 or not all(c in "0123456789abcdef" for c in given.lower()):
        raise invalid("--uid", f"must be 32 hex digits, not {given[:80]!r}")
    return given
