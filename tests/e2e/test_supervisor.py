"""The supervisor with real processes: restarts, ordered stop, and nothing left behind."""

import asyncio
import ctypes
import json
import os
import signal
import socket
import subprocess
import sys
from asyncio.subprocess import PIPE, Process
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import Path

import pytest

from cli import orphans
from cli.launcher import SCHED_SETATTR
from cli.process import Program, Urgency
from cli.state import open_state
from cli.supervisor import StartFailed, Supervisor
from tests.e2e.supervised import always, idle

PATIENCE_S = 120


@asynccontextmanager
async def supervised(folder: Path) -> AsyncIterator[Process]:
    """The small platform in a process of its own."""
    command = [sys.executable, "-m", "tests.e2e.supervised", str(folder)]
    process = await asyncio.create_subprocess_exec(*command, stdout=PIPE)
    try:
        yield process
    finally:
        if process.returncode is None:
            process.terminate()
        await process.communicate()


async def pids(process: Process) -> dict[str, int]:
    """The next report of the small platform's process ids."""
    assert process.stdout is not None
    async with asyncio.timeout(PATIENCE_S):
        shown: dict[str, int] = json.loads(await process.stdout.readline())
    return shown


async def until(condition: Callable[[], bool]) -> None:
    async with asyncio.timeout(PATIENCE_S):
        while not condition():
            await asyncio.sleep(0.02)


def descendants(pid: int) -> set[int]:
    """Every process below this one, as the system knows them now."""
    found = set()
    for folder in Path("/proc").glob("[0-9]*"):
        try:
            parent = int((folder / "stat").read_text().rpartition(")")[2].split()[1])
        except OSError:
            continue  # it has ended meanwhile
        if parent == pid:
            found |= {int(folder.name)} | descendants(int(folder.name))
    return found


async def test_nothing_is_left_after_the_supervisor_was_killed(state_folder: Path) -> None:
    async with supervised(state_folder) as process:
        await pids(process)
        below = descendants(process.pid)
        process.kill()
        await until(lambda: not any(orphans.birth(pid) for pid in below))
    assert len(below) > 3, "PostgreSQL's own processes count too"
    async with supervised(state_folder) as process:
        assert await pids(process)


@pytest.mark.parametrize("name", ["postgres", "valkey", "idle"])
async def test_killed_program_comes_back_and_the_others_stay(state_folder: Path, name: str) -> None:
    async with supervised(state_folder) as process:
        before = await pids(process)
        os.kill(before[name], signal.SIGKILL)
        after = await pids(process)
        assert {each for each in before if before[each] != after[each]} == {name}


async def test_stop_goes_from_the_last_stage_to_the_first(state_folder: Path) -> None:
    async with supervised(state_folder) as process:
        below = descendants(process.pid) if await pids(process) else set()
        process.terminate()
        assert await process.wait() == 0
        assert not any(orphans.birth(pid) for pid in below)
    lines = (state_folder / "logs" / "supervisor.log").read_text().splitlines()
    stopped = [line.split()[1] for line in lines if " stopped " in line]
    assert stopped == ["idle", "valkey", "postgres"]
    assert list((state_folder / "run").iterdir()) == []


@pytest.fixture
async def supervisor(tmp_path: Path) -> AsyncIterator[Supervisor]:
    state = open_state(tmp_path)
    supervisor = Supervisor(logs=state.logs, notes=state.run)
    yield supervisor
    await supervisor.stop()


def slice_ns(pid: int) -> int:
    """How long a process keeps a processor that others want; 0 where the system does not say (before Linux 6.12)."""
    attributes = ctypes.create_string_buffer(48)
    call = SCHED_SETATTR[os.uname().machine] + 1  # sched_getattr comes behind it
    assert ctypes.CDLL(None).syscall(call, pid, attributes, len(attributes), 0) == 0
    return int.from_bytes(attributes.raw[24:32], sys.byteorder)


def niceness(pid: int) -> list[int]:
    """Of a process, and of its session where processors are shared out among sessions."""
    session = Path(f"/proc/{pid}/autogroup")
    of_session = session.read_text().split()[-1:] if session.exists() else []
    return [os.getpriority(os.PRIO_PROCESS, pid), *map(int, of_session)]


