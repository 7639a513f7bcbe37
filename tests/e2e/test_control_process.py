import asyncio
import os
import signal
import sys
from asyncio.subprocess import PIPE, Process
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from pathlib import Path

import httpx
import pytest

from pullarm.free_port import free_port
from pullarm.tls import CLIENT, SERVER
from tests.tls import CA, FOLDER, OTHER_CA, files, put, replace, shown


async def pullarm(*arguments: str, **environment: str) -> Process:
    """The command as a process."""
    return await asyncio.create_subprocess_exec(
        sys.executable,
        *("-m", "cli", *arguments),
        env=os.environ | {"COLUMNS": "200", **environment},
        stdout=PIPE,
        stderr=PIPE,
    )


async def run(*arguments: str, **environment: str) -> tuple[int | None, str, str]:
    """Status, output and errors of the command."""
    process = await pullarm(*arguments, **environment)
    output, errors = await process.communicate()
    return process.returncode, output.decode(), errors.decode()


@asynccontextmanager
async def control(
    folder: Path, database_url: str, redis_url: str, port: int, **environment: str
) -> AsyncIterator[tuple[str, Process]]:
    """A running control plane: its address and its process."""
    ready = folder / "ready"
    process = await pullarm(
        "control",
        DATABASE_URL=database_url,
        REDIS_URL=redis_url,
        PULLARM_HTTP_ADDRESS=f"127.0.0.1:{port}",
        PULLARM_READY_FILE=str(ready),
        **environment,
    )
    try:
        async with asyncio.timeout(120):
            while not ready.exists() and process.returncode is None:
                await asyncio.sleep(0.05)
        yield f"http://127.0.0.1:{port}", process
    finally:
        if process.returncode is None:
            process.send_signal(signal.SIGTERM)
        _, errors = await process.communicate()
        assert process.returncode == 0, errors.decode()
        assert "Traceback" not in errors.decode()


@pytest.fixture
async def token(database_url: str) -> str:
    """An admin's, made the way the first one is."""
    status, output, errors = await run(
        *("token", "create", "--name", "test", "--role", "admin"), DATABASE_URL=database_url
    )
    assert status == 0, errors
    assert "a token of role admin" in errors
    return output.strip()


@pytest.fixture
def port() -> Iterator[int]:
    with free_port("127.0.0.1") as port:
        yield port


async def test_launch_status_and_stop(
    tmp_path: Path, database_url: str, redis_url: str, port: int, token: str
) -> None:
    arms = tmp_path / "arms.csv"
    arms.write_text("id,label\na,First\nb,Second\n", encoding="utf-8")
    async with control(tmp_path, database_url, redis_url, port) as (url, _):
        here = {"PULLARM_CONTROL_URL": url, "PULLARM_TOKEN": token}
        empty = await run("status", **here)
        assert (empty[0], "no experiment yet" in empty[1]) == (0, True)

        options = ("--duration", "14", "--traffic", "0.8", "--policies", "thompson,control")
        launched = await run(
            *("launch", "--name", "[Bandit] v1", *options, "--arms", str(arms)), **here
        )
        assert launched[0] == 0, launched[2]
        experiment = launched[1].split()[0]
        assert f"{url}/experiments/{experiment}" in launched[1]
        async with httpx.AsyncClient(base_url=url, trust_env=False, timeout=60) as client:
            headers = {"Authorization": f"Bearer {token}"}
            stored = (await client.get(f"/api/experiments/{experiment}", headers=headers)).json()
        assert (stored["state"], stored["traffic_pct"], stored["duration_days"]) == (
            "running",
            0.8,
            14.0,
        )
        named = [(arm["id"], arm["label"]) for arm in stored["arms"]]
        assert named == [("a", "First"), ("b", "Second")]

        listed = await run("status", "--control-url", url, PULLARM_TOKEN=token)
        assert listed[0] == 0, listed[2]
        assert "bandit-v1" in listed[1]
        shown = await run("status", "bandit-v1", **here)
        assert "[Bandit] v1: running" in shown[1]
        assert "50.0 %" in shown[1]

        stopped = await run("stop", experiment, **here)
        assert (stopped[0], "is stopped since" in stopped[1]) == (0, True)


