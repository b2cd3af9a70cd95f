"""The API's description in OpenAPI 3.1, made of the table of endpoints and of the shapes themselves.

3.1, because its schemas are JSON Schema 2020-12, which is what msgspec makes of a type: nothing is translated.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import msgspec

from watcher import __version__
from watcher.web.shapes import Problem

if TYPE_CHECKING:
    from watcher.web.api import Endpoint, Parameter

_REF = "#/components/schemas/{name}"
_REFUSALS = {
    "401": "The token is needed, or wrong.",
    "403": "Nothing can be changed here, or not from there.",
    "404": "There is no such thing (any more).",
    "409": "It cannot be done as things stand.",
    "413": "The body is too large.",
    "422": "Not of the shape that is described here.",
    "429": "The request budget has none to give now, or too many ask.",
    "502": "The vendor did not answer.",
    "503": "The daemon is starting, or the state cannot be read now.",
    "504": "No turn came in time.",
}


def describe(operations: Sequence[Endpoint]) -> dict[str, Any]:
    """The whole document."""
    types = [t for one in operations for t in (one.answer, one.takes) if t is not None]
    _, components = msgspec.json.schema_components([*dict.fromkeys(types), Problem], ref_template=_REF)
    paths: dict[str, dict[str, Any]] = {}
    for one in operations:
        paths.setdefault(one.path, {})[one.method.lower()] = _operation(one)
    return {
        "openapi": "3.1.0",
        "info": {
            "title": "watcher",
            "version": __version__,
            "description": "What the status page shows. Instants are RFC 3339 in UTC, values base units, spans in s.",
        },
        "servers": [{"url": "/api/v1"}],
        "paths": paths,
        "components": {
            "schemas": components,
            "securitySchemes": {
                "token": {"type": "http", "scheme": "bearer", "description": "http.token"},
                "session": {"type": "apiKey", "in": "cookie", "name": "watcher_session"},
            },
        },
    }


def _operation(one: Endpoint) -> dict[str, Any]:
    """Reading is open to the machine itself, so it also works with nothing shown."""
    shown: list[dict[str, list[str]]] = [{"token": []}, {"session": []}]
    refusals = ["401", "503"] + (["404"] if one.parameters else [])
    refusals += ["403", "409", "413", "422"] if one.changes else ["422"] if one.name == "series" else []
    refusals += ["429", "502", "504"] if one.name in ("call", "groups") else []
    found: dict[str, Any] = {
        "operationId": one.name,
        "summary": one.help,
        "security": shown if one.changes else [{}, *shown],
        "responses": {
            "200": {"description": one.answer.__doc__ or one.help, "content": _json(one.answer.__name__)},
            **{status: {"description": _REFUSALS[status], "content": _json("Problem")} for status in sorted(refusals)},
        },
    }
    if one.parameters:
        found["parameters"] = [_parameter(parameter) for parameter in one.parameters]
    if one.takes is not None:
        found["requestBody"] = {"required": True, "content": _json(one.takes.__name__)}
    return found


def _parameter(parameter: Parameter) -> dict[str, Any]:
    schema: dict[str, Any] = {"type": "string"}
    if parameter.lowest is not None:
        schema = {"type": "integer", "minimum": parameter.lowest, "maximum": parameter.highest}
    return {
        "name": parameter.name,
        "in": parameter.where,
        "required": parameter.required,
        "description": parameter.help,
        "schema": schema,
    }


def _json(name: str) -> dict[str, Any]:
    return {"application/json": {"schema": {"$ref": _REF.format(name=name)}}}
