"""The OpenAPI document: the framework's own, with our problem documents for whatever goes wrong, and examples."""

from typing import Any

from litestar.openapi.plugins import JsonRenderPlugin

from control.problems import MEDIA_TYPE, AnyRequest

_PROBLEM = {
    "type": "object",
    "required": ["type", "title", "status", "detail", "problems"],
    "properties": {
        "type": {"type": "string", "description": "A URN for each kind of problem."},
        "title": {"type": "string"},
        "status": {"type": "integer"},
        "detail": {"type": "string"},
        "problems": {
            "type": "array",
            "description": "Each field or parameter at fault.",
            "items": {
                "type": "object",
                "required": ["field", "detail"],
                "properties": {"field": {"type": "string"}, "detail": {"type": "string"}},
            },
        },
    },
}
_EXAMPLE = {
    "type": "urn:pullarm:problem:not_found",
    "title": "Not Found",
    "status": 404,
    "detail": "there is no experiment 'front-page'",
    "problems": [],
}
_OTHERWISE = {
    "description": "What was refused, or went wrong (RFC 9457)",
    "content": {
        MEDIA_TYPE: {"schema": {"$ref": "#/components/schemas/Problem"}, "example": _EXAMPLE}
    },
}
_EMPTY = "204"
_EXAMPLES = {
    "reference": "front-page",
    "since": "2026-08-01T00:00:00Z",
    "until": "2026-08-15T00:00:00Z",
    "grain": "hour",
    "policy": "thompson",
    "arm": "sunset",
    "limit": 100,
    "user_id": "user-17",
}
"""By parameter."""


class Described(JsonRenderPlugin):
    """Serves the document as JSON."""

    def render(self, request: AnyRequest, openapi_schema: dict[str, Any]) -> bytes:
        """Complete what the framework knows."""
        openapi_schema["components"]["schemas"]["Problem"] = _PROBLEM
        for operations in openapi_schema["paths"].values():
            for operation in operations.values():
                _complete(operation)
        return super().render(request, openapi_schema)


def _complete(operation: dict[str, Any]) -> None:
    told = operation["responses"]
    fine = {status: answer for status, answer in told.items() if status.startswith("2")}
    for status, answer in fine.items():
        if status == _EMPTY:
            answer.pop("content", None)
    operation["responses"] = {**fine, "default": _OTHERWISE}
    for parameter in operation.get("parameters", ()):
        if parameter["name"] in _EXAMPLES:
            parameter["example"] = _EXAMPLES[parameter["name"]]
