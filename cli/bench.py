"""`pullarm bench`: measure what the project promises, or a load of your own, beside an echo server in the same run."""

import asyncio
import json
import os
import sys
from collections.abc import AsyncIterator, Iterator, Mapping, Sequence
from contextlib import ExitStack, asynccontextmanager, contextmanager
from datetime import UTC, datetime
from typing import Annotated, Any

from rich.console import Console
from typer import BadParameter, Option

from benchmarks import machine, report, results, sla
from benchmarks.compare import Plan
from benchmarks.run import HISTORY, Finding, Run, Settings, Suite, compared
from benchmarks.sla import Check
from benchmarks.suites import ARMS, SUITES
from benchmarks.traffic import MODES, Traffic
from cli import process
from cli.embedded import Wanted, embedded_services
from cli.platform import Platform
from cli.platform import Settings as PlatformSettings
from cli.remote import ControlPlane
from cli.temporary import temporary_state
from pullarm.domain.errors import ConfigurationError
from pullarm.processors import awake
from pullarm.tls import Trust

_NAMES = [suite.name for suite in SUITES]
_RATE = 1_000.0


def command(
    only: Annotated[
        list[str] | None, Option(help=f"Run this suite only; may be repeated: {', '.join(_NAMES)}.")
    ] = None,
    mode: Annotated[
        str | None, Option(help=f"A load of your own instead: {', '.join(MODES)}.")
    ] = None,
    rate: Annotated[
        float | None, Option(min=0.1, help="Calls a second, open loop (default 1000).")
    ] = None,
    reward_rate: Annotated[
        float | None, Option(min=0, help="Rewards a second beside them (default 200 in a mix).")
    ] = None,
    saturate: Annotated[
        bool, Option("--saturate", help="As many calls as there can be, closed loop.")
    ] = False,
    duration: Annotated[
        float | None,
        Option(
            min=1, max=3600, help="Seconds measured on each side (default 10; suites: their own)."
        ),
    ] = None,
    candidates: Annotated[int, Option(min=0, max=1000, help="Of each request; 0: all arms.")] = 10,
    slots: Annotated[int, Option(min=1, max=100, help="To fill in each request.")] = 1,
    batch: Annotated[int, Option(min=1, max=256, help="Requests of each SelectBatch.")] = 100,
    arms: Annotated[int, Option(min=1, max=10_000, help="Of the catalogue.")] = ARMS,
    limits: Annotated[
        str | None,
        Option("--sla", help="Fail unless kept: p95=120ms,p99=10ms,throughput=500,errors=0."),
    ] = None,
    target: Annotated[
        str | None, Option(help="HOST:PORT of a platform that runs already; nothing is started.")
    ] = None,
    experiment: Annotated[
        str | None, Option(help="Id or key of the target's experiment (default bench).")
    ] = None,
    serving: Annotated[int, Option(min=1, max=64, help="Serving processes, and echo's.")] = 1,
    clients: Annotated[
        int | None, Option(min=1, max=64, help="Load generators (default one for two cores).")
    ] = None,
    history: Annotated[
        int,
        Option(
            min=1_000, max=100_000_000, help="Decisions that the suites analytics and pages read."
        ),
    ] = HISTORY,
    seed: Annotated[int, Option(min=0, help="Of arrivals, users and candidates.")] = 1,
    keep: Annotated[
        str | None, Option(help="Keep the result in benchmarks/results under this name.")
    ] = None,
    as_json: Annotated[bool, Option("--json", help="Print one JSON object instead.")] = False,
) -> None:
    """Measure on a platform of its own, in a temporary folder, beside an echo server in the same run.

    Without a load of your own (--mode, --rate, --reward-rate, --saturate, --target or --sla) all suites run. Exits with
    1 where a limit is missed.
    """
    own = [mode, rate, reward_rate, saturate or None, limits, target]
    if only and any(each is not None for each in own):
        raise BadParameter("suites have loads and limits of their own", param_hint="'--only'")
    settings = Settings(
        clients=clients or max(1, (os.cpu_count() or 1) // 2),
        serving=serving,
        duration_s=duration,
        seed=seed,
        history=history,
    )
    bench = _Bench(settings, keep=keep and results.checked(keep), as_json=as_json)
    if all(each is None for each in own):
        sys.exit(asyncio.run(bench.suites(_chosen(only or _NAMES))))
    traffic = Traffic(
        mode=_mode(mode, reward_rate),
        experiments=(experiment or "bench",),
        arms=arms,
        candidates=min(candidates, arms),
        slots=slots,
        batch=batch,
    )
    if saturate and (rate or reward_rate):
        raise BadParameter("a closed loop has no rate", param_hint="'--saturate'")
    if experiment and not target:
        raise BadParameter("is the target's; give --target", param_hint="'--experiment'")
    if reward_rate is None:
        reward_rate = 200.0 if traffic.mode == "mix" and not saturate else 0.0
    plan = Plan(
        traffic=traffic,
        rate=0.0 if saturate else rate or _RATE,
        reward_rate=reward_rate,
        duration_s=duration or 10.0,
        seed=seed,
    )
    sys.exit(asyncio.run(bench.load(plan, sla.parse(limits) if limits is not None else [], target)))


def _mode(mode: str | None, reward_rate: float | None) -> str:
    if mode is None:
        return "mix" if reward_rate else "select"
    if mode not in MODES:
        raise BadParameter(f"{mode!r} is none of {', '.join(MODES)}", param_hint="'--mode'")
    if reward_rate and mode != "mix":
        raise BadParameter("needs --mode mix", param_hint="'--reward-rate'")
    return mode


def _chosen(names: Sequence[str]) -> list[Suite]:
    for name in names:
        if name not in _NAMES:
            raise BadParameter(f"{name!r} is none of {', '.join(_NAMES)}", param_hint="'--only'")
    return [suite for suite in SUITES if suite.name in names]


class _Bench:
    """One run of the command; its methods answer the exit status."""

    def __init__(self, settings: Settings, *, keep: str | None, as_json: bool) -> None:
        self._settings = settings
        self._keep = keep
        self._as_json = as_json
        self._machine: dict[str, str | int] = {}
        self._console = Console(width=None if sys.stdout.isatty() else 120)
        self._progress = Console(stderr=True)

    async def suites(self, chosen: Sequence[Suite]) -> int:
        """Run suites and print what they promise."""
        measured: list[tuple[Suite, Finding, list[Check]]] = []
        async with self._run() as run:
            for suite in chosen:
                found, checks = await suite.run(run)
                measured.append((suite, found, checks))
        checks = [check for _, _, of_suite in measured for check in of_suite]
        content = {"suites": [_suite_json(*each) for each in measured]}
        if not self._as_json:
            report.show_suites(self._console, measured)
        return self._end(content, checks)

    async def load(self, plan: Plan, limits: Sequence[sla.Limit], target: str | None) -> int:
        """Send one load and print its figures."""
        async with self._run() as run:
            if target is None:
                result = await run.compare(plan)
            else:
                result = await run.comparer.alone(target, plan, Trust.from_environment(os.environ))
        found = compared(result)
        checks = sla.checks(limits, found.figures)
        if not self._as_json:
            report.show_load(self._console, "Figures", found.details)
        return self._end(found.details, checks)

    @asynccontextmanager
    async def _run(self) -> AsyncIterator[Run]:
        """A run that tells how far it is in one line of a terminal, else in a line for each step."""
        with self._progress.status("") as status, _kept_awake() as kept:
            self._machine = machine.describe(awake=kept)

            def tell(text: str) -> None:
                if self._progress.is_terminal:
                    status.update(text)
                else:
                    self._progress.print(text, highlight=False, markup=False, soft_wrap=True)

            async with Run(_Host(), self._settings, tell) as run:
                yield run

    def _end(self, content: Mapping[str, Any], checks: Sequence[Check]) -> int:
        """Print or keep the whole, and name every limit that was missed."""
        whole = {
            **content,
            "checks": [check.as_json() for check in checks],
            "passed": all(check.kept for check in checks),
            "run": {
                "serving": self._settings.serving,
                "clients": self._settings.clients,
                "seed": self._settings.seed,
            },
            "machine": self._machine,
        }
        if self._as_json:
            print(json.dumps(whole))
        else:
            self._console.print(machine.words(self._machine), highlight=False)
        missed = [str(check) for check in checks if not check.kept]
        for each in missed:
            self._progress.print(f"missed: {each}", highlight=False, markup=False, soft_wrap=True)
        if self._keep is not None:
            path = results.keep(
                whole,
                name=self._keep,
                result=f"{len(checks) - len(missed)} of {len(checks)} limits kept",
                machine=machine.words(self._machine),
                today=datetime.now(UTC).date(),
                folder=results.FOLDER,
            )
            self._progress.print(f"kept as {path.name}", highlight=False)
        return 1 if missed else 0


@contextmanager
def _kept_awake() -> Iterator[bool]:
    """Whether processors are kept from sleeping, for ours and the echo alike: where the system lets us."""
    with ExitStack() as stack:
        try:
            stack.enter_context(awake())
        except ConfigurationError:
            yield False
        else:
            yield True


def _suite_json(suite: Suite, found: Finding, checks: Sequence[Check]) -> dict[str, Any]:
    return {
        "name": suite.name,
        "description": suite.description,
        "checks": [check.as_json() for check in checks],
        "details": found.details,
    }


class _Site:
    """A platform of our own, as benchmarks know it."""

    def __init__(self, platform: Platform) -> None:
        self._platform = platform

    @property
    def address(self) -> str:
        return self._platform.grpc_address

    @property
    def http_url(self) -> str:
        return self._platform.http_url

    @property
    def token(self) -> str:
        return self._platform.token

    @property
    def environment(self) -> Mapping[str, str]:
        return self._platform.environment

    @property
    def pids(self) -> Mapping[str, int]:
        return self._platform.pids

    def like_serving(self, *command: str) -> Sequence[str]:
        return process.launched(command, urgency=process.Urgency.AWAITED)

    async def launch(self, name: str, arms: Sequence[str]) -> str:
        return await asyncio.to_thread(self._launch, {"name": name, "arms": list(arms)})

    def _launch(self, body: Mapping[str, object]) -> str:
        with ControlPlane(self._platform.http_url, self._platform.token) as control:
            return str(control.start(control.create(body)["id"])["id"])


class _Host:
    """Starts platforms and servers in temporary folders, whatever servers the user has."""

    @asynccontextmanager
    async def platform(self, serving: int) -> AsyncIterator[_Site]:
        with temporary_state("bench") as state:
            settings = PlatformSettings(state=state, serving=serving, grpc_port=0, http_port=0)
            async with Platform(settings, report=_quiet) as platform:
                yield _Site(platform)

    @asynccontextmanager
    async def redis(self) -> AsyncIterator[str]:
        with temporary_state("bench") as state:
            wanted = Wanted(postgres=False)
            async with embedded_services(state, wanted, _quiet) as addresses:
                yield addresses["REDIS_URL"]


def _quiet(_: str) -> None:
    """What the platform reports is in its logs."""