async def test_a_refusal_names_the_fields_and_an_absent_control_plane_the_option(
    tmp_path: Path, database_url: str, redis_url: str, port: int, token: str
) -> None:
    known = {"PULLARM_TOKEN": token}
    async with control(tmp_path, database_url, redis_url, port) as (url, _):
        nobody = await run("status", "--control-url", url, "--state", str(tmp_path))
        assert nobody[0] == 1
        assert "a token is needed" in nobody[2]
        assert "PULLARM_TOKEN" in nobody[2]
        refused = await run(
            *("launch", "--name", "x", "--traffic", "80", "--policies", "tompson"),
            *("--control-url", url),
            **known,
        )
        assert refused[0] == 1
        assert "traffic_pct: is a fraction from 0 to 1: 0.8 means 80 %" in refused[2]
        assert "policies[0].name: must be one of" in refused[2]
        unknown = await run("stop", "nothing", "--control-url", url, **known)
        assert (unknown[0], "no experiment 'nothing'" in unknown[2]) == (1, True)
    away = await run("status", "--control-url", url)
    assert away[0] == 1
    assert "does not answer" in away[2]
    assert "--control-url" in away[2]


async def test_over_tls_by_who_presents_a_certificate_and_with_one_that_is_renewed(
    tmp_path: Path, database_url: str, redis_url: str, port: int, token: str
) -> None:
    tls = files(tmp_path, client_ca=CA)
    server = dict(zip(SERVER, map(str, tls), strict=True))
    paths = (CA, FOLDER / "client.pem", FOLDER / "client.key")
    client = dict(zip(CLIENT, map(str, paths), strict=True))
    here = {"PULLARM_CONTROL_URL": f"https://127.0.0.1:{port}", "PULLARM_TOKEN": token}
    async with control(tmp_path, database_url, redis_url, port, **server):
        names = ("client", "stranger", "")
        assert [await shown(port, present=name) for name in names] == ["server", None, None]
        listed, refused = await run("status", **here, **client), await run("status", **here)
        assert (listed[0], "no experiment yet" in listed[1]) == (0, True)
        assert (refused[0], "does not answer" in refused[2]) == (1, True)
        put(tls, "renewed")
        assert await shown(port, present="client") == "renewed"
        assert tls.client_ca is not None
        replace(tls.client_ca, OTHER_CA.read_bytes())
        assert [await shown(port, present=name) for name in names] == [None, "renewed", None]


async def test_a_taken_port_is_named(
    tmp_path: Path, database_url: str, redis_url: str, port: int
) -> None:
    async with control(tmp_path, database_url, redis_url, port):
        second = await run(
            "control",
            DATABASE_URL=database_url,
            REDIS_URL=redis_url,
            PULLARM_HTTP_ADDRESS=f"127.0.0.1:{port}",
        )
    assert second[0] == 1
    assert f"PULLARM_HTTP_ADDRESS: cannot listen on 127.0.0.1 port {port}" in second[2]
    assert "Traceback" not in second[2]


async def test_a_request_in_flight_is_finished_before_the_process_ends(
    tmp_path: Path, database_url: str, redis_url: str, port: int, token: str
) -> None:
    body = b'{"name": "In flight"}'
    head = (
        "POST /api/experiments HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\n"
        f"Authorization: Bearer {token}\r\nContent-Length: {len(body)}\r\n\r\n"
    )
    async with control(tmp_path, database_url, redis_url, port) as (url, process):
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        writer.write(head.encode() + body[:5])
        await writer.drain()
        async with httpx.AsyncClient(base_url=url, trust_env=False, timeout=60) as client:
            assert (await client.get("/healthz")).status_code == 200
        process.send_signal(signal.SIGTERM)
        while await accepts(port):
            await asyncio.sleep(0.02)
        writer.write(body[5:])
        answer = await reader.read()
        writer.close()
        assert answer.startswith(b"HTTP/1.1 201 ")
        assert await process.wait() == 0


async def accepts(port: int) -> bool:
    """Whether anybody listens."""
    try:
        _, writer = await asyncio.open_connection("127.0.0.1", port)
    except OSError:
        return False
    writer.close()
    return True


async def test_a_live_stream_ends_with_its_control_plane(
    tmp_path: Path, database_url: str, redis_url: str, port: int, token: str
) -> None:
    headers = {"Authorization": f"Bearer {token}"}
    async with (
        control(tmp_path, database_url, redis_url, port) as (url, process),
        httpx.AsyncClient(base_url=url, headers=headers, trust_env=False, timeout=60) as client,
    ):
        made = (await client.post("/api/experiments", json={"name": "Watched"})).json()
        listed = await run("events", made["key"], PULLARM_CONTROL_URL=url, PULLARM_TOKEN=token)
        assert listed == (0, "", "")
        async with client.stream("GET", f"/api/experiments/{made['id']}/live") as stream:
            assert stream.headers["content-type"].startswith("text/event-stream")
            lines = stream.aiter_lines()
            async for line in lines:
                if line == "event: summary":
                    break
            process.send_signal(signal.SIGTERM)
            # To its end: a connection that was cut would be an error.
            async for line in lines:
                assert line.startswith(("id: ", "data: ", "event: ", ":")) or not line
        await process.wait()
