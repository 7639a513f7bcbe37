"""Processes that share a spool directory, run into the limits of the system and are killed."""

import multiprocessing
import os
import random
import resource
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from multiprocessing.connection import Connection
from multiprocessing.process import BaseProcess
from pathlib import Path
from typing import Any

import pytest

from pullarm.domain.errors import ConfigurationError
from serving.spool import Spool, SpoolFull

NOBODY = 65534

_spawn = multiprocessing.get_context("spawn")


@contextmanager
def process(
    run: Callable[..., None], *arguments: object
) -> Iterator[tuple[BaseProcess, "Connection[Any, Any]"]]:
    """A process that runs a function with one end of a pipe; killed in the end."""
    here, there = _spawn.Pipe()
    child = _spawn.Process(target=run, args=(there, *arguments))
    child.start()
    there.close()
    try:
        yield child, here
    finally:
        kill(child)
        child.close()
        here.close()


def kill(child: BaseProcess) -> None:
    child.kill()
    child.join()


def received(pipe: "Connection[Any, Any]") -> list[Any]:
    """Everything that a process which has ended still said."""
    said = []
    try:
        while True:
            said.append(pipe.recv())
    except (EOFError, ConnectionResetError):
        return said


def entry(seed: int, number: int) -> bytes:
    """What a writer writes: numbered, of very different sizes."""
    chance = random.Random(f"{seed} {number}")
    return number.to_bytes(4, "big") + chance.randbytes(chance.choice([0, 50, 3000, 60_000]))


def replay(spool: Spool) -> list[bytes]:
    found: list[bytes] = []
    while (segment := spool.next_segment()) is not None:
        found += segment.entries()
        spool.done(segment)
    return found


def write_for_ever(
    pipe: "Connection[Any, Any]", directory: Path, seed: int, segment_bytes: int
) -> None:
    """Write, and report each entry once it is acknowledged."""
    spool = Spool(directory, "writer", segment_bytes=segment_bytes)
    number = 0
    while True:
        spool.write(entry(seed, number))
        pipe.send(number)
        number += 1


@pytest.mark.parametrize("seed", range(6))
def test_everything_acknowledged_survives_kill_9(tmp_path: Path, seed: int) -> None:
    chance = random.Random(seed)
    with process(write_for_ever, tmp_path, seed, 100_000) as (child, pipe):
        reports = [pipe.recv() for _ in range(chance.randint(1, 150))]
        time.sleep(chance.random() / 200)  # anywhere within the next few writes
        kill(child)
        reports += received(pipe)
    spool = Spool(tmp_path, "adopter")
    assert spool.adopt() > 0
    found = replay(spool)
    assert len(found) - len(reports) in (0, 1)  # one may have been written and not yet reported
    assert found == [entry(seed, number) for number in range(len(found))]
    assert spool.damaged == 0
    assert list(tmp_path.iterdir()) == []


def test_segments_of_a_living_process_are_never_adopted(tmp_path: Path) -> None:
    spool = Spool(tmp_path, "adopter")
    with process(write_for_ever, tmp_path, 1, 1) as (child, pipe):  # a file for each entry
        last = -1
        while last < 150:
            assert spool.adopt() == 0
            while pipe.poll():
                last = pipe.recv()
        kill(child)
        last = [last, *received(pipe)][-1]
    assert spool.adopt() in (last + 1, last + 2)
    assert replay(spool)[: last + 1] == [entry(1, number) for number in range(last + 1)]


def adopt_at_once(pipe: "Connection[Any, Any]", directory: Path, start: Any) -> None:
    spool = Spool(directory, "adopter")
    start.wait()
    count = spool.adopt()
    pipe.send((count, replay(spool)))
    pipe.recv()  # so that none ends before all have adopted


