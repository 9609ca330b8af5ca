"""Bots over HTTP: created once, refused with every reason, stopped for sure; and what their owner can see."""

import asyncio
import uuid
from collections.abc import Callable
from decimal import Decimal
from typing import Any

import pytest

from tests.api.conftest import Answer, Api

LIMIT_S = 30.0


async def until(api: Api, bot: str, holds: Callable[[dict[str, Any]], bool]) -> dict[str, Any]:
    """Ask for a bot until something holds of it."""
    body: dict[str, Any] = {}
    try:
        async with asyncio.timeout(LIMIT_S):
            while True:
                answer = await api.get(f"/api/v1/bots/{bot}")
                body = answer.body
                if answer.status == 200 and holds(body):
                    return body
                await asyncio.sleep(0.1)
    except TimeoutError:
        pytest.fail(f"not within {LIMIT_S:.0f} s; last seen: {body}")


@pytest.fixture(scope="module")
async def traded(api: Api) -> dict[str, Any]:
    """Give a running bot that has traded, once the database knows it."""
    bot = (await api.create("traded"))["id"]
    for _ in range(200):
        if (await api.get(f"/api/v1/bots/{bot}/executions")).body["items"]:
            break
        await asyncio.sleep(0.1)
    return await until(api, bot, lambda it: it["status"] == "running" and it["profit"]["trades"] >= 1)


def pointers(answer: Answer) -> dict[str, str]:
    """Give what an answer says is wrong, by place."""
    return {each.get("pointer") or each["parameter"]: each["detail"] for each in answer.body["errors"]}


# ---------------------------------------------------------------------- before


async def test_a_preview_tells_the_numbers_and_creates_nothing(api: Api) -> None:
    before = len((await api.get("/api/v1/bots")).body["items"])
    answer = await api.post("/api/v1/bots/preview", {"config": api.grid})
    assert answer.status == 200
    assert len(answer.body["levels"]) == 41
    assert Decimal(answer.body["worst_result"]) < 0
    assert isinstance(answer.body["quantity"], str)
    assert answer.body["warnings"][0]["code"] == "risk_of_loss"
    assert len((await api.get("/api/v1/bots")).body["items"]) == before


async def test_every_refusal_is_listed_with_its_place_and_what_is_allowed(api: Api) -> None:
    config = {**api.grid, "grids": 1, "amount": "0", "leverage": 7, "lower": "70000", "upper": "60000"}
    answer = await api.post("/api/v1/bots", {"config": config})
    assert answer.status == 422
    assert answer.headers["Content-Type"].startswith("application/problem+json")
    assert answer.body["type"] == "urn:trellis:problem:refused"
    assert {"#/config/grids", "#/config/amount", "#/config/leverage", "#/config/upper"} <= set(pointers(answer))
    grids = next(each for each in answer.body["errors"] if each["pointer"] == "#/config/grids")
    assert grids["allowed"] == "2 to 500"
    assert grids["code"] == "grids_out_of_range"


async def test_an_unlisted_pair_and_an_unknown_account_are_refused_at_their_place(api: Api) -> None:
    unlisted = await api.post("/api/v1/bots", {"config": {**api.grid, "symbol": "NOPEUSDT"}})
    assert (unlisted.status, list(pointers(unlisted))) == (422, ["#/config/symbol"])
    unknown = await api.post("/api/v1/bots", {"account": "nobody", "config": api.grid})
    assert (unknown.status, list(pointers(unknown))) == (422, ["#/account"])


async def test_more_than_the_balance_is_refused(api: Api) -> None:
    answer = await api.post("/api/v1/bots", {"config": {**api.grid, "amount": "90000000"}})
    assert answer.status == 422
    assert "#/config/amount" in pointers(answer)


@pytest.mark.parametrize(
    ("change", "pointer"),
    [
        ({"lower": "NaN"}, "#/config/lower"),
        ({"upper": "1e999999"}, "#/config/upper"),
        ({"amount": "Infinity"}, "#/config/amount"),
        ({"grids": "many"}, "#/config/grids"),
        ({"direction": "sideways"}, "#/config/direction"),
        ({"stop_loss": {"price": "x"}}, "#/config/stop_loss/price"),
        ({"symbol": "BTC\u0000USDT"}, "#/config/symbol"),
    ],
)
async def test_a_value_of_the_wrong_form_is_pointed_at(api: Api, change: dict[str, Any], pointer: str) -> None:
    answer = await api.post("/api/v1/bots", {"config": {**api.grid, **change}})
    assert (answer.status, list(pointers(answer))) == (400, [pointer])


