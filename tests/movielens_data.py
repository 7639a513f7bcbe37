"""Which MovieLens folders the tests read: the user's own where there are any, else generated ones.

The folder is named by PULLARM_TEST_DATA; by default it is shared/data beside the checkout.
"""

import atexit
import os
import shutil
import tempfile
from functools import cache
from pathlib import Path
from typing import get_args

from replay.movielens import load
from replay.ratings import Ratings
from tests.movielens_miniature import Style, write_miniature

_BESIDE_CHECKOUT = Path(__file__).resolve().parents[2] / "shared" / "data"
_MINIATURE_SEED = 20_000_425


@cache
def movielens_folders() -> dict[str, Path]:
    """A folder for each of ml-1m and ml-100k, real or generated."""
    return {style: real_folder(style) or _miniature(style) for style in get_args(Style)}


@cache
def movielens_ratings(style: str) -> Ratings:
    """What is in the folder, read once for the whole run."""
    return load(movielens_folders()[style])


def describe() -> str:
    """One line saying which data the tests read."""
    said = (f"{style}: {real_folder(style) or 'generated miniature'}" for style in get_args(Style))
    return f"MovieLens data: {', '.join(said)}"


def real_folder(name: str) -> Path | None:
    """The user's own data set of this name, if there is one."""
    named = os.environ.get("PULLARM_TEST_DATA")
    if named and not Path(named).is_dir():
        raise FileNotFoundError(
            f"PULLARM_TEST_DATA names {named}, which is not a folder: unset it or correct it"
        )
    folder = (Path(named) if named else _BESIDE_CHECKOUT) / name
    return folder if folder.is_dir() else None


@cache
def _miniature(style: Style) -> Path:
    root = Path(tempfile.mkdtemp(prefix="pullarm-movielens-"))
    atexit.register(shutil.rmtree, root, ignore_errors=True)
    return write_miniature(root / style, _MINIATURE_SEED, style=style)
