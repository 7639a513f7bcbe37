"""Errors as RFC 7807 problem documents: what the domain raises, what the framework raises, and the unexpected."""

import logging
from collections.abc import Mapping
from http import HTTPStatus

from litestar import Request, Response
from litestar.datastructures import State
from litestar.exceptions import HTTPException
from litestar.types import ExceptionHandlersMap

from control.entries import entry_view
from pullarm.domain.errors import InvalidInput, PullarmError, VersionMismatch

STATUSES: Mapping[str, HTTPStatus] = {
    "invalid_input": HTTPStatus.UNPROCESSABLE_ENTITY,
    "unauthenticated": HTTPStatus.UNAUTHORIZED,
    "forbidden": HTTPStatus.FORBIDDEN,
    "not_found": HTTPStatus.NOT_FOUND,
    "conflict": HTTPStatus.CONFLICT,
    "version_mismatch": HTTPStatus.PRECONDITION_FAILED,
    "unavailable": HTTPStatus.SERVICE_UNAVAILABLE,
    "exhausted": HTTPStatus.SERVICE_UNAVAILABLE,
    "refused": HTTPStatus.INTERNAL_SERVER_ERROR,
    "configuration": HTTPStatus.INTERNAL_SERVER_ERROR,
    "internal": HTTPStatus.INTERNAL_SERVER_ERROR,
}
"""The domain's error codes as HTTP statuses; a test fails when one is missing."""

MEDIA_TYPE = "application/problem+json"
RETRY_AFTER_S = "2"

_HEADERS: Mapping[int, dict[str, str]] = {
    HTTPStatus.UNAUTHORIZED: {"WWW-Authenticate": 'Bearer realm="pullarm"'},
    HTTPStatus.SERVICE_UNAVAILABLE: {"Retry-After": RETRY_AFTER_S},
    HTTPStatus.TOO_MANY_REQUESTS: {"Retry-After": "1"},
}
_DETAILS: Mapping[int, str] = {
    HTTPStatus.REQUEST_ENTITY_TOO_LARGE: "the body is too large; PULLARM_MAX_BODY_MIB sets the limit, but for a log-in",
    HTTPStatus.TOO_MANY_REQUESTS: "that was more than `RateLimit-Policy` says that this token or address may ask "
    "a second; PULLARM_REQUESTS_PER_TOKEN and PULLARM_REQUESTS_PER_ADDRESS set it",
}
"""Where the framework's own word is too short."""

AnyRequest = Request[object, object, State]
_log = logging.getLogger(__name__)


class Malformed(HTTPException):
    """The request's body is not JSON."""

    status_code = HTTPStatus.BAD_REQUEST


class NotJson(HTTPException):
    """The request's body is declared to be something else than JSON, or nothing in particular."""

    status_code = HTTPStatus.UNSUPPORTED_MEDIA_TYPE


class BadParameter(HTTPException):
    """A query parameter that cannot be honoured."""

    status_code = HTTPStatus.BAD_REQUEST

    def __init__(self, name: str, detail: str) -> None:
        super().__init__(
            detail=f"{name[:80]} {detail}", extra=[{"key": name[:80], "message": detail}]
        )


def problem(
    status: int,
    detail: str,
    *,
    code: str = "",
    problems: list[dict[str, str]] | None = None,
    **more: object,
) -> Response[dict[str, object]]:
    """A problem document; `problems` names every field at fault."""
    title = HTTPStatus(status).phrase
    body: dict[str, object] = {
        "type": f"urn:pullarm:problem:{code}" if code else "about:blank",
        "title": title,
        "status": status,
        "detail": detail or title,
        "problems": problems or [],
        **more,
    }
    return Response(body, status_code=status, media_type=MEDIA_TYPE, headers=_HEADERS.get(status))


def domain_error(request: AnyRequest, error: PullarmError) -> Response[dict[str, object]]:
    """What the domain refused."""
    status = STATUSES.get(error.code, HTTPStatus.INTERNAL_SERVER_ERROR)
    if status == HTTPStatus.INTERNAL_SERVER_ERROR:
        return unexpected(request, error)
    if isinstance(error, VersionMismatch):
        changes = [entry_view(each, None) for each in error.changes]
        return problem(status, str(error), code=error.code, changes=changes)
    fields = error.problems if isinstance(error, InvalidInput) else ()
    return problem(
        status,
        str(error),
        code=error.code,
        problems=[{"field": each.field, "detail": each.detail} for each in fields],
    )


def http_error(request: AnyRequest, error: HTTPException) -> Response[dict[str, object]]:
    """What the framework refused: unknown paths, wrong methods, bodies that are no JSON or too large."""
    if error.status_code >= HTTPStatus.INTERNAL_SERVER_ERROR:
        return unexpected(request, error)
    problems = _parameters(error.extra)
    said = "; ".join(f"{each['field']}: {each['detail']}" for each in problems)
    detail = said or _DETAILS.get(error.status_code, error.detail)
    response = problem(
        error.status_code, f"{request.method} {request.url.path}: {detail}", problems=problems
    )
    for name, value in (error.headers or {}).items():
        response.set_header(name, value)
    return response


def _parameters(extra: object) -> list[dict[str, str]]:
    """The parameters that the framework did not take, as problems."""
    found = extra if isinstance(extra, list) else []
    return [
        {"field": str(each["key"]), "detail": str(each.get("message", ""))}
        for each in found
        if isinstance(each, dict) and "key" in each
    ]


def unexpected(request: AnyRequest, error: Exception) -> Response[dict[str, object]]:
    """A fault of ours: the log has the details, the answer has none."""
    _log.error("%s %s failed", request.method, request.url.path, exc_info=error)
    return problem(
        HTTPStatus.INTERNAL_SERVER_ERROR,
        "something went wrong in the control plane; its log has the details",
        code="internal",
    )


HANDLERS: ExceptionHandlersMap = {
    PullarmError: domain_error,
    HTTPException: http_error,
    Exception: unexpected,
}
