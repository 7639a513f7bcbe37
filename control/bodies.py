"""Request bodies: read as plain JSON and checked by `control/drafts.py`, described here for the OpenAPI document."""

from dataclasses import dataclass

import msgspec
from litestar.openapi.spec import OpenAPIMediaType, Operation, RequestBody, Schema
from litestar.openapi.spec.enums import OpenAPIType

from control.problems import AnyRequest, Malformed, NotJson

_JSON = "application/json"
_LAUNCH = {
    "name": "Bandit Test v1",
    "traffic_pct": 0.8,
    "default_policy": "thompson",
    "notes": "Production bandit experiment",
}
_CHANGE = {"traffic_pct": 0.4, "policies": [{"name": "thompson", "weight": 2.0}, "control"]}


async def read_json(request: AnyRequest) -> object:
    """The body as plain values; raises NotJson where it does not claim to be JSON, Malformed where it is not."""
    # A form of any web page may send the other types without asking.
    media_type = request.content_type[0]
    if media_type.lower() != _JSON:
        raise NotJson(
            detail=f"the body is {media_type[:80] or 'of no type'}; send JSON with Content-Type: {_JSON}"
        )
    try:
        value: object = msgspec.json.decode(await request.body())
    except (msgspec.DecodeError, ValueError, RecursionError) as error:
        raise Malformed(detail=f"the body is not JSON that can be read: {error}") from error
    return value


def _body(example: dict[str, object]) -> RequestBody:
    schema = Schema(type=OpenAPIType.OBJECT, additional_properties=True)
    media_type = OpenAPIMediaType(schema=schema, example=example)
    return RequestBody(content={_JSON: media_type}, required=True)


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
