"""The dashboard's files, served as they lie in web/: another host of static files can do the same."""

import gzip
import json
import re
from asyncio import to_thread
from base64 import b64encode
from dataclasses import dataclass, field
from hashlib import sha256
from http import HTTPStatus
from pathlib import Path
from typing import Any, Final

from litestar import Request, Response, Router, route
from litestar.enums import HttpMethod
from litestar.params import FromPath

from control import hardening
from control.access import PUBLIC
from pullarm.domain.errors import ConfigurationError, NotFound

# Beside this file when installed, beside this package in a checkout.
_PLACES = (Path(__file__).with_name("web"), Path(__file__).parents[1] / "web")

_HTML: Final = "text/html"
_PAGE: Final = "index.html"
_NO_LIBRARIES: Final = "no-libraries.html"
_IMPORT_MAP: Final = re.compile(r'<script type="importmap">(.*?)</script>', re.DOTALL)
_KINDS: Final = {
    ".css": "text/css",
    ".html": _HTML,
    ".js": "text/javascript",
    ".json": "application/json",
    ".svg": "image/svg+xml",
}
"""All text; of other files browsers are told nothing, and guess nothing."""
_KEPT: Final = re.compile(r"^vendor/.*@\d")
"""Files under a version never change."""


def find_web() -> Path:
    """The folder of the dashboard's files."""
    for place in _PLACES:
        if (place / _PAGE).is_file():
            return place
    raise ConfigurationError(
        f"the dashboard's files are missing: no {_PAGE} in {' or '.join(map(str, _PLACES))}"
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class _File:
    """A file as it was when last read."""

    changed: tuple[int, int]
    """Its time and size then."""
    kind: str
    body: bytes = field(repr=False)
    packed: bytes = field(repr=False)
    """By gzip."""
    headers: dict[str, str]
    libraries: tuple[str, ...] = ()
    """What its import map names, as paths in the folder."""

    @classmethod
    def read(cls, path: Path, name: str, changed: tuple[int, int]) -> "_File":
        body = path.read_bytes()
        kind = _KINDS.get(path.suffix, "text/plain")
        kept = _KEPT.match(name)
        headers = {
            "Cache-Control": "public, max-age=31536000, immutable" if kept else "no-cache",
            # Of the content, compressed or not: the same version either way.
            "ETag": f'W/"{sha256(body).hexdigest()[:20]}"',
            "Vary": "Accept-Encoding",
        }
        libraries: tuple[str, ...] = ()
        if kind == _HTML:
            maps = _IMPORT_MAP.findall(body.decode())
            hashes = [b64encode(sha256(each.encode()).digest()).decode() for each in maps]
            headers["Content-Security-Policy"] = hardening.policy(hashes)
            addresses = [each for text in maps for each in json.loads(text)["imports"].values()]
            libraries = tuple(each.lstrip("/") for each in addresses)
        return cls(
            changed=changed,
            kind=kind,
            body=body,
            packed=gzip.compress(body),
            headers=headers,
            libraries=libraries,
        )


class _Files:
    """The files of a folder, kept in memory and read anew where they have changed."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder.resolve()
        self._known: dict[Path, _File] = {}

    def find(self, address: str) -> _File | None:
        """None where there is no such file, or not one to be served."""
        try:
            path = (self._folder / address).resolve()
            if not (path.is_relative_to(self._folder) and path.is_file()):
                return None
            found = path.stat()
        except (OSError, ValueError):  # a name too long, or with a NUL
            return None
        name, changed = path.relative_to(self._folder), (found.st_mtime_ns, found.st_size)
        if any(part.startswith(".") for part in name.parts):
            return None
        known = self._known.get(name)
        if known is None or known.changed != changed:
            known = self._known[name] = _File.read(path, name.as_posix(), changed)
        return known

    def complete(self, page: _File) -> bool:
        """Whether all that a page imports is there."""
        return all((self._folder / each).exists() for each in page.libraries)


def dashboard(folder: Path) -> Router:
    """The files, and the one page under every other address a browser goes to; what it shows takes a log-in."""
    files = _Files(folder)

    @route(
        ["/", "/{file_path:path}"],
        http_method=[HttpMethod.GET, HttpMethod.HEAD],
        include_in_schema=False,
    )
    async def serve(
        request: Request[Any, Any, Any], file_path: FromPath[str] = "/"
    ) -> Response[bytes]:
        name = file_path.lstrip("/")
        # In a thread: reading and packing a new file takes its time.
        found = await to_thread(files.find, name)
        if found is None:
            # The page itself knows its addresses, so that a deep link, or a reload, comes to the right place.
            if name and _HTML not in request.headers.get("accept", ""):
                raise NotFound(f"there is no {file_path[:80]}")
            found = files.find(_PAGE)
        if found is not None and not files.complete(found):
            return _answer(request, files.find(_NO_LIBRARIES), HTTPStatus.SERVICE_UNAVAILABLE)
        return _answer(request, found, HTTPStatus.OK)

    return Router("/", route_handlers=[serve], opt={**PUBLIC, **hardening.UNLIMITED})


def _answer(
    request: Request[Any, Any, Any], file: _File | None, status: HTTPStatus
) -> Response[bytes]:
    if file is None:
        raise NotFound("the dashboard's page is missing")
    headers = dict(file.headers)
    if status == HTTPStatus.OK and request.headers.get("if-none-match") == headers["ETag"]:
        return Response(b"", status_code=HTTPStatus.NOT_MODIFIED, headers=headers)
    body = file.body
    if "gzip" in request.headers.get("accept-encoding", ""):
        headers["Content-Encoding"], body = "gzip", file.packed
    return Response(body, status_code=status, headers=headers, media_type=file.kind)
