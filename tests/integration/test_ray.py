"""Replay spread over Ray: the same bytes as one process, whatever happens to its workers."""

import os
import signal
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from subprocess import PIPE

import msgspec
import numpy as np
import pytest

from pullarm.domain.errors import Unavailable
from pullarm.free_port import free_port
from pullarm.policies.base import Policy
from replay import run_file, window
from replay.engines.base import Engine
from replay.engines.local import ALONE, Processes
from replay.engines.ray_cluster import RayCluster
from replay.errors import DatasetError
from replay.evaluating import evaluate
from replay.evaluation import Settings
from replay.learning import Candidate, Setting
from replay.log import BanditLog, Candidates, LogBatch
from replay.log_table import open_log, write_log
from replay.movielens import load
from replay.runs import Plan
from replay.tally import Outcome
from replay.targets import Probabilities, Target, Uniform
from replay.truth import Truth
from replay.visits import Visits
from tests.bandit_logs import bandit_log, nothing
from tests.movielens_miniature import write_miniature

PIECES, PIECE = 3, 70_000  # row groups, which make two parts
FILES = ("results.json", "runs.parquet", "curves.parquet")
RAY_START = (
    *("-m", "ray.scripts.scripts", "start", "--head", "--block", "--num-cpus=2"),
    *("--node-ip-address=127.0.0.1", "--include-dashboard=false"),
    *("--include-log-monitor=false", "--no-monitor"),
)


@pytest.fixture(name="cluster", scope="module")
def _cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Engine]:
    """Two workers, of a cluster that runs already."""
    installed = tmp_path_factory.mktemp("ray") / "venv"  # Ray runs from no folder with a space
    installed.symlink_to(sys.prefix)
    python = str(installed / "bin" / Path(sys.executable).name)
    given = {"RAY_USAGE_STATS_ENABLED": "0", "RAY_raylet_start_wait_time_s": "300"}
    with free_port("127.0.0.1") as port, tempfile.TemporaryFile("w+") as said:
        command = (python, *RAY_START, f"--port={port}")
        with subprocess.Popen(command, env=os.environ | given, stdout=PIPE, stderr=said) as head:
            assert head.stdout is not None
            try:
                if not any(b"Ray runtime started" in line for line in head.stdout):
                    said.seek(0)
                    raise AssertionError(said.read())
                yield RayCluster(workers=9, address=f"127.0.0.1:{port}")
                import ray

                ray.shutdown()
            finally:
                head.terminate()


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Mortal(Truth):
    """A world whose first run kills the process that it is in."""

    mark: Path

    def run(self, policy: Policy, setting: Setting, seed: np.random.SeedSequence) -> Outcome:
        die_once(self.mark)
        return Truth.run(self, policy, setting, seed)


@dataclass(frozen=True, slots=True)
class MortalUniform:
    """A target that kills the first process that asks for it."""

    mark: Path

    def probabilities(self, batch: LogBatch, candidates: Candidates | None) -> Probabilities:
        die_once(self.mark)
        return Uniform().probabilities(batch, candidates)


def die_once(mark: Path) -> None:
    """Kill this process, unless another one was before it."""
    try:
        mark.touch(exist_ok=False)
    except FileExistsError:
        return
    os.kill(os.getpid(), signal.SIGKILL)


@pytest.fixture(name="visits", scope="module")
def _visits(tmp_path_factory: pytest.TempPathFactory) -> Visits:
    ratings = load(write_miniature(tmp_path_factory.mktemp("movielens"), seed=11))
    return Visits(ratings, window.top_arms(ratings, window.busiest(ratings), count=30), seed=1)


@pytest.fixture(name="log", scope="module")
def _log(tmp_path_factory: pytest.TempPathFactory) -> BanditLog:
    folder = tmp_path_factory.mktemp("log")
    made = [bandit_log(PIECE, seed=seed) for seed in range(PIECES)]
    head = replace(made[0].head, rows=PIECES * PIECE)
    write_log(folder, BanditLog(head, [each.batches for each in made]))
    return open_log(folder)


def test_runs_are_the_same_bytes_on_ray_though_a_worker_is_killed(
    visits: Visits, cluster: Engine, tmp_path: Path
) -> None:
    plan = Plan(
        candidates=tuple(map(Candidate.read, ("thompson", "egreedy", "control"))),
        settings=(Setting(every=50, delay_min=15),),
        runs=3,
    )
    sound = Truth(visits=visits, n_events=1_000)
    mortal = Mortal(visits=visits, n_events=1_000, mark=tmp_path / "killed")
    for name, world, engine in (("one", sound, ALONE), ("ray", mortal, cluster)):
        ran = run_file.execute(world, plan, engine=engine, done=nothing)
        run_file.write(
            tmp_path / name, run_file.told(world, plan, ran, arguments=(), sources=()), ran
        )
    assert mortal.mark.exists()
    for file in FILES:
        assert (tmp_path / "one" / file).read_bytes() == (tmp_path / "ray" / file).read_bytes()


def test_estimates_are_the_same_bytes_on_ray_though_a_worker_is_killed(
    log: BanditLog, cluster: Engine, tmp_path: Path
) -> None:
    mortal = MortalUniform(tmp_path / "killed")

    def told(target: Target, engine: Engine) -> bytes:
        seen: list[int] = []
        settings = Settings(draws=10)
        found = evaluate(
            log, target, logged_by=["random"], settings=settings, done=seen.append, engine=engine
        )
        assert sum(seen) == PIECES * PIECE
        return msgspec.json.encode(found.report())

    assert len(log.parts) == 2
    alone = told(Uniform(), ALONE)
    assert told(mortal, cluster) == alone
    assert mortal.mark.exists()
    assert told(Uniform(), Processes(2)) == alone


def test_a_folder_with_a_space_is_refused_and_not_waited_in(
    monkeypatch: pytest.MonkeyPatch, visits: Visits
) -> None:
    import ray

    monkeypatch.setattr(ray, "__file__", "/a folder/ray/__init__.py")
    with (
        pytest.raises(Unavailable, match="space in its name: /a folder/ray"),
        RayCluster(workers=2).team(visits),
    ):
        pass


def test_what_the_work_raises_is_raised_by_every_engine(cluster: Engine) -> None:
    for engine in (ALONE, Processes(2), cluster):
        with (
            engine.team("shared") as team,
            pytest.raises(DatasetError, match="shared 2 is wrong"),
        ):
            list(team.map(fail_at_two, range(5)))


def fail_at_two(shared: str, item: int) -> int:
    if item == 2:
        raise DatasetError(f"{shared} {item} is wrong")
    return item
