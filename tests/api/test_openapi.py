"""The description of the API is valid, complete, and says what the code does."""

import json

import openapi_spec_validator

from api.openapi import document
from api.routes import all_routes
from tests.api.conftest import Api

DOCUMENT = json.loads(document(all_routes(), "0.1.0"))


def test_the_document_is_valid_openapi_3_1() -> None:
    assert DOCUMENT["openapi"].startswith("3.1")
    openapi_spec_validator.validate(DOCUMENT)


def test_every_route_is_described_once_with_its_problems() -> None:
    described = {(method.upper(), path) for path, operations in DOCUMENT["paths"].items() for method in operations}
    assert described == {(route.method, route.path) for route in all_routes()}
    names = [operation["operationId"] for path in DOCUMENT["paths"].values() for operation in path.values()]
    assert len(names) == len(set(names))
    for path in DOCUMENT["paths"].values():
        for operation in path.values():
            assert operation["summary"]
            if operation["security"]:
                assert "application/problem+json" in operation["responses"]["401"]["content"]


def test_amounts_are_decimal_strings_and_fields_explain_themselves() -> None:
    config = DOCUMENT["components"]["schemas"]["GridConfig"]["properties"]
    assert config["lower"] == {"type": "string", "format": "decimal"}
    assert "margin" in config["amount"]["description"]
    assert (
        "before fees"
        in DOCUMENT["components"]["schemas"]["ProfitReport"]["properties"]["grid_profit"]["description"]
    )


async def test_the_server_gives_the_document_to_anyone(api: Api) -> None:
    answer = await api.ask("GET", "/api/v1/openapi.json", token=None)
    assert answer.status == 200
    assert answer.body["paths"].keys() == DOCUMENT["paths"].keys()
