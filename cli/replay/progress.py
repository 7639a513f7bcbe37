"""How far a command has come, on standard error; nothing where that is no terminal."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager

from rich.console import Console
from rich.progress import Progress, SpinnerColumn, TextColumn, TimeElapsedColumn


@contextmanager
def progress(what: str, unit: str) -> Iterator[Callable[[int], None]]:
    """Yields what is called with how many more are done; of how many is not known."""
    columns = (
        SpinnerColumn(),
        TextColumn("{task.description}: {task.completed:,} {task.fields[unit]}"),
        TimeElapsedColumn(),
    )
    console = Console(stderr=True)
    with Progress(
        *columns, console=console, transient=True, disable=not console.is_terminal
    ) as bar:
        task = bar.add_task(what, total=None, unit=unit)
        yield lambda more: bar.advance(task, more)