async def test_a_body_that_is_no_json_or_not_called_so_is_refused(api: Api) -> None:
    key = {"Idempotency-Key": "k"}
    torn = await api.ask("POST", "/api/v1/bots", data=b"{", headers={**key, "Content-Type": "application/json"})
    assert (torn.status, torn.body["type"]) == (400, "urn:trellis:problem:malformed")
    text = await api.ask("POST", "/api/v1/bots", data=b"{}", headers={**key, "Content-Type": "text/plain"})
    assert text.status == 415
    unknown = await api.post("/api/v1/bots", {"config": api.grid, "colour": "red"})
    assert unknown.status == 400


# ---------------------------------------------------------------------- created once


async def test_a_bot_is_created_and_runs_with_an_order_on_every_level_but_one(api: Api) -> None:
    made = await api.create("runs")
    bot = await until(api, made["id"], lambda it: it["status"] == "running" and it["open_orders"] >= 38)
    assert bot["live"]
    assert bot["desired"] == "running"
    assert "model" in bot["feed"]
    levels = (await api.get(f"/api/v1/bots/{made['id']}/levels")).body
    assert len({level["level"] for level in levels["items"]}) == 41
    assert all(level["why"] for level in levels["items"])


async def test_the_same_command_said_twice_at_once_makes_one_bot(api: Api) -> None:
    key = uuid.uuid4().hex
    body = {"name": "twice", "config": api.grid}
    answers = await asyncio.gather(*(api.post("/api/v1/bots", body, key) for _ in range(4)))
    assert [answer.status for answer in answers] == [201] * 4
    assert len({answer.body["id"] for answer in answers}) == 1
    other = await api.post("/api/v1/bots", {**body, "config": {**api.grid, "grids": 20}}, key)
    assert (other.status, other.body["type"]) == (409, "urn:trellis:problem:different-content")


async def test_a_command_without_its_key_is_refused(api: Api) -> None:
    for headers in ({}, {"Idempotency-Key": ""}, {"Idempotency-Key": "x" * 101}):
        answer = await api.ask("POST", "/api/v1/bots", json={"config": api.grid}, headers=headers)
        assert (answer.status, list(pointers(answer))) == (400, ["Idempotency-Key"])


@pytest.mark.parametrize("bot", ["aaaaaaaa", "AAAAAAAA", "%00aaaaaaa", "x", "'%20OR%201=1"])
@pytest.mark.parametrize("path", ["", "/levels", "/pnl", "/orders", "/actions"])
async def test_an_unknown_bot_is_not_found(api: Api, bot: str, path: str) -> None:
    answer = await api.get(f"/api/v1/bots/{bot}{path}")
    assert (answer.status, answer.body["type"]) == (404, "urn:trellis:problem:not-found")


# ---------------------------------------------------------------------- what its owner sees


async def test_the_result_adds_up_to_the_last_digit(api: Api, traded: dict[str, Any]) -> None:
    profit = {
        name: Decimal(value)
        for name, value in (await api.get(f"/api/v1/bots/{traded['id']}/pnl")).body["profit"].items()
        if isinstance(value, str)
    }
    terms = profit["grid_profit"] + profit["exit_profit"] + profit["floating"] - profit["fees"] - profit["funding"]
    assert terms == profit["total"]


async def test_executions_are_paged_newest_first_without_loss(api: Api, traded: dict[str, Any]) -> None:
    path = f"/api/v1/bots/{traded['id']}/executions"
    whole = (await api.get(f"{path}?limit=500")).body["items"]
    assert whole
    seen, cursor = [], ""
    while True:
        page = (await api.get(f"{path}?limit=1{cursor}&until_ms={whole[0]['at_ms'] + 1}")).body
        seen += page["items"]
        if page["next_cursor"] is None:
            break
        cursor = f"&cursor={page['next_cursor']}"
    assert {each["exec_id"] for each in whole} <= {each["exec_id"] for each in seen}
    assert len({each["exec_id"] for each in seen}) == len(seen)
    assert [each["at_ms"] for each in seen] == sorted((each["at_ms"] for each in seen), reverse=True)


async def test_orders_are_listed_by_what_became_of_them(api: Api, traded: dict[str, Any]) -> None:
    path = f"/api/v1/bots/{traded['id']}/orders?limit=500"
    open_now = (await api.get(f"{path}&state=open")).body["items"]
    filled = (await api.get(f"{path}&state=filled")).body["items"]
    every = (await api.get(path)).body["items"]
    assert open_now
    assert all(order["is_live"] for order in open_now)
    assert filled
    assert not any(order["is_live"] for order in filled)
    assert len(every) >= len(open_now) + len(filled) - 2


