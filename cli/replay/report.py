"""`pullarm replay report`: one page of what was run."""

from pathlib import Path
from typing import Annotated

import msgspec
from typer import Argument, Option

from pullarm.domain.errors import invalid
from replay import run_file
from replay.evaluation import Report
from replay.parquet import appearing
from replay.report.page import page
from replay.reports import PAGE


class _Evaluated(msgspec.Struct):
    """What `evaluate --json` says, as far as it is shown."""

    log: str
    policy: str


def command(
    folder: Annotated[Path, Argument(help="What `pullarm replay run` wrote.")],
    out: Annotated[
        Path | None, Option(help=f"The page; {PAGE} in the folder if not given.")
    ] = None,
    evaluation: Annotated[
        list[Path] | None,
        Option(help="What `pullarm replay evaluate --json` printed; may be repeated."),
    ] = None,
) -> None:
    """Make one self-contained HTML page: tables, charts as SVG, and how to run it again. It loads nothing."""
    results = run_file.read(folder)
    found = [_evaluated(each) for each in evaluation or []]
    path = out or folder / PAGE
    with appearing(path) as partial:
        partial.write_text(page(results, found), encoding="utf-8")
    print(f"report in {path}")


def _evaluated(path: Path) -> tuple[str, str, Report]:
    try:
        said = path.read_bytes()
        head = msgspec.json.decode(said, type=_Evaluated)
        return head.policy, head.log, msgspec.json.decode(said, type=Report)
    except OSError as error:
        raise invalid("--evaluation", f"{path} cannot be read: {error.strerror}") from error
    except msgspec.DecodeError as error:
        raise invalid("--evaluation", f"{path}: {error}") from error