def may_go_before_others() -> bool:
    """Whether the system lets us ask for a negative niceness."""
    return (
        subprocess.run([sys.executable, "-c", "import os; os.nice(-1)"], check=False).returncode
        == 0
    )


async def test_what_callers_wait_for_goes_first(supervisor: Supervisor) -> None:
    programs = [replace(idle(each.name), urgency=each) for each in Urgency]
    await supervisor.start(*programs)
    found = {Urgency[name]: pid for name, pid in supervisor.pids().items()}
    launched = [Path(f"/proc/{pid}/cmdline") for pid in found.values()]
    await until(lambda: all(each.read_bytes().startswith(b"/bin/sleep") for each in launched))
    usual = slice_ns(found[Urgency.USUAL])
    assert slice_ns(found[Urgency.AWAITED]) == min(100_000, usual)
    assert slice_ns(found[Urgency.BEHIND_THE_SCENES]) == usual
    own = os.getpriority(os.PRIO_PROCESS, 0)
    assert set(niceness(found[Urgency.USUAL])) <= {own, 0}
    for urgency, given in (
        (Urgency.AWAITED, -5 if may_go_before_others() else 0),
        (Urgency.BEHIND_THE_SCENES, 5),
    ):
        of_process, *of_session = niceness(found[urgency])
        assert of_process == own + given
        assert of_session in ([], [given])


def shell(name: str, script: str, ready_timeout_s: float = 60) -> Program:
    argv = ("/bin/sh", "-c", script)
    return Program(name=name, argv=argv, ready=never, stage=0, ready_timeout_s=ready_timeout_s)


async def never() -> bool:
    return False


async def test_program_that_keeps_ending_at_start_is_named_with_its_log(
    supervisor: Supervisor, tmp_path: Path
) -> None:
    broken = shell("broken", "echo the reason it gave; exit 3")
    with pytest.raises(StartFailed) as failure:
        await supervisor.start(idle("healthy"), broken)
    message = str(failure.value)
    assert message.startswith("broken ended with status 3, 5 times in a row")
    assert "the reason it gave" in message
    assert str(tmp_path / "logs" / "broken.log") in message


async def test_program_that_is_never_ready_is_named(supervisor: Supervisor) -> None:
    with pytest.raises(StartFailed, match=r"^slow was not ready within 0 s"):
        await supervisor.start(shell("slow", "sleep 600", ready_timeout_s=0.3))
    assert supervisor.pids() == {}


async def test_program_that_ignores_its_signal_is_killed(supervisor: Supervisor) -> None:
    stubborn = Program(
        name="stubborn",
        argv=("/bin/sh", "-c", "trap '' TERM; while :; do sleep 0.1; done"),
        ready=always,
        stage=0,
        grace_s=0.3,
    )
    await supervisor.start(stubborn)
    pid = supervisor.pids()["stubborn"]
    async with asyncio.timeout(PATIENCE_S):
        await supervisor.stop()
    assert orphans.birth(pid) == ""


async def test_supervision_goes_on_when_nobody_reads_its_report(tmp_path: Path) -> None:
    def broken(message: str) -> None:
        raise BrokenPipeError

    state = open_state(tmp_path)
    supervisor = Supervisor(logs=state.logs, notes=state.run, report=broken)
    await supervisor.start(idle("idle"))
    first = supervisor.pids()["idle"]
    os.kill(first, signal.SIGKILL)
    await until(lambda: supervisor.pids().get("idle", first) != first)
    await supervisor.stop()
    assert "idle stopped" in (tmp_path / "logs" / "supervisor.log").read_text()


async def test_program_that_cannot_be_started_again_is_named_and_tried_until_it_can(
    tmp_path: Path,
) -> None:
    said: list[str] = []
    state = open_state(tmp_path)
    supervisor = Supervisor(logs=state.logs, notes=state.run, report=said.append)
    await supervisor.start(idle("idle"))
    first = supervisor.pids()["idle"]
    state.logs.rename(tmp_path / "aside")
    os.kill(first, signal.SIGKILL)
    await until(lambda: sum("idle cannot be started ([Errno 2]" in each for each in said) >= 3)
    (tmp_path / "aside").rename(state.logs)
    await until(lambda: any("idle is ready again" in each for each in said))
    delays = [float(each.split()[-2]) for each in said if "again in" in each]
    assert delays == sorted(delays)
    assert delays[0] < delays[-1]
    await supervisor.stop()


