"""`pullarm up` with all of its processes."""

import asyncio
import json
import os
import signal
import stat
import sys
from asyncio.subprocess import PIPE, STDOUT, Process
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from cli import orphans
from cli.state import read_environment
from tests.e2e.upstream import PATIENCE_S

START_S = 300  # the first start compiles the kernels


@asynccontextmanager
async def up(folder: Path, **variables: str) -> AsyncIterator[tuple[Process, str]]:
    """A running platform on free ports, and all it printed until it was up."""
    options = ["--state", str(folder)]
    options += [item for name in ("grpc", "http", "metrics") for item in (f"--{name}-port", "0")]
    command = [sys.executable, "-m", "cli", "up", *options]
    process = await asyncio.create_subprocess_exec(
        *command, stdout=PIPE, stderr=STDOUT, env=os.environ | variables
    )
    try:
        yield process, await printed_until(process, "logs ")
    finally:
        if process.returncode is None:
            process.terminate()
        await process.communicate()


async def printed_until(process: Process, end: str) -> str:
    """What it prints up to a line with this in it, or everything where it ends before."""
    assert process.stdout is not None
    text = ""
    async with asyncio.timeout(START_S):
        async for line in process.stdout:
            text += line.decode()
            if end in text.splitlines()[-1]:
                break
    return text


def process_ids(text: str) -> dict[str, int]:
    """The processes that said they are ready, by name."""
    lines = [line.split() for line in text.splitlines() if " is ready (pid " in line]
    return {words[0]: int(words[-1].rstrip(")")) for words in lines}


NAMES = {"postgres", "valkey", "serving-0", "serving-1", "control", "worker"}


@pytest.mark.parametrize("sent", [signal.SIGINT, signal.SIGTERM])
async def test_up_runs_everything_and_stops_it_on_a_signal(
    state_folder: Path, sent: signal.Signals
) -> None:
    async with up(state_folder) as (process, text):
        ids = process_ids(text)
        assert ids.keys() == NAMES, text
        environment = read_environment(state_folder)
        assert environment["PULLARM_GRPC_ADDRESS"] in text
        kept = state_folder / "admin.token"
        assert kept.read_text().strip() == environment["PULLARM_TOKEN"]
        assert environment["PULLARM_TOKEN"] in text
        assert stat.S_IMODE(kept.stat().st_mode) == 0o600
        process.send_signal(sent)
        assert await asyncio.wait_for(process.wait(), PATIENCE_S) == 0
    assert not any(orphans.birth(pid) for pid in ids.values())
    assert read_environment(state_folder) == {}


async def test_killed_up_leaves_nothing_and_starts_again(state_folder: Path) -> None:
    async with up(state_folder) as (process, text):
        ids = process_ids(text)
        token = read_environment(state_folder)["PULLARM_TOKEN"]
        process.kill()
        async with asyncio.timeout(PATIENCE_S):
            while any(orphans.birth(pid) for pid in ids.values()):
                await asyncio.sleep(0.02)
    async with up(state_folder) as (_, text):
        assert process_ids(text).keys() == NAMES, text
        assert read_environment(state_folder)["PULLARM_TOKEN"] == token
        assert token not in text  # it is shown once


async def test_killed_processes_come_back(state_folder: Path) -> None:
    killed = {"serving-0", "control", "worker"}
    async with up(state_folder) as (process, text):
        for name in killed:
            os.kill(process_ids(text)[name], signal.SIGKILL)
        again = "".join([await printed_until(process, "is ready again") for _ in killed])
    assert {line.split()[0] for line in again.splitlines() if "is ready again" in line} == killed
    assert {line.split()[0] for line in again.splitlines() if "status -9" in line} == killed


async def test_own_servers_and_keys_replace_the_embedded_ones(
    state_folder: Path, database_url: str, redis_url: str
) -> None:
    keys = json.dumps({"deployment": "ab" * 16, "sign": 1, "keys": {"1": "cd" * 32}})
    own = {"DATABASE_URL": database_url, "REDIS_URL": redis_url, "PULLARM_DECISION_KEYS": keys}
    async with up(state_folder, **own) as (_, text):
        environment = read_environment(state_folder)
        assert process_ids(text).keys() == NAMES - {"postgres", "valkey"}, text
    assert environment["DATABASE_URL"] == database_url
    assert environment["QUEUE_REDIS_URL"] == environment["REDIS_URL"] == redis_url
    assert not (state_folder / "postgres").exists()
    assert environment["PULLARM_DECISION_KEYS"] == keys
    assert "PULLARM_DECISION_KEYS_FILE" not in environment
    assert not (state_folder / "decision_keys.json").exists()
