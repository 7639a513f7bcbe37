"""House rules of the dashboard's modules, read from their text."""

import json
import re
from pathlib import Path

import pytest

from tests.browser.routes import ROUTES

ROOT = Path(__file__).resolve().parents[2]
WEB = ROOT / "web"
MODULES = sorted(
    path.relative_to(WEB).as_posix()
    for path in WEB.rglob("*.js")
    if path.relative_to(WEB).parts[0] != "vendor"
)
PAGES = ("index.html", "preview.html")
DOCUMENTS = ("api.js", "theme.js", "samples/preview.js")
"""The modules that deal with a document as a whole: where the API is, its theme, a page without components."""
COMMENT = re.compile(r"/\*.*?\*/|^\s*//[^\n]*", re.DOTALL | re.MULTILINE)
OTHERS = re.compile(
    r"\b(fetch|importScripts)\s*\(|\bnew\s+(EventSource|WebSocket|XMLHttpRequest|Worker)\b|\bsendBeacon\b"
)
"""What speaks to a server."""
OUTSIDE = re.compile(
    r"\bdocument\.(querySelector|getElement|body|head|documentElement|write|adoptedStyleSheets)"
    r"|\b(parentElement|parentNode|parentRoot|getRootNode|insertAdjacent\w+|outerHTML)\b"
)
"""What reaches beyond a component's own tree."""
UNSAFE = re.compile(r"\b(innerHTML|unsafeHTML|unsafeSVG|unsafeCSS|eval|new Function)\b|javascript:")
"""What would make text of others markup, or code."""
IMPORTED = re.compile(r"""(?:\bfrom|\bimport)\s*\(?\s*["']([^"']+)["']""")

STATIC = re.compile(r"""(?:\bfrom|\bimport)\s*["']([^"']+)["']""")
"""Imports but those that are made when they are wanted."""


def code(name: str) -> str:
    """A module without its comments."""
    return COMMENT.sub("", (WEB / name).read_text(encoding="utf-8"))


@pytest.mark.parametrize("name", [each for each in MODULES if each != "api.js"])
def test_one_module_speaks_to_the_control_plane(name: str) -> None:
    assert OTHERS.findall(code(name)) == []


@pytest.mark.parametrize("name", [each for each in MODULES if each not in DOCUMENTS])
def test_a_component_stays_within_itself(name: str) -> None:
    assert OUTSIDE.findall(code(name)) == []


@pytest.mark.parametrize("name", MODULES)
def test_text_of_others_is_never_markup(name: str) -> None:
    assert UNSAFE.findall(code(name)) == []


def test_every_module_is_reached_from_a_page() -> None:
    pages = "".join((WEB / each).read_text(encoding="utf-8") for each in PAGES)
    reached, waiting = set[str](), {each for each in MODULES if f'src="/{each}"' in pages}
    while waiting:
        name = waiting.pop()
        reached.add(name)
        named = [each for each in IMPORTED.findall(code(name)) if each.startswith(".")]
        found = {((WEB / name).parent / each).resolve().relative_to(WEB) for each in named}
        waiting |= {each.as_posix() for each in found} - reached
    assert reached == set(MODULES)


def test_every_page_is_looked_at() -> None:
    """By axe-core, and by whoever makes screenshots."""
    told = re.findall(r"path: /\^(.*?)\$/", code("router.js"))
    paths = [route.path for route in ROUTES]
    assert told
    for each in told:
        pattern = each.replace("(?<", "(?P<")
        assert any(re.fullmatch(pattern, path) for path in paths), each


def test_pages_agree_on_their_libraries() -> None:
    pages = [(WEB / each).read_text(encoding="utf-8") for each in PAGES]
    maps = {re.search(r'"importmap">(.*?)</script>', each, re.DOTALL) for each in pages}
    assert len({found.group(1) for found in maps if found}) == 1


def test_what_every_page_needs_is_asked_for_at_once() -> None:
    page = (WEB / "index.html").read_text(encoding="utf-8")
    found = re.search(r'"importmap">(.*?)</script>', page, re.DOTALL)
    assert found is not None
    named = json.loads(found.group(1))["imports"]
    needed, waiting = set[str](), {"/app.js"}
    while waiting:
        name = waiting.pop()
        needed.add(name)
        imports = STATIC.findall((WEB / name[1:]).read_text(encoding="utf-8"))
        waiting |= {resolved(each, name, named) for each in imports} - needed
    asked = re.findall(r'<link rel="modulepreload" href="([^"]+)"', page)
    assert sorted([*asked, "/app.js"]) == sorted(needed)


def resolved(name: str, importer: str, named: dict[str, str]) -> str:
    """The address of what a module imports."""
    if name.startswith("."):
        return (
            "/" + (WEB / importer[1:]).parent.joinpath(name).resolve().relative_to(WEB).as_posix()
        )
    prefix = max((each for each in named if name.startswith(each)), key=len)
    return named[prefix] + name.removeprefix(prefix)


def test_modules_stay_readable() -> None:
    lengths = {name: len((WEB / name).read_text().splitlines()) for name in MODULES}
    assert {name for name, lines in lengths.items() if lines > 350} == set()
