"""A small platform for the supervisor's tests: both servers and a program that does nothing.

Run as `python -m tests.e2e.supervised STATE`; it prints its programs' process ids as one line of JSON
whenever one of them has changed, and runs until SIGTERM.
"""

import asyncio
import json
import signal
import sys
from pathlib import Path

from cli import embedded
from cli.process import Program
from cli.state import close_sockets, locked, open_state
from cli.supervisor import Supervisor


async def always() -> bool:
    return True


def idle(name: str, stage: int = 2) -> Program:
    """A program that is ready at once and does nothing."""
    return Program(name=name, argv=("/bin/sleep", "600"), ready=always, stage=stage)


async def run(folder: Path) -> None:
    stop = asyncio.Event()
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, stop.set)
    state = open_state(folder)
    with locked(state):
        supervisor = Supervisor(logs=state.logs, notes=state.run)
        supervisor.adopt()
        try:
            await embedded.start(supervisor, state, embedded.Wanted())
            await supervisor.start(idle("idle"))
            await show_pids(supervisor, stop)
        finally:
            await supervisor.stop()
            close_sockets(state)


async def show_pids(supervisor: Supervisor, stop: asyncio.Event) -> None:
    """Print the process ids whenever all programs run and one has changed."""
    shown: dict[str, int] = {}
    while not stop.is_set():
        pids = supervisor.pids()
        if len(pids) == 3 and pids != shown:
            shown = pids
            print(json.dumps(pids), flush=True)
        await asyncio.sleep(0.02)


if __name__ == "__main__":
    asyncio.run(run(Path(sys.argv[1])))
