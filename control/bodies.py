"""Request bodies: read as plain values, to be checked by whoever knows their fields, and described for OpenAPI."""

import csv
from dataclasses import dataclass

import msgspec
from litestar.openapi.spec import OpenAPIMediaType, Operation, RequestBody, Schema
from litestar.openapi.spec.enums import OpenAPIType

from control.arm_list import from_csv
from control.problems import AnyRequest, Malformed, NotJson

_JSON = "application/json"
_CSV = "text/csv"
_LAUNCH = {
    "name": "Bandit Test v1",
    "traffic_pct": 0.8,
    "default_policy": "thompson",
    "notes": "Production bandit experiment",
}
_ARMS = [
    {"id": "sunset", "payload_hash": "3f1c", "prior_serves": 200, "prior_rewards": 9.5},
    {"id": "harbour", "status": "paused"},
    "forest",
]
_ARMS_CSV = "id,payload_hash,prior_serves,prior_rewards\nsunset,3f1c,200,9.5\nforest,,,\n"
_TOKEN = {"name": "Nightly report", "role": "viewer", "expires_in_days": 90}
_LOG_IN: dict[str, object] = {"token": "pullarm_..."}
_SHIP: dict[str, object] = {"policy": "thompson", "note": "as the verdict of day 9 says"}
_GROUP: dict[str, object] = {"name": "checkout", "holdout_pct": 0.05}
_HOLDOUT: dict[str, object] = {"holdout_pct": 0.1}
_ERASED: dict[str, object] = {"user_id": "ann", "note": "request 17"}
_FORCED = [{"user_id": "ann", "policy": "thompson"}, {"user_id": "bob", "arm": "sunset"}]
_CHANGE = {"traffic_pct": 0.4, "policies": [{"name": "thompson", "weight": 2.0}, "control"]}


async def read_json(request: AnyRequest, default: object = ...) -> object:
    """The body as plain values, or the default, where there is one, for an empty body.

    Raises NotJson where it does not claim to be JSON, Malformed where it is not.
    """
    if default is not ... and not await request.body():
        return default
    # A form of any web page may send the other types without asking.
    media_type = _media_type(request)
    if media_type != _JSON:
        raise NotJson(
            detail=f"the body is {media_type[:80] or 'of no type'}; send JSON with Content-Type: {_JSON}"
        )
    try:
        value: object = msgspec.json.decode(await request.body())
    except (msgspec.DecodeError, ValueError, RecursionError) as error:
        raise Malformed(detail=f"the body is not JSON that can be read: {error}") from error
    return value


async def read_arms(request: AnyRequest) -> object:
    """A list of arms as plain values, from JSON or CSV; raises NotJson for other types, Malformed where it is none."""
    if _media_type(request) != _CSV:
        return await read_json(request)
    try:
        return from_csv((await request.body()).decode("utf-8-sig"))
    except (ValueError, csv.Error) as error:
        raise Malformed(detail=f"the body is not CSV that can be read: {error}") from error


def _media_type(request: AnyRequest) -> str:
    return request.content_type[0].lower()


def _body(example: dict[str, object], *, required: bool = True) -> RequestBody:
    schema = Schema(type=OpenAPIType.OBJECT, additional_properties=True)
    media_type = OpenAPIMediaType(schema=schema, example=example)
    return RequestBody(content={_JSON: media_type}, required=required)


@dataclass
class Create(Operation):
    """Documents the body of a new experiment."""

    def __post_init__(self) -> None:
        self.request_body = _body(_LAUNCH)


@dataclass
class Change(Operation):
    """Documents the body of a change."""

    def __post_init__(self) -> None:
        self.request_body = _body(_CHANGE)


@dataclass
class Clone(Operation):
    """Documents the body of a copy."""

    def __post_init__(self) -> None:
        self.request_body = _body({"name": "Bandit Test v2"}, required=False)


@dataclass
class Ship(Operation):
    """Documents the body of shipping."""

    def __post_init__(self) -> None:
        self.request_body = _body(_SHIP, required=False)


@dataclass
class Stop(Operation):
    """Documents the body of a stop."""

    def __post_init__(self) -> None:
        self.request_body = _body({"note": "no policy is better"}, required=False)


@dataclass
class Rollback(Operation):
    """Documents the body of a rollback."""

    def __post_init__(self) -> None:
        self.request_body = _body({"note": "support has complaints"}, required=False)


@dataclass
class CreateGroup(Operation):
    """Documents the body of a new group."""

    def __post_init__(self) -> None:
        self.request_body = _body(_GROUP)


@dataclass
class ChangeGroup(Operation):
    """Documents the body of a group's holdout."""

    def __post_init__(self) -> None:
        self.request_body = _body(_HOLDOUT)


@dataclass
class EraseUser(Operation):
    """Documents the body of an erasure."""

    def __post_init__(self) -> None:
        self.request_body = _body(_ERASED)


@dataclass
class Force(Operation):
    """Documents the body of a list of forced users."""

    def __post_init__(self) -> None:
        items = Schema(type=OpenAPIType.OBJECT)
        media_type = OpenAPIMediaType(
            schema=Schema(type=OpenAPIType.ARRAY, items=items), example=_FORCED
        )
        self.request_body = RequestBody(content={_JSON: media_type}, required=True)


@dataclass
class StateArms(Operation):
    """Documents the body of a list of arms."""

    def __post_init__(self) -> None:
        arm = Schema(type=[OpenAPIType.STRING, OpenAPIType.OBJECT])
        schema = Schema(one_of=[Schema(type=OpenAPIType.ARRAY, items=arm), arm])
        csv_text = Schema(type=OpenAPIType.STRING)
        self.request_body = RequestBody(
            content={
                _JSON: OpenAPIMediaType(schema=schema, example=_ARMS),
                _CSV: OpenAPIMediaType(schema=csv_text, example=_ARMS_CSV),
            },
            required=True,
        )


@dataclass
class CreateToken(Operation):
    """Documents the body of a new token."""

    def __post_init__(self) -> None:
        self.request_body = _body(_TOKEN)


@dataclass
class LogIn(Operation):
    """Documents the body of a log-in."""

    def __post_init__(self) -> None:
        self.request_body = _body(_LOG_IN)
