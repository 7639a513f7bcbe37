"""`python -m benchmarks`: run the benchmarks and print their tables."""

import argparse
import json

from benchmarks import kernel


def main() -> None:
    """Print the kernel benchmark, as a table or as JSON."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__)
    parser.add_argument("--json", action="store_true", help="print one JSON array instead")
    parser.add_argument("--rounds", type=int, default=40, help="interleaved rounds (default 40)")
    options = parser.parse_args()
    timings = kernel.measure(rounds=options.rounds)
    if options.json:
        print(json.dumps([timing.as_dict() for timing in timings]))
    else:
        print(kernel.table(timings))


if __name__ == "__main__":
    main()
