"""The templates of deploy/kubernetes filled in without helm: the few actions they keep to, an error for any other."""

import json
import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import yaml

CHART = Path(__file__).resolve().parents[1] / "deploy" / "kubernetes"
_RANGE = re.compile(
    r"[ \t]*\{\{- range \$name, \$value := ([\w.]+) \}\}(.*?)\n[ \t]*\{\{- end \}\}", re.DOTALL
)
_BLOCK = re.compile(r"\s*\{\{- toYaml ([\w.]+) \| nindent (\d+) \}\}")
_VALUE = re.compile(r"\{\{ ([\w.$]+)( \| quote)? \}\}")


def values() -> dict[str, Any]:
    """The chart's own."""
    return dict(yaml.safe_load((CHART / "values.yaml").read_text(encoding="utf-8")))


def manifests(given: Mapping[str, Any], *, release: str = "pullarm") -> Iterator[dict[str, Any]]:
    """Every object that the chart makes; raises KeyError for a value that is not there."""
    scope = {"Values": given, "Release": {"Name": release}}
    for path in sorted((CHART / "templates").iterdir()):
        yield from yaml.safe_load_all(_filled(path.read_text(encoding="utf-8"), scope))


def _filled(text: str, scope: Mapping[str, Any]) -> str:
    def repeated(found: re.Match[str]) -> str:
        entries = _at(scope, found[1]).items()
        return "".join(_values(found[2], {"$name": k, "$value": v}) for k, v in sorted(entries))

    def block(found: re.Match[str]) -> str:
        margin = "\n" + " " * int(found[2])
        return margin + yaml.safe_dump(_at(scope, found[1])).strip().replace("\n", margin)

    filled = _values(_BLOCK.sub(block, _RANGE.sub(repeated, text)), scope)
    if "{{" in filled:
        raise ValueError(f"an action that tests/chart.py does not know: {filled.split('{{', 1)[1]}")
    return filled


def _values(text: str, scope: Mapping[str, Any]) -> str:
    def one(found: re.Match[str]) -> str:
        value = _at(scope, found[1])
        return json.dumps(str(value)) if found[2] else str(value)

    return _VALUE.sub(one, text)


def _at(scope: Mapping[str, Any], path: str) -> Any:
    value: Any = scope
    for name in path.lstrip(".").split("."):
        value = value[name]
    return value
