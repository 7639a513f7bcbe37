"""`python -m benchmarks`: the same as `pullarm bench`."""

import os
import sys

if __name__ == "__main__":
    # Not an import: the command starts whole platforms, which nothing here may know.
    os.execv(sys.executable, [sys.executable, "-P", "-m", "cli", "bench", *sys.argv[1:]])