def test_segments_of_a_killed_process_go_to_exactly_one_of_many(tmp_path: Path) -> None:
    with process(write_for_ever, tmp_path, 2, 1) as (child, pipe):
        while pipe.recv() < 80:
            pass
        kill(child)
    start = _spawn.Barrier(3)
    with (
        process(adopt_at_once, tmp_path, start) as (_, first),
        process(adopt_at_once, tmp_path, start) as (_, second),
        process(adopt_at_once, tmp_path, start) as (_, third),
    ):
        adopted = [pipe.recv() for pipe in (first, second, third)]
    found = sorted(each for _, entries in adopted for each in entries)
    assert found == [entry(2, number) for number in range(len(found))]
    assert len(found) > 80
    unwritten = sum(count for count, _ in adopted) - len(found)
    assert unwritten in (0, 1)  # the last file may have got its header and no entry yet
    assert list(tmp_path.iterdir()) == []


def lose_every_race(pipe: "Connection[Any, Any]", directory: Path) -> None:
    """Have another process remove the file each time between its opening and its locking."""
    mine, other = Spool(directory, "mine"), Spool(directory, "other")
    races = 0

    def remove(event: str, _: tuple[object, ...]) -> None:
        nonlocal races
        if event == "fcntl.flock" and races < 2:
            races += 1
            for path in directory.iterdir():
                path.unlink()

    sys.addaudithook(remove)
    mine.write(b"entry")
    files = len(list(directory.iterdir()))
    mine.close()
    races = 1
    pipe.send((files, other.adopt(), races))


def test_file_removed_before_it_was_locked_is_not_owned(tmp_path: Path) -> None:
    with process(lose_every_race, tmp_path) as (_, pipe):
        files, adopted, races = pipe.recv()
    assert (files, adopted, races) == (1, 0, 2)


def write_and_start_a_program(pipe: "Connection[Any, Any]", directory: Path) -> None:
    Spool(directory, "writer").write(b"entry")
    program = subprocess.Popen(["sleep", "60"], close_fds=False)
    pipe.send(program.pid)
    pipe.recv()


def test_program_that_outlives_its_starter_keeps_no_lock(tmp_path: Path) -> None:
    with process(write_and_start_a_program, tmp_path) as (child, pipe):
        program = pipe.recv()
        kill(child)
        try:
            os.kill(program, 0)
            spool = Spool(tmp_path, "adopter")
            assert spool.adopt() == 1
            assert replay(spool) == [b"entry"]
        finally:
            os.kill(program, 9)


def run_out_of_room(pipe: "Connection[Any, Any]", directory: Path) -> None:
    """Let the system refuse to write: inside an entry, inside a new file's first, inside its header; then have room."""
    spool = Spool(directory, "writer")
    spool.write(bytes(1000))
    _, most = resource.getrlimit(resource.RLIMIT_FSIZE)
    problems = []
    for limit in (1500, 30, 10, 30):
        resource.setrlimit(resource.RLIMIT_FSIZE, (limit, most))
        try:
            spool.write(b"\x01" * 1000)
        except SpoolFull as problem:
            problems.append(str(problem))
    files = [path.stat().st_size for path in directory.iterdir()]
    resource.setrlimit(resource.RLIMIT_FSIZE, (most, most))
    spool.write(b"\x02" * 1000)
    pipe.send((problems, files, spool.written, spool.waiting_entries, replay(spool)))


def test_writing_that_the_system_refuses_leaves_nothing_and_resumes(tmp_path: Path) -> None:
    with process(run_out_of_room, tmp_path) as (_, pipe):
        problems, files, written, waiting, found = pipe.recv()
    assert len(problems) == 4
    assert all("File too large" in problem and "PULLARM_SPOOL" in problem for problem in problems)
    assert files == [20 + 20 + 1000]
    assert (written, waiting) == (2, 2)
    assert found == [bytes(1000), b"\x02" * 1000]


def start_without_permission(pipe: "Connection[Any, Any]", directory: Path) -> None:
    if os.geteuid() == 0:
        os.setresuid(NOBODY, NOBODY, NOBODY)  # root may write everywhere
    try:
        Spool(directory, "writer")
    except ConfigurationError as problem:
        pipe.send(str(problem))


def test_directory_without_permission_is_a_configuration_error(tmp_path: Path) -> None:
    tmp_path.chmod(0o500)
    with process(start_without_permission, tmp_path) as (_, pipe):
        said = pipe.recv()
    tmp_path.chmod(0o700)
    assert said.startswith(f"PULLARM_SPOOL={tmp_path}: ")
    assert said.endswith("name a directory it can write")
