"""What the documentation asks of curl, for machines that have none; unlike it this fails with an answer of 400 and up.

Run as `python -m tests.e2e.curl` with curl's arguments.
"""

import argparse
import sys
from pathlib import Path
from urllib.error import HTTPError
from urllib.request import ProxyHandler, Request, build_opener

TIMEOUT_S = 60


def main() -> None:
    parser = argparse.ArgumentParser(prog="curl")
    parser.add_argument("-X", dest="method")
    parser.add_argument("-H", dest="headers", action="append", default=[])
    parser.add_argument("-d", dest="data")
    parser.add_argument("--data-binary", dest="file")
    parser.add_argument("url")
    given = parser.parse_args()
    data = given.data.encode() if given.data else None
    if given.file:
        data = Path(given.file.removeprefix("@")).read_bytes()
    headers = dict(header.split(": ", 1) for header in given.headers)
    method = given.method or ("POST" if data else "GET")
    request = Request(given.url, data=data, headers=headers, method=method)
    try:
        with build_opener(ProxyHandler({})).open(request, timeout=TIMEOUT_S) as answer:
            sys.stdout.buffer.write(answer.read())
    except HTTPError as error:
        sys.exit(f"{method} {given.url}: {error.code} {error.read().decode()}")


if __name__ == "__main__":
    main()
