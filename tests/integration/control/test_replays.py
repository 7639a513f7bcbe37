"""Replay reports over REST: listed, and read as pages that can do nothing."""

from http import HTTPStatus
from pathlib import Path

import msgspec

from pullarm.storage.postgres import Database
from pullarm.storage.redis import RedisBoard
from replay.reports import PAGE, RESULTS
from tests.control_api import Clock, app_over, client_of, problem


async def test_reports_are_listed_and_read(
    database: Database, board: RedisBoard, clock: Clock, tmp_path: Path
) -> None:
    folder = tmp_path / "front page"
    folder.mkdir()
    said = {"way": "truth", "data": "ml-1m", "runs": 20, "policies": {"ucb": {}, "control": {}}}
    (folder / RESULTS).write_bytes(msgspec.json.encode(said))
    (folder / PAGE).write_text("<!doctype html><title>Ünïcode</title>", encoding="utf-8")
    async with client_of(app_over(database, board, clock, replays=tmp_path)) as client:
        (report,) = (await client.get("/api/replays")).json()["replays"]
        page = await client.get(f"/api/replays/{report['id']}")
        absent = await client.get("/api/replays/nothing")
    assert (report["title"], report["runs"]) == ("ml-1m", 20)
    assert report["policies"] == ["ucb", "control"]
    assert page.text == (folder / PAGE).read_text(encoding="utf-8")
    assert page.headers["content-type"] == "text/html; charset=utf-8"
    policy = page.headers["content-security-policy"].split("; ")
    assert "sandbox" in policy
    assert "default-src 'none'" in policy
    assert not any(each.startswith("script-src") or "allow-" in each for each in policy)
    assert problem(absent, HTTPStatus.NOT_FOUND) == {}


async def test_without_a_folder_there_are_none(
    database: Database, board: RedisBoard, clock: Clock
) -> None:
    async with client_of(app_over(database, board, clock)) as client:
        assert (await client.get("/api/replays")).json() == {"replays": []}
