"""The dashboard's files as browsers and caches see them."""

import json
import re
from base64 import b64encode
from collections.abc import AsyncIterator
from hashlib import sha256
from http import HTTPStatus
from pathlib import Path

import pytest
from httpx import AsyncClient

from control.settings import Limits
from pullarm.storage.postgres import Database
from pullarm.storage.redis import RedisBoard
from tests.control_api import Clock, app_over, client_of

IMPORT_MAP = '{"imports": {"lib": "/vendor/lib@1.2.3/lib.js", "lib/": "/vendor/lib@1.2.3/"}}'
PAGE = f'<html><script type="importmap">{IMPORT_MAP}</script></html>'
BROWSER = {"Accept": "text/html,application/xhtml+xml,*/*;q=0.8"}


@pytest.fixture
def web(tmp_path: Path) -> Path:
    folder = tmp_path / "web"
    files = {
        "index.html": PAGE,
        "no-libraries.html": "<html>run make vendor</html>",
        "app.js": "export const answer = 42;\n" * 100,
        "pages/one.js": "one",
        "vendor/lib@1.2.3/lib.js": "lib",
        ".hidden": "x",
        "../secret.txt": "x",
    }
    for name, text in files.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(text)
    (folder / "link.js").symlink_to(tmp_path / "secret.txt")
    return folder


@pytest.fixture
async def anybody(
    database: Database, board: RedisBoard, clock: Clock, web: Path
) -> AsyncIterator[AsyncClient]:
    """A browser that is not logged in."""
    app = app_over(database, board, clock, web=web, limits=Limits(per_address=3))
    async with client_of(app, None) as client:
        yield client


@pytest.mark.parametrize("path", ["/", "/experiments/exp_abc", "/experiments/v1.2", "/a/b/c"])
async def test_every_address_a_browser_goes_to_is_the_page(anybody: AsyncClient, path: str) -> None:
    answer = await anybody.get(path, headers=BROWSER)
    assert (answer.status_code, answer.text) == (HTTPStatus.OK, PAGE)
    assert answer.headers["content-type"] == "text/html; charset=utf-8"


async def test_the_import_map_is_the_one_inline_script_that_runs(anybody: AsyncClient) -> None:
    allowed = b64encode(sha256(IMPORT_MAP.encode()).digest()).decode()
    policy = (await anybody.get("/")).headers["content-security-policy"]
    assert f"script-src 'self' 'sha256-{allowed}';" in policy
    assert "unsafe" not in policy


@pytest.mark.parametrize(
    "path",
    [
        "/nothing.js",
        "/experiments/nothing.js",
        "/.hidden",
        "/link.js",
        "/pages",
        "/pages/../../secret.txt",
        "/%2e%2e/secret.txt",
        "/x%00",
        "/" + "x" * 5000,
    ],
)
async def test_nothing_else_is_served(anybody: AsyncClient, path: str) -> None:
    assert (await anybody.get(path)).status_code == HTTPStatus.NOT_FOUND


async def test_unknown_routes_of_the_api_are_no_pages(anybody: AsyncClient) -> None:
    for path in ("/api", "/api/nothing", "/api/experiments/x/nothing"):
        assert (await anybody.get(path, headers=BROWSER)).status_code == HTTPStatus.NOT_FOUND


async def test_what_names_its_version_is_kept_and_all_else_asked_for_anew(
    anybody: AsyncClient, web: Path
) -> None:
    kept = await anybody.get("/vendor/lib@1.2.3/lib.js")
    assert "immutable" in kept.headers["cache-control"]
    first = await anybody.get("/app.js")
    assert first.headers["cache-control"] == "no-cache"
    assert first.headers["content-type"] == "text/javascript; charset=utf-8"
    known = {"If-None-Match": first.headers["etag"]}
    again = await anybody.get("/app.js", headers=known)
    assert (again.status_code, again.content) == (HTTPStatus.NOT_MODIFIED, b"")
    (web / "app.js").write_text("changed")
    changed = await anybody.get("/app.js", headers=known)
    assert (changed.status_code, changed.text) == (HTTPStatus.OK, "changed")


async def test_files_are_packed_for_those_who_unpack(anybody: AsyncClient) -> None:
    plain = await anybody.get("/app.js", headers={"Accept-Encoding": "identity"})
    packed = await anybody.get("/app.js", headers={"Accept-Encoding": "br, gzip"})
    assert "content-encoding" not in plain.headers
    assert packed.headers["content-encoding"] == "gzip"
    assert packed.content == plain.content
    assert int(packed.headers["content-length"]) < len(plain.content) / 10
    assert packed.headers["vary"] == "Accept-Encoding"


async def test_a_page_may_be_of_more_files_than_an_address_may_ask_requests(
    anybody: AsyncClient,
) -> None:
    answers = [await anybody.get("/pages/one.js") for _ in range(20)]
    assert {each.status_code for each in answers} == {HTTPStatus.OK}


async def test_a_page_without_its_libraries_says_how_to_get_them(
    anybody: AsyncClient, web: Path
) -> None:
    library = web / "vendor" / "lib@1.2.3"
    library.rename(web / "away")
    answer = await anybody.get("/experiments/x", headers=BROWSER)
    assert answer.status_code == HTTPStatus.SERVICE_UNAVAILABLE
    assert "make vendor" in answer.text
    (web / "away").rename(library)
    assert (await anybody.get("/experiments/x", headers=BROWSER)).text == PAGE


async def test_the_dashboard_may_be_turned_off(
    database: Database, board: RedisBoard, clock: Clock
) -> None:
    async with client_of(app_over(database, board, clock, web=None)) as client:
        for path in ("/", "/index.html", "/experiments/x"):
            answer = await client.get(path, headers=BROWSER)
            assert answer.status_code == HTTPStatus.NOT_FOUND
        assert (await client.get("/api/experiments")).status_code == HTTPStatus.OK


async def test_what_is_served_is_all_the_page_names(client: AsyncClient) -> None:
    """The real page: its files, and the libraries of the versions that were fetched."""
    page = await client.get("/")
    assert page.status_code == HTTPStatus.OK, page.text
    [text] = re.findall(r'<script type="importmap">(.*?)</script>', page.text, re.DOTALL)
    modules = [each for each in json.loads(text)["imports"].values() if not each.endswith("/")]
    named = re.findall(r'(?:src|href)="(/[^"]+\.\w+)"', page.text)
    assert modules
    for path in [*modules, *named]:
        answer = await client.get(path)
        assert answer.status_code == HTTPStatus.OK, path
        assert answer.content
