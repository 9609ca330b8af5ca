"""The types of the dashboard say what the served OpenAPI says: no field that is not there, no null unexpected."""

import json
import re
from pathlib import Path
from typing import Any

import msgspec
import pytest

from api.openapi import document
from api.routes import all_routes

TYPES = Path(__file__).parents[2] / "api" / "web" / "app" / "types"

# Where the pages call a thing otherwise than the API.
NAMES = {
    "Action": "ActionRow",
    "Exchange": "ConnectableExchange",
    "Execution": "ExecutionRow",
    "Level": "LevelView",
    "Metric": "MetricRow",
    "Order": "OrderRow",
    "RoundTrip": "RoundTripRow",
    "SessionRow": "OpenSession",
    "Ticker": "Quote",
    "Trade": "TradeRow",
}
# Any list of the API, a page of it at a time.
SHAPES = {"Page", "Rows"}

INTERFACE = re.compile(r"^export interface (\w+)(?:<\w+>)?(?: extends [\w<>, ]+)? \{\n(.*?)^\}", re.M | re.S)
FIELD = re.compile(r"^  (\w+)(\?)?: (.*(?:\n(?: {4,}.*|  \}.*))*)", re.M)


def _interfaces() -> dict[str, dict[str, str]]:
    """Give the fields of every interface, each with its type as it is written; `?` counts as null."""
    found: dict[str, dict[str, str]] = {}
    for path in sorted(TYPES.glob("*.ts")):
        for name, body in INTERFACE.findall(path.read_text()):
            found[name] = {
                field: written + (" | null" if optional else "")
                for field, optional, written in FIELD.findall(body)
            }
    return found


SCHEMAS: dict[str, Any] = msgspec.json.decode(document(all_routes(), "0"))["components"]["schemas"]
INTERFACES = {name: fields for name, fields in _interfaces().items() if name not in SHAPES}


@pytest.mark.parametrize("name", sorted(INTERFACES))
def test_an_interface_of_the_pages_is_one_of_the_api(name: str) -> None:
    schema = SCHEMAS.get(NAMES.get(name, name))
    assert schema is not None, "the API has nothing of this name: correct it, or say here what it is there"
    fields, told = INTERFACES[name], schema["properties"]
    assert fields, "no field was recognised"
    assert set(fields) <= set(told), "the API does not tell these"
    forgotten = {field for field in fields if _may_be_null(told[field]) and "null" not in fields[field]}
    assert not forgotten, "the API may answer null"


def _may_be_null(schema: dict[str, Any]) -> bool:
    return "null" in json.dumps(schema.get("anyOf", schema.get("type", "")))
