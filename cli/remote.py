"""The control plane as the commands reach it: over HTTP, with its problem documents as errors."""

import os
from collections.abc import Mapping
from http import HTTPStatus
from pathlib import Path
from types import TracebackType
from typing import Annotated, Any, Self
from urllib.parse import quote, urlencode, urlsplit

import httpx
from typer import Option

from cli.state import State, surroundings
from control.settings import ADDRESS
from pullarm.domain.errors import ConfigurationError, PullarmError, Unavailable
from pullarm.environment import host_and_port, optional
from pullarm.tls import SERVER, Trust

TIMEOUT_S = 30.0
TOKEN = "PULLARM_TOKEN"
"""Holds the token that the commands show, and curl by the README's lines."""
_LOOPBACK = ("127.0.0.1", "localhost", "::1")
_ANY = {"0.0.0.0": "127.0.0.1", "::": "::1"}
"""What listens at all addresses is asked at one."""

ControlUrl = Annotated[
    str,
    Option(
        "--control-url",
        envvar="PULLARM_CONTROL_URL",
        help="Where the control plane is; else this machine's.",
    ),
]
DEFAULT_URL = ""
"""That of the platform on the state folder, or of PULLARM_HTTP_ADDRESS; see `control_url`."""

TokenState = Annotated[
    Path,
    Option("--state", help=f"State folder whose admin token is used where {TOKEN} is not set."),
]
DEFAULT_STATE = Path(".pullarm")


def control_url(environment: Mapping[str, str]) -> str:
    """Where a control plane with these settings is found from its own machine."""
    address = optional(environment, ADDRESS, "127.0.0.1:8000")
    host, port = host_and_port(ADDRESS, address)
    scheme = "https" if environment.get(SERVER[0]) else "http"
    host = _ANY.get(host, host)
    return f"{scheme}://{f'[{host}]' if ':' in host else host}:{port}"


def _is_here(url: str) -> bool:
    return not url or urlsplit(url).hostname in _LOOPBACK


class RequestRefused(PullarmError):
    """The control plane refused the request."""

    code = "request_refused"


def find_token(url: str, state: Path) -> str:
    """The token of the environment; else, for a control plane of this machine, the state folder's; else none."""
    token, kept = os.environ.get(TOKEN, ""), State(folder=state).admin_token
    # Never to another machine: whoever answers there need not be who it should be.
    if not token and _is_here(url) and kept.exists():
        return kept.read_text(encoding="utf-8").strip()
    return token


class ControlPlane:
    """`with ControlPlane(url, token) as control:`; every method answers JSON as it came."""

    def __init__(self, url: str, token: str, trust: Trust | None = None) -> None:
        parts = urlsplit(url)
        if parts.scheme not in ("http", "https") or not parts.hostname:
            raise ConfigurationError(
                f"--control-url {url!r} is no address, such as http://127.0.0.1:8000; PULLARM_CONTROL_URL sets it too"
            )
        if parts.scheme == "http":
            trust = None
        self.url = (trust.known_as(url) if trust else url).rstrip("/")
        """For people: under the name that its certificate is for."""
        self._extensions = {"sni_hostname": trust.name} if trust and trust.name else {}
        # A proxy from the environment cannot reach a control plane on this machine.
        self._http = httpx.Client(
            base_url=url,
            timeout=TIMEOUT_S,
            trust_env=parts.hostname not in _LOOPBACK,
            verify=trust.context() if trust else True,
            headers={"Authorization": f"Bearer {token}"} if token else {},
        )

    @classmethod
    def found(cls, url: str, state: Path) -> Self:
        """With the token that there is for it, and what its certificate is believed by; "": this machine's."""
        known = surroundings(state) if _is_here(url) else os.environ
        token = find_token(url, state)
        return cls(url or control_url(known), token, Trust.from_environment(known))

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
        return self._call("POST", "/experiments", body)

    def list(self) -> dict[str, Any]:
        """All experiments."""
        return self._call("GET", "/experiments")

    def get(self, reference: str) -> dict[str, Any]:
        """One experiment."""
        return self._call("GET", f"/experiments/{_quoted(reference)}")

    def summary(self, reference: str) -> dict[str, Any]:
        """One experiment's figures."""
        return self._call("GET", f"/experiments/{_quoted(reference)}/summary")

    def events(self, reference: str, **parameters: object) -> dict[str, Any]:
        """A page of one experiment's decisions, newest first; parameters of None are not given."""
        given = {name: value for name, value in parameters.items() if value is not None}
        return self._call("GET", f"/experiments/{_quoted(reference)}/events?{urlencode(given)}")

    def start(self, reference: str) -> dict[str, Any]:
        """Start a draft."""
        return self._call("POST", f"/experiments/{_quoted(reference)}/start")

    def stop(self, reference: str, note: str = "") -> dict[str, Any]:
        """Stop for good."""
        body = {"note": note} if note else None
        return self._call("POST", f"/experiments/{_quoted(reference)}/stop", body)

    def decide(self, reference: str) -> dict[str, Any]:
        """Judge an experiment now."""
        return self._call("POST", f"/experiments/{_quoted(reference)}/decisions")

    def ship(self, reference: str, policy: str | None, note: str) -> dict[str, Any]:
        """Give everybody a policy, or that of the verdict."""
        body = {"policy": policy, "note": note}
        return self._call("POST", f"/experiments/{_quoted(reference)}/ship", body)

    def erase(self, reference: str, user_id: str, note: str) -> dict[str, Any]:
        """Erase a user from an experiment's ledger."""
        body = {"user_id": user_id, "note": note}
        return self._call("POST", f"/experiments/{_quoted(reference)}/erase", body)

    def audit(self, reference: str | None, limit: int, before: int | None) -> dict[str, Any]:
        """Who changed what: of one experiment, or of all there is."""
        of = f"/experiments/{_quoted(reference)}" if reference else ""
        older = f"&before={before}" if before else ""
        return self._call("GET", f"{of}/audit?limit={limit}{older}")

    def guardrails(self, reference: str) -> dict[str, Any]:
        """The newest checks of an experiment's guardrails."""
        return self._call("GET", f"/experiments/{_quoted(reference)}/guardrails")

    def rollback(self, reference: str, note: str = "") -> dict[str, Any]:
        """Give everybody control."""
        body = {"note": note} if note else None
        return self._call("POST", f"/experiments/{_quoted(reference)}/rollback", body)

    def resume(self, reference: str) -> dict[str, Any]:
        """Let it go on after a rollback."""
        return self._call("POST", f"/experiments/{_quoted(reference)}/resume")

    def create_token(self, body: Mapping[str, object]) -> dict[str, Any]:
        """Make a token."""
        return self._call("POST", "/tokens", body)

    def system(self) -> dict[str, Any]:
        """How the platform does as a whole."""
        return self._call("GET", "/system")

    def _call(
        self, method: str, path: str, body: Mapping[str, object] | None = None
    ) -> dict[str, Any]:
        try:
            answer = self._http.request(
                method, f"/api{path}", json=body, extensions=self._extensions
            )
        except httpx.HTTPError as error:
            raise Unavailable(
                f"the control plane at {self.url} does not answer ({error}); is `pullarm up` running? "
                "--control-url or PULLARM_CONTROL_URL says where it is"
            ) from error
        content = _json(answer)
        if answer.status_code == HTTPStatus.UNAUTHORIZED:
            raise RequestRefused(
                f"{_message(content, answer.status_code)}; the commands take it from {TOKEN}, or from the folder "
                "of a `pullarm up` on this machine, which --state names"
            )
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
