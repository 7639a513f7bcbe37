"""What `evaluate` and `gate` are both asked: a log, a policy, and whose rows of it to use."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

from typer import Argument, Option

from cli.replay.target import LEARNED, target
from replay.errors import DatasetError
from replay.evaluating import NOT_LOGGING
from replay.log import BanditLog, LogHead
from replay.log_table import open_log
from replay.targets import SIMPLE, Target

LogArgument = Annotated[
    Path, Argument(help="What `pullarm replay load` wrote: the folder or the file.")
]
PolicyOption = Annotated[str, Option(help=f"One of {', '.join(SIMPLE)}, {', '.join(LEARNED)}.")]
ParamOption = Annotated[
    list[str] | None,
    Option("--param", metavar="NAME=VALUE", help="Of the policy; may be repeated."),
]
PosteriorOption = Annotated[
    Path | None,
    Option(
        help="Of a policy that learns: what `posteriors` wrote, or JSON as "
        '{"ARM": {"serves": 10, "rewards": 2}}.'
    ),
]
LoggedByOption = Annotated[
    list[str] | None,
    Option(
        "--logged-by",
        help="Use only rows that this policy chose; may be repeated. Without it all but control's own.",
    ),
]


@dataclass(frozen=True, slots=True, kw_only=True)
class Asked:
    """A policy to be evaluated on a log."""

    log: BanditLog
    policy: str
    target: Target
    logged_by: Sequence[str]

    @classmethod
    def read(
        cls,
        log: Path,
        policy: str,
        params: Sequence[str] | None,
        posterior: Path | None,
        logged_by: Sequence[str] | None,
    ) -> "Asked":
        """From a command's words; raises InvalidInput or DatasetError naming what is wrong."""
        opened = open_log(log)
        return cls(
            log=opened,
            policy=policy,
            target=target(opened.head, policy, params or [], posterior),
            logged_by=logged_by or _supporting(opened.head),
        )

    def described(self) -> dict[str, Any]:
        """For JSON."""
        return {"log": self.log.head.name, "policy": self.policy, "logged_by": self.logged_by}


def _supporting(head: LogHead) -> Sequence[str]:
    """The policies whose rows can tell of others; raises DatasetError where there is none."""
    policies = [each for each in head.policies if each not in NOT_LOGGING]
    if not policies:
        raise DatasetError(
            f"{head.name} has only rows of {', '.join(head.policies)}, which support no other policy; "
            "name one with --logged-by to use them all the same"
        )
    return policies
