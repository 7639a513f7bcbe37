"""The dashboard's files, served as they are."""

from pathlib import Path

from litestar import Response, Router, get
from litestar.datastructures import CacheControlHeader
from litestar.params import FromPath
from litestar.static_files import create_static_files_router

from control.access import PUBLIC
from pullarm.domain.errors import ConfigurationError

# Beside this file when installed, beside this package in a checkout.
_PLACES = (Path(__file__).with_name("web"), Path(__file__).parents[1] / "web")

_REVALIDATE = CacheControlHeader(no_cache=True)
_HEADERS = {"Cache-Control": _REVALIDATE.to_header()}


def find_web() -> Path:
    """The folder of the dashboard's files."""
    for place in _PLACES:
        if (place / "index.html").is_file():
            return place
    raise ConfigurationError(
        f"the dashboard's files are missing: no index.html in {' or '.join(map(str, _PLACES))}"
    )


def dashboard(folder: Path) -> list[Router]:
    """The one page under every path it knows, and its files under /static; what they show takes a log-in."""
    page = (folder / "index.html").read_text(encoding="utf-8")

    @get(["/", "/reference"], media_type="text/html", include_in_schema=False)
    async def home() -> Response[str]:
        return Response(page, headers=_HEADERS)

    @get("/experiments/{reference:str}", media_type="text/html", include_in_schema=False)
    async def experiment(reference: FromPath[str]) -> Response[str]:
        del reference  # the page reads it from its own address
        return Response(page, headers=_HEADERS)

    pages = Router("/", route_handlers=[home, experiment], opt=PUBLIC)
    files = create_static_files_router(
        "/static", directories=[folder], opt=PUBLIC, cache_control=_REVALIDATE
    )
    return [pages, files]
