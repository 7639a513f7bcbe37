"""The cache of compiled kernels: warm where it can be, and never stale.

Each test runs processes of its own on two modules, `inner` with a constant and a kernel, and
`outer` with the kernel that calls it.
"""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from pullarm.policies.compile import background_kernel, kernel, request_kernel

ROOT = Path(__file__).parents[2]
INNER = """
from pullarm.policies.compile import kernel

FACTOR = {factor}

@kernel
def times(x):
    return x * FACTOR
"""
OUTER = """
from pullarm.policies.compile import {decorator} as compiled
from inner import times

@compiled
def answer(x):
    return times(x) + 1
"""
ASK = """
import outer
print(outer.answer(10), sum(outer.answer.stats.cache_hits.values()))
"""


class Modules:
    """The two modules in a folder, and processes that ask `outer` for 10 times the factor, plus 1."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.environment = {
            **{name: value for name, value in os.environ.items() if not name.startswith("NUMBA_")},
            "HOME": str(folder / "home"),
            "PYTHONPATH": os.pathsep.join([str(folder), str(ROOT)]),
            "PYTHONDONTWRITEBYTECODE": "1",
        }
        self.environment.pop("XDG_CACHE_HOME", None)
        (folder / "home").mkdir(parents=True)
        self.write()

    def write(self, factor: int = 2, decorator: str = "request_kernel") -> None:
        (self.folder / "inner.py").write_text(INNER.format(factor=factor))
        (self.folder / "outer.py").write_text(OUTER.format(decorator=decorator))

    def start(self, **environment: str) -> "subprocess.Popen[str]":
        return subprocess.Popen(
            [sys.executable, "-c", ASK],
            env=self.environment | environment,
            cwd=self.folder,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )

    def ask(self, **environment: str) -> tuple[str, str]:
        """The answer with the number of cache hits, and what was complained about."""
        asked = self.start(**environment)
        answer, complaints = asked.communicate(timeout=500)
        assert asked.returncode == 0, complaints
        return answer.strip(), complaints


@pytest.fixture
def modules(tmp_path: Path) -> Modules:
    return Modules(tmp_path)


def test_edits_are_noticed_in_every_file_and_what_is_undone_is_warm(modules: Modules) -> None:
    assert modules.ask() == ("21 0", "")
    modules.write(factor=3)
    assert modules.ask() == ("31 0", "")
    modules.write(factor=2, decorator="background_kernel")
    assert modules.ask() == ("21 0", "")
    modules.write(factor=2)
    assert modules.ask() == ("21 1", "")


def test_processes_that_start_at_once_on_an_empty_cache_leave_a_sound_one(modules: Modules) -> None:
    asked = [modules.start() for _ in range(2)]
    assert {process.communicate(timeout=500)[0].split()[0] for process in asked} == {"21"}
    assert modules.ask() == ("21 1", "")


def test_a_package_that_cannot_be_written_is_cached_in_the_home_folder(modules: Modules) -> None:
    (modules.folder / "__pycache__").write_text("in the way: no folder can be made here")
    assert modules.ask() == ("21 0", "")
    assert modules.ask() == ("21 1", "")
    assert list((modules.folder / "home").rglob("outer.answer-*.nbc"))


def test_without_any_folder_kernels_still_work_and_say_what_to_do(modules: Modules) -> None:
    (modules.folder / "__pycache__").write_text("in the way")
    nowhere = modules.folder / "inner.py" / "home"
    answer, complaints = modules.ask(HOME=str(nowhere))
    assert answer == "21 0"
    assert complaints.count("set NUMBA_CACHE_DIR") == 1
    provided = str(modules.folder / "provided")
    assert modules.ask(HOME=str(nowhere), NUMBA_CACHE_DIR=provided) == ("21 0", "")
    assert list(Path(provided).rglob("outer.answer-*.nbc"))


LIST = [1.0, 2.0]


def test_what_the_cache_could_not_notice_is_refused() -> None:
    def uses_a_list(x: int) -> float:
        return LIST[x]

    for decorate in (kernel, request_kernel, background_kernel):
        with pytest.raises(TypeError, match="global LIST is"):
            decorate(uses_a_list)


def test_a_kernel_stands_below_what_it_uses() -> None:
    source = INNER.format(factor=2).replace("FACTOR = 2", "") + "\nFACTOR = 2\n"
    with pytest.raises(TypeError, match="times uses FACTOR; define it above the kernel"):
        exec(compile(source, "inner.py", "exec"), {"__name__": "inner"})
