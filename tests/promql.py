"""Which metrics the expressions in `deploy` ask for: a reader of the part of PromQL that is used there."""

import json
import re
from pathlib import Path
from typing import Any

import yaml

DEPLOY = Path(__file__).resolve().parents[1] / "deploy"
PROMETHEUS = DEPLOY / "prometheus"
GRAFANA = DEPLOY / "grafana"
Json = Any

_FUNCTIONS = {"rate", "increase", "delta", "histogram_quantile", "absent", "sum", "max", "min"}
_GROUPED = re.compile(r"\b(?:by|without|on|ignoring|group_left|group_right)\s*\([\w\s,]*\)")
_OPERATORS = {"and", "or", "unless"}
_MATCHER = r'\w+\s*(?:=~|!~|!=|=)\s*"(?:[^"\\]|\\.)*"'
_TOKENS = re.compile(
    rf"""\s*(?:
      (?P<matchers>\{{\s*{_MATCHER}(?:\s*,\s*{_MATCHER})*\s*\}})
    | (?P<range>\[(?:\d+[smhd]|\$__rate_interval)\])
    | (?P<number>\d+(?:\.\d+)?(?:e\d+)?(?!\w))
    | (?P<word>[a-zA-Z_:][\w:]*)
    | (?P<sign>==|!=|>=|<=|[-+*/<>,()])
    )\s*""",
    re.VERBOSE,
)


def metrics(expression: str) -> set[str]:
    """The names of the series; raises ValueError where it cannot be read."""
    found: set[str] = set()
    tokens = _read(_GROUPED.sub(" ", expression))
    depth = 0
    for place, (kind, text) in enumerate(tokens):
        depth += {"(": 1, ")": -1}.get(text, 0)
        if depth < 0:
            raise ValueError(f"closed too often: {expression}")
        if kind != "word" or text in _OPERATORS:
            continue
        if tokens[place + 1 : place + 2] != [("sign", "(")]:
            found.add(text)
        elif text not in _FUNCTIONS:
            raise ValueError(f"no function {text}: {expression}")
    if depth:
        raise ValueError(f"not closed: {expression}")
    return found


def _read(expression: str) -> list[tuple[str, str]]:
    tokens, place = [], 0
    while place < len(expression):
        token = _TOKENS.match(expression, place)
        if token is None or token.lastgroup is None:
            raise ValueError(f"not read from {expression[place:]!r}")
        tokens.append((token.lastgroup, token[token.lastgroup]))
        place = token.end()
    return tokens


def jobs(expression: str) -> list[str]:
    """The jobs it names."""
    return re.findall(r'job="([^"]+)"', expression)


def read(path: Path) -> dict[str, Json]:
    """A YAML file."""
    told: dict[str, Json] = yaml.safe_load(path.read_text())
    return told


def alerts() -> list[dict[str, Json]]:
    """All rules."""
    groups = read(PROMETHEUS / "alerts.yaml")["groups"]
    return [rule for group in groups for rule in group["rules"]]


def asked() -> list[str]:
    """The expressions of the dashboard."""
    panels = json.loads((GRAFANA / "pullarm.json").read_text())["panels"]
    return [target["expr"] for panel in panels for target in panel.get("targets", ())]