async def test_a_retired_program_is_gone_for_good_and_its_name_is_free(
    supervisor: Supervisor,
) -> None:
    await supervisor.start(idle("old"), idle("other"))
    before = supervisor.pids()
    await supervisor.retire("old")
    assert supervisor.pids() == {"other": before["other"]}
    assert not Path(f"/proc/{before['old']}").exists()
    await supervisor.start(idle("old"))
    os.kill(supervisor.pids()["old"], signal.SIGKILL)
    await until(lambda: supervisor.pids().keys() == {"old", "other"})  # supervised like the first
    assert supervisor.pids()["other"] == before["other"]


async def test_program_runs_on_where_it_cannot_be_noted(tmp_path: Path) -> None:
    said: list[str] = []
    state = open_state(tmp_path)
    supervisor = Supervisor(logs=state.logs, notes=state.run, report=said.append)
    state.run.rmdir()
    await supervisor.start(idle("idle"))
    assert any("idle.pid cannot be written" in each for each in said)
    assert supervisor.pids()
    await supervisor.stop()


async def test_program_whose_log_cannot_be_written_is_named_at_the_start(tmp_path: Path) -> None:
    state = open_state(tmp_path)
    supervisor = Supervisor(logs=state.logs / "gone", notes=state.run)
    with pytest.raises(StartFailed, match=r"^idle cannot be started: .*gone/idle.log"):
        await supervisor.start(idle("idle"))
    await supervisor.stop()


async def test_orphan_is_stopped_and_a_stranger_with_its_number_is_not(tmp_path: Path) -> None:
    state = open_state(tmp_path)
    orphan, stranger = [
        await asyncio.create_subprocess_exec("/bin/sleep", "600", start_new_session=True)
        for _ in range(2)
    ]
    orphans.note(state.run / "orphan.pid", orphan.pid, signal.SIGTERM)
    reused = {"pid": stranger.pid, "born": "another time", "stop_signal": int(signal.SIGTERM)}
    (state.run / "reused.pid").write_text(json.dumps(reused))
    ended = await asyncio.to_thread(orphans.stop_all, state.run)
    assert ended == ["orphan"]
    assert await orphan.wait() == -signal.SIGTERM
    assert stranger.returncode is None
    stranger.kill()
    await stranger.wait()


async def pullarm_up(folder: Path, *options: str) -> tuple[int, str]:
    """The status and the complaint of a `pullarm up` that cannot start."""
    command = [sys.executable, "-m", "cli", "up", "--state", str(folder), *options]
    process = await asyncio.create_subprocess_exec(*command, stdout=PIPE, stderr=PIPE)
    async with asyncio.timeout(PATIENCE_S):
        _, complaint = await process.communicate()
    assert process.returncode is not None
    return process.returncode, complaint.decode()


async def test_second_up_on_a_folder_is_refused(state_folder: Path) -> None:
    async with supervised(state_folder) as process:
        await pids(process)
        status, complaint = await pullarm_up(state_folder)
    assert status == 1
    assert f"already runs on {state_folder} (process {process.pid})" in complaint
    assert "--state" in complaint


@pytest.mark.parametrize(
    "option", ["--grpc-port", "--http-port", "--postgres-port", "--metrics-port"]
)
async def test_port_in_use_is_named_with_the_option_that_changes_it(
    state_folder: Path, option: str
) -> None:
    others = {"--grpc-port": "0", "--http-port": "0", "--metrics-port": "0"}
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        arguments = [word for pair in (others | {option: str(port)}).items() for word in pair]
        status, complaint = await pullarm_up(state_folder, *arguments)
    assert status == 1
    assert f"port {port} on 127.0.0.1 is in use; choose another with {option}" in complaint