async def test_the_log_tells_what_the_bot_did_and_can_be_narrowed_to_a_level(
    api: Api, traded: dict[str, Any]
) -> None:
    path = f"/api/v1/bots/{traded['id']}/actions"
    lines = (await api.get(f"{path}?limit=500")).body["items"]
    assert {"command", "placed"} <= {line["kind"] for line in lines}
    assert all(line["text"] for line in lines)
    level = next(line["level"] for line in lines if line["level"] is not None)
    assert {line["level"] for line in (await api.get(f"{path}?level={level}")).body["items"]} == {level}


async def test_figures_over_time_are_thinned_and_an_empty_span_is_refused(
    api: Api, traded: dict[str, Any]
) -> None:
    path = f"/api/v1/bots/{traded['id']}/metrics-history"
    until_ms = traded["as_of_ms"] + 60_000
    points = (await api.get(f"{path}?until_ms={until_ms}&points=5")).body["items"]
    assert len(points) <= 6
    empty = await api.get(f"{path}?until_ms=5&since_ms=5")
    assert (empty.status, list(pointers(empty))) == (400, ["since_ms"])


@pytest.mark.parametrize(
    ("query", "parameter"),
    [
        ("limit=0", "limit"),
        ("limit=501", "limit"),
        ("state=lost", "state"),
        ("cursor=%F0", "cursor"),
        ("cursor=WzFd", "cursor"),
        ("cursor=WzEwMDAwMDAwMDAwMDAwMDAwMDAwMDAwMDAsIngiXQ", "cursor"),
        ("since_ms=-1", "since_ms"),
        ("colour=red", "colour"),
    ],
)
async def test_a_bad_parameter_is_named(api: Api, traded: dict[str, Any], query: str, parameter: str) -> None:
    answer = await api.get(f"/api/v1/bots/{traded['id']}/orders?{query}")
    assert answer.status == 400
    assert parameter in str(answer.body["errors"])


async def test_the_round_trips_and_the_funding_have_lists(api: Api, traded: dict[str, Any]) -> None:
    for name in ("round-trips", "funding"):
        answer = await api.get(f"/api/v1/bots/{traded['id']}/{name}")
        assert answer.status == 200
        assert isinstance(answer.body["items"], list)


# ---------------------------------------------------------------------- the program


async def test_the_status_names_the_feed_and_counts_the_bots(api: Api, traded: dict[str, Any]) -> None:
    body = (await api.get("/api/v1/status")).body
    assert "model" in body["feed"]
    assert body["environment"] == "paper"
    assert body["ok"]
    assert sum(body["bots"].values()) == len((await api.get("/api/v1/bots")).body["items"])


async def test_prometheus_reads_the_bots_the_components_and_our_own_times(
    api: Api, traded: dict[str, Any]
) -> None:
    answer = await api.get("/metrics")
    text = answer.body.decode()
    assert answer.headers["Content-Type"].startswith("text/plain; version=0.0.4")
    assert f'trellis_bot_up{{bot="{traded["id"]}"}} 1.0' in text
    assert 'trellis_component_up{component="database"} 1.0' in text
    assert 'trellis_bots{status="running"}' in text
    assert 'route="/api/v1/bots/{bot}"' in text
    assert f"/api/v1/bots/{traded['id']}" not in text


# ---------------------------------------------------------------------- the end


async def test_a_stopped_bot_has_no_order_and_starts_again(api: Api) -> None:
    bot = (await api.create("stops"))["id"]
    await until(api, bot, lambda it: it["status"] == "running")
    assert (await api.post(f"/api/v1/bots/{bot}/stop", {"sell": True}, key="sell")).status == 200
    ended = await until(api, bot, lambda it: it["status"] == "stopped")
    assert ended["open_orders"] == 0
    assert Decimal(ended["profit"]["base_inventory"]) < Decimal("0.0001")
    assert (await api.post(f"/api/v1/bots/{bot}/start")).status == 200
    await until(api, bot, lambda it: it["status"] == "running" and it["open_orders"] > 0)
    # Whoever missed the first answer asks again: what was wanted since then stays.
    repeated = await api.post(f"/api/v1/bots/{bot}/stop", {"sell": True}, key="sell")
    assert (repeated.status, repeated.body["desired"]) == (200, "running")
    other = await api.post(f"/api/v1/bots/{bot}/stop", {"sell": False}, key="sell")
    assert (other.status, other.body["type"]) == (409, "urn:trellis:problem:different-content")


async def test_an_emergency_stop_leaves_no_order(api: Api) -> None:
    bot = (await api.create("emergency"))["id"]
    await until(api, bot, lambda it: it["status"] == "running" and it["open_orders"] > 30)
    answer = await api.post(f"/api/v1/bots/{bot}/emergency-stop")
    assert answer.status == 200
    assert answer.body["all_stopped"], answer.body
    assert [item["orders_left"] for item in answer.body["items"]] == [0]
    await until(api, bot, lambda it: it["desired"] == "emergency_stopped" and it["open_orders"] == 0)
