"""The OpenAPI 3.1 document, generated from the routes and the types they name.

Nothing in it is written by hand: an address, a field or a status that is not in the code is not in the document.
"""

import ast
import inspect
import textwrap
from typing import Any

import msgspec

from api import problems
from api.problems import Problem
from api.routing import COMMAND_ID_HEADER, COMMAND_ID_PATTERN, PATH_NAMES, Route
from engine.access.principals import Access

_REF = "#/components/schemas/{name}"
_PROBLEMS_OF_ACCESS = {
    Access.PUBLIC: (403, 421, 429),
    Access.USER: (401, 403, 421, 429),
    Access.OPERATOR: (401, 403, 421, 429),
}
_STATUS_WORDS = {200: "As asked", 201: "Created", 202: "Taken on", 204: "Done"}


def document(routes: list[Route], version: str) -> bytes:
    """Write the document as JSON."""
    types: list[Any] = [Problem]
    for route in routes:
        types += [kind for kind in (route.answer, route.body, route.query, *route.mentions) if kind is not None]
    schemas, components = msgspec.json.schema_components(types, ref_template=_REF)
    refs = dict(zip(map(repr, types), schemas, strict=True))
    _describe_fields(components, types)
    paths: dict[str, Any] = {}
    for route in routes:
        paths.setdefault(route.path, {})[route.method.lower()] = _operation(route, refs, components)
    return msgspec.json.encode(
        {
            "openapi": "3.1.0",
            "info": {
                "title": "Trellis",
                "version": version,
                "description": "Grid bots. Amounts are decimal strings, times milliseconds since the epoch (UTC).",
                "license": {"name": "Apache-2.0", "identifier": "Apache-2.0"},
            },
            "servers": [{"url": "/"}],
            "paths": paths,
            "components": {
                "schemas": components,
                "securitySchemes": {
                    "token": {"type": "http", "scheme": "bearer"},
                    "session": {"type": "apiKey", "in": "cookie", "name": "trellis_access"},
                },
            },
        }
    )


def _operation(route: Route, refs: dict[str, Any], components: dict[str, Any]) -> dict[str, Any]:
    summary, _, description = route.summary.partition("\n\n")
    operation: dict[str, Any] = {
        "operationId": route.handler.__name__,
        "tags": [route.tag],
        "summary": summary,
        "parameters": _parameters(route, components),
        "responses": _responses(route, refs),
        "security": [] if route.access is Access.PUBLIC else [{"token": []}, {"session": []}],
    }
    if description:
        operation["description"] = description
    if route.body is not None:
        operation["requestBody"] = {
            "required": any(field.required for field in msgspec.structs.fields(route.body)),
            "content": {"application/json": {"schema": refs[repr(route.body)]}},
        }
    return operation


def _parameters(route: Route, components: dict[str, Any]) -> list[dict[str, Any]]:
    parameters = [
        {
            "name": name,
            "in": "path",
            "required": True,
            "schema": {"type": "string", "pattern": f"^{PATH_NAMES[name].pattern}$"},
            "description": PATH_NAMES[name].words,
        }
        for name in route.parameters
    ]
    if route.query is not None:
        # Parameters stand one by one; their Struct is not a schema of the document.
        schema = components[route.query.__name__]
        for name, of_field in schema["properties"].items():
            parameters.append(
                {"name": name, "in": "query", "required": name in schema.get("required", ()), "schema": of_field}
            )
    if route.command_id_required is not None:
        parameters.append(
            {
                "name": COMMAND_ID_HEADER,
                "in": "header",
                "required": route.command_id_required,
                "schema": {"type": "string", "pattern": f"^{COMMAND_ID_PATTERN}$"},
                "description": "A word of your own; the same when you repeat the command: it is done once.",
            }
        )
    return parameters


def _responses(route: Route, refs: dict[str, Any]) -> dict[str, Any]:
    done: dict[str, Any] = {"description": _STATUS_WORDS[route.status]}
    if route.status != 204:
        done["content"] = {route.media_type: {"schema": refs[repr(route.answer)]}}
        if route.also_as:
            done["content"][route.also_as] = {"schema": {"type": "string"}}
    responses: dict[str, Any] = {str(route.status): done}
    statuses = sorted({*route.problems, *_PROBLEMS_OF_ACCESS[route.access]})
    for status, title in problems.titles(statuses).items():
        responses[str(status)] = {
            "description": title,
            "content": {problems.MEDIA_TYPE: {"schema": refs[repr(Problem)]}},
        }
    return responses


# ---------------------------------------------------------------------- the words beside the fields


def _describe_fields(components: dict[str, Any], types: list[Any]) -> None:
    """Add the strings that stand below the fields in our sources: msgspec knows only those of the Structs."""
    for kind in _structs(types):
        schema = components.get(kind.__name__)
        if schema is None:
            continue
        for name, words in _field_docstrings(kind).items():
            if name in schema["properties"]:
                schema["properties"][name].setdefault("description", words)


def _structs(types: list[Any]) -> list[type]:
    found: dict[type, None] = {}

    def visit(node: msgspec.inspect.Type) -> None:
        match node:
            case msgspec.inspect.StructType(cls=cls, fields=fields):
                if cls not in found:
                    found[cls] = None
                    for field in fields:
                        visit(field.type)
            case msgspec.inspect.UnionType(types=parts):
                for part in parts:
                    visit(part)
            case msgspec.inspect.ListType(item_type=item):
                visit(item)
            case _:
                pass

    for kind in types:
        visit(msgspec.inspect.type_info(kind))
    return list(found)


def _field_docstrings(kind: type) -> dict[str, str]:
    words = {}
    for owner in reversed(kind.__mro__):
        if not issubclass(owner, msgspec.Struct) or owner is msgspec.Struct:
            continue
        body = ast.parse(textwrap.dedent(inspect.getsource(owner))).body[0]
        assert isinstance(body, ast.ClassDef)
        for statement, following in zip(body.body, body.body[1:], strict=False):
            match statement, following:
                case (
                    ast.AnnAssign(target=ast.Name(id=name)),
                    ast.Expr(value=ast.Constant(value=str(text))),
                ):
                    words[name] = " ".join(text.split())
    return words
