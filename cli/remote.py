"""The control plane as the commands reach it: over HTTP, with its problem documents as errors."""

from collections.abc import Mapping
from types import TracebackType
from typing import Annotated, Any, Self
from urllib.parse import quote, urlsplit

import httpx
from typer import Option

from pullarm.domain.errors import ConfigurationError, PullarmError, Unavailable

TIMEOUT_S = 30.0
_LOOPBACK = ("127.0.0.1", "localhost", "::1")

ControlUrl = Annotated[
    str, Option("--control-url", envvar="PULLARM_CONTROL_URL", help="Where the control plane is.")
]
DEFAULT_URL = "http://127.0.0.1:8000"


class RequestRefused(PullarmError):
    """The control plane refused the request."""

    code = "request_refused"


class ControlPlane:
    """`with ControlPlane(url) as control:`; every method answers JSON as it came."""

    def __init__(self, url: str) -> None:
        parts = urlsplit(url)
        if parts.scheme not in ("http", "https") or not parts.hostname:
            raise ConfigurationError(
                f"--control-url {url!r} is no address, such as {DEFAULT_URL}; PULLARM_CONTROL_URL sets it too"
            )
        self.url = url.rstrip("/")
        # A proxy from the environment cannot reach a control plane on this machine.
        self._http = httpx.Client(
            base_url=self.url, timeout=TIMEOUT_S, trust_env=parts.hostname not in _LOOPBACK
        )

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._http.close()

    def page(self, experiment_id: str) -> str:
        """The address of an experiment's page."""
        return f"{self.url}/experiments/{experiment_id}"

    def create(self, body: Mapping[str, object]) -> dict[str, Any]:
        """Make a draft."""
        return self._call("POST", "", body)

    def list(self) -> dict[str, Any]:
        """All experiments."""
        return self._call("GET", "")

    def get(self, reference: str) -> dict[str, Any]:
        """One experiment."""
        return self._call("GET", f"/{_quoted(reference)}")

    def summary(self, reference: str) -> dict[str, Any]:
        """One experiment's figures."""
        return self._call("GET", f"/{_quoted(reference)}/summary")

    def start(self, reference: str) -> dict[str, Any]:
        """Start a draft."""
        return self._call("POST", f"/{_quoted(reference)}/start")

    def stop(self, reference: str) -> dict[str, Any]:
        """Stop for good."""
        return self._call("POST", f"/{_quoted(reference)}/stop")

    def system(self) -> dict[str, Any]:
        """How the platform does as a whole."""
        return self._request("GET", "/api/system")

    def _call(
        self, method: str, path: str, body: Mapping[str, object] | None = None
    ) -> dict[str, Any]:
        return self._request(method, f"/api/experiments{path}", body)

    def _request(
        self, method: str, path: str, body: Mapping[str, object] | None = None
    ) -> dict[str, Any]:
        try:
            answer = self._http.request(method, path, json=body)
        except httpx.HTTPError as error:
            raise Unavailable(
                f"the control plane at {self.url} does not answer ({error}); is `pullarm up` running? "
                "--control-url or PULLARM_CONTROL_URL says where it is"
            ) from error
        content = _json(answer)
        if not answer.is_success:
            raise RequestRefused(_message(content, answer.status_code))
        return content


def _quoted(reference: str) -> str:
    return quote(reference, safe="")


def _json(answer: httpx.Response) -> dict[str, Any]:
    try:
        content = answer.json()
    except ValueError:
        content = None
    if not isinstance(content, dict):
        raise RequestRefused(
            f"{answer.url} answered {answer.status_code} and no JSON: is that Pullarm's control plane?"
        )
    return content


def _message(problem: Mapping[str, Any], status: int) -> str:
    fields = [f"  {each['field']}: {each['detail']}" for each in problem.get("problems", ())]
    if fields:
        return "\n".join(["this is not valid:", *fields])
    return str(problem.get("detail", f"the control plane answered {status}"))
