"""`make fuzz`: forged decision ids over a socket, by the million, and the properties of readers with many examples.

Ends with one JSON object; its status is 0 only if nothing forged was accepted and every property held.
"""

import argparse
import asyncio
import json
import secrets
import subprocess
import sys
import time
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np

from tests.fuzz.assault import assault
from tests.serving_parts import serving

PROPERTIES = (
    "tests/unit/test_decision_id.py",
    "tests/unit/test_requests.py",
    "tests/unit/test_query.py",
    "tests/unit/test_batches.py",
    "tests/unit/test_fuzzed_loaders.py",
    "tests/unit/test_fuzzed_calls.py",
)


async def _forged(count: int, seed: int) -> dict[str, object]:
    with TemporaryDirectory() as folder:
        async with serving(Path(folder)) as server:
            started_s = time.monotonic()
            counted = await assault(server.address, count, np.random.default_rng(seed))
            took_s = time.monotonic() - started_s
            kept = len(server.sink.stored.rewards)
    return {
        "forged": sum(counted.values()),
        "accepted": kept,
        "by_status": counted,
        "s": round(took_s, 1),
    }


def main() -> None:
    parser = argparse.ArgumentParser(prog="make fuzz", description=__doc__)
    parser.add_argument("--forged", type=int, default=1_000_000, help="decision ids")
    parser.add_argument(
        "--seed", type=int, default=None, help="of the forged ids; else another every time"
    )
    parser.add_argument("--no-properties", action="store_true", help="forged ids alone")
    options = parser.parse_args()
    seed = secrets.randbits(32) if options.seed is None else options.seed
    figures = asyncio.run(_forged(options.forged, seed)) | {"seed": seed}
    status = 0
    if not options.no_properties:
        profile = ("--hypothesis-profile", "many", "--timeout", "3600")
        status = subprocess.run(
            [sys.executable, "-m", "pytest", "-q", *profile, *PROPERTIES], check=False
        ).returncode
        figures["properties"] = "hold" if status == 0 else "broken"
    print(json.dumps(figures))
    sys.exit(1 if figures["accepted"] or figures["forged"] != options.forged or status else 0)


if __name__ == "__main__":
    main()
