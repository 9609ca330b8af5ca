"""Trades over HTTP: pages, totals, CSV of exactly the filter; and the dashboard that adds everything up."""

import asyncio
import csv
import io
from decimal import Decimal
from typing import Any

import pytest

from tests.api.browser import browsing, enrol
from tests.api.conftest import Api
from tests.api.test_bots import pointers, until

TRADES = "/api/v1/trades"


@pytest.fixture(scope="module")
async def ended(api: Api) -> dict[str, Any]:
    """Give a bot that bought its position and sold it, so that its history stands still; its name is a formula."""
    bot = (await api.create("=SUM(A1)"))["id"]
    await until(api, bot, lambda it: it["status"] == "running" and it["profit"]["trades"] >= 1)
    assert (await api.post(f"/api/v1/bots/{bot}/stop", {"sell": True})).status == 200
    stopped = await until(api, bot, lambda it: it["status"] == "stopped" and not it["live"])
    for _ in range(100):
        told = (await api.get(f"{TRADES}?bot={bot}")).body["totals"]
        if told and told[0]["trades"] == stopped["profit"]["trades"]:
            return stopped
        await asyncio.sleep(0.1)
    pytest.fail(f"the trades of {bot} were not written: {told}")


async def whole(api: Api, query: str) -> list[dict[str, Any]]:
    """Read a filter page by page."""
    rows, cursor = [], ""
    while True:
        page = (await api.get(f"{TRADES}?{query}&limit=2{cursor}")).body
        rows += page["items"]
        if page["next_cursor"] is None:
            return rows
        cursor = f"&cursor={page['next_cursor']}"


async def test_the_pages_of_a_filter_hold_every_trade_once_newest_first(api: Api, ended: dict[str, Any]) -> None:
    rows = await whole(api, f"bot={ended['id']}")
    assert len(rows) == ended["profit"]["trades"]
    assert len({row["exec_id"] for row in rows}) == len(rows)
    assert [row["at_ms"] for row in rows] == sorted((row["at_ms"] for row in rows), reverse=True)
    assert {row["bot_name"] for row in rows} == {"=SUM(A1)"}
    assert {(row["symbol"], row["base"], row["quote"]) for row in rows} == {("BTCUSDT", "BTC", "USDT")}


@pytest.mark.parametrize("narrowed", ["", "&side=buy", "&side=sell", "&symbol=BTCUSDT", "&symbol=ETHUSDT"])
async def test_the_totals_are_the_sums_of_the_rows(api: Api, ended: dict[str, Any], narrowed: str) -> None:
    query = f"bot={ended['id']}{narrowed}"
    rows = await whole(api, query)
    totals = (await api.get(f"{TRADES}?{query}")).body["totals"]
    if not rows:
        assert totals == []
        return
    (total,) = totals
    assert (total["quote"], total["trades"]) == ("USDT", len(rows))
    for side, name in (("buy", "bought"), ("sell", "sold")):
        assert Decimal(total[name]) == sum(Decimal(row["value"]) for row in rows if row["side"] == side)
    for coin, fees in total["fees"].items():
        assert Decimal(fees) == sum(Decimal(row["fee"]) for row in rows if row["fee_asset"] == coin)
    assert all(Decimal(row["value"]) == Decimal(row["price"]) * Decimal(row["quantity"]) for row in rows)


async def test_a_span_of_time_is_kept_to_the_millisecond(api: Api, ended: dict[str, Any]) -> None:
    rows = await whole(api, f"bot={ended['id']}")
    since, until_ms = rows[-1]["at_ms"], rows[0]["at_ms"]
    inside = [row for row in rows if since <= row["at_ms"] < until_ms]
    query = f"bot={ended['id']}&since_ms={since}&until_ms={until_ms}"
    assert await whole(api, query) == inside
    totals = (await api.get(f"{TRADES}?{query}")).body["totals"]
    assert sum(total["trades"] for total in totals) == len(inside)
    empty = await api.get(f"{TRADES}?since_ms=5&until_ms=5")
    assert (empty.status, list(pointers(empty))) == (400, ["since_ms"])


@pytest.mark.parametrize("as_csv", ["query", "header"])
async def test_the_file_holds_exactly_the_filter_and_no_formula(
    api: Api, ended: dict[str, Any], as_csv: str
) -> None:
    query = f"bot={ended['id']}&side=buy"
    if as_csv == "query":
        answer = await api.get(f"{TRADES}?{query}&format=csv")
    else:
        answer = await api.get(f"{TRADES}?{query}", Accept="text/csv")
    assert answer.status == 200
    assert answer.headers["Content-Type"].startswith("text/csv")
    assert "attachment" in answer.headers["Content-Disposition"]
    text = answer.body.decode()
    assert text.count("\r\n") == text.count("\n")
    lines = list(csv.DictReader(io.StringIO(text)))
    rows = await whole(api, query)
    assert [(line["execution"], Decimal(line["fee"])) for line in lines] == [
        (row["exec_id"], Decimal(row["fee"])) for row in rows
    ]
    assert {line["name"] for line in lines} == {"'=SUM(A1)"}
    assert all(line["time"].endswith("Z") and "e" not in line["price"].lower() for line in lines)


async def test_nobody_sees_the_trades_of_others(api: Api, ended: dict[str, Any]) -> None:
    async with browsing(api.address) as bob:
        await enrol(api, bob)
        for query in ("", f"?bot={ended['id']}"):
            page = (await bob.get(f"/trades{query}")).body
            assert (page["items"], page["totals"]) == ([], [])
        text = (await bob.get("/trades?format=csv")).body.decode()
        assert text.count("\r\n") == 1
        assert (await bob.get("/trades?owner=operator")).status == 403
        figures = (await bob.get("/dashboard")).body
        assert (figures["figures"], figures["fills"], figures["attention"]) == ([], [], [])


# ---------------------------------------------------------------------- the dashboard


async def test_the_figures_are_the_sums_of_the_bots(api: Api) -> None:
    async with browsing(api.address) as ann:
        await enrol(api, ann)
        empty = (await ann.get("/dashboard")).body
        assert (empty["figures"], empty["equity"], empty["fills"], empty["attention"]) == ([], [], [], [])
        account = (await ann.post("/accounts", {"environment": "paper"})).body["id"]
        (free,) = (await ann.get("/dashboard")).body["figures"]
        assert (free["coin"], Decimal(free["free"]), Decimal(free["total"])) == ("USDT", 100_000, 0)
        bots = [
            (await ann.post("/bots", {"account": account, "config": api.grid | {"amount": amount}})).body["id"]
            for amount in ("3000", "4000")
        ]
        for bot in bots:
            await until(api, bot, lambda it: it["status"] == "running" and it["open_orders"] >= 38)
        (running,) = (await ann.get("/dashboard")).body["figures"]
        assert_adds_up(running)
        assert 6_000 < Decimal(running["in_orders"]) < 7_100
        for bot in bots:
            await ann.post(f"/bots/{bot}/stop", {"sell": True})
        for bot in bots:
            await until(api, bot, lambda it: it["status"] == "stopped" and not it["live"])
        # Nothing moves any more, so that two readings can be compared.
        listed = (await ann.get("/bots")).body["items"]
        shown = (await ann.get("/dashboard?days=1")).body
        (figures,) = shown["figures"]
        assert_adds_up(figures)
        for name, parts in {
            "grid_profit": ("grid_profit", "exit_profit"),
            "floating": ("floating",),
            "fees": ("fees",),
            "funding": ("funding",),
            "total": ("total",),
        }.items():
            assert Decimal(figures[name]) == sum(Decimal(bot["profit"][part]) for bot in listed for part in parts)
        assert Decimal(figures["in_orders"]) == 0
        assert figures["today"] == figures["total"]
        assert len(shown["fills"]) >= 4
        moments = [point["at_ms"] for point in shown["equity"]]
        assert moments == sorted(moments)
        assert shown["equity"][-1] == {"at_ms": shown["as_of_ms"], "coin": "USDT", "total": figures["total"]}
        ever = (await ann.get("/dashboard?day_began_ms=0")).body["figures"][0]
        assert ever["today"] == figures["total"]


def assert_adds_up(figures: dict[str, Any]) -> None:
    terms = [Decimal(figures[name]) for name in ("grid_profit", "floating", "fees", "funding")]
    assert terms[0] + terms[1] - terms[2] - terms[3] == Decimal(figures["total"])


async def test_what_lies_outside_its_range_needs_attention(api: Api) -> None:
    price = Decimal((await api.get("/api/v1/market/ticker?account=paper&symbol=BTCUSDT")).body["price"])
    config = {"lower": str(int(price * 2)), "upper": str(int(price * 3)), "grids": 5, "amount": "3000"}
    bot = (await api.create("far away", **config))["id"]
    await until(api, bot, lambda it: it["status"] == "running" and it["live"])
    attention = (await api.get("/api/v1/dashboard")).body["attention"]
    found = next(each for each in attention if each["bot"] == bot)
    assert (found["code"], found["severity"]) == ("price_below_range", "warning")
    await api.post(f"/api/v1/bots/{bot}/stop", {"sell": True})
    await until(api, bot, lambda it: it["status"] == "stopped" and not it["live"])


# ---------------------------------------------------------------------- names, archive, stop in numbers


async def test_a_bot_gets_another_name(api: Api, ended: dict[str, Any]) -> None:
    renamed = await api.post(f"/api/v1/bots/{ended['id']}/rename", {"name": "  week 47 "})
    assert (renamed.status, renamed.body["name"]) == (200, "week 47")
    for name in ("", "   ", "x" * 61):
        answer = await api.post(f"/api/v1/bots/{ended['id']}/rename", {"name": name})
        assert (answer.status, list(pointers(answer))) == (400, ["#/name"])
    await api.post(f"/api/v1/bots/{ended['id']}/rename", {"name": "=SUM(A1)"})


async def test_only_a_bot_that_has_ended_is_archived_and_it_stays_readable(api: Api) -> None:
    bot = (await api.create("archived"))["id"]
    await until(api, bot, lambda it: it["status"] == "running")
    too_soon = await api.post(f"/api/v1/bots/{bot}/archive")
    assert (too_soon.status, too_soon.body["code"]) == (409, "bot_running")
    await api.post(f"/api/v1/bots/{bot}/stop", {"sell": True})
    await until(api, bot, lambda it: it["status"] == "stopped" and not it["live"])
    answer = await api.post(f"/api/v1/bots/{bot}/archive")
    assert answer.status == 200, answer.body
    assert answer.body["archived_ms"]
    assert bot not in {each["id"] for each in (await api.get("/api/v1/bots")).body["items"]}
    for which in ("yes", "all"):
        listed = (await api.get(f"/api/v1/bots?archived={which}")).body["items"]
        assert bot in {each["id"] for each in listed}
    assert (await api.get(f"/api/v1/bots/{bot}/executions")).status == 200
    again = await api.post(f"/api/v1/bots/{bot}/start")
    assert (again.status, again.body["code"]) == (409, "bot_archived")


async def test_a_stop_is_told_in_numbers_before_it_is_asked_for(api: Api) -> None:
    unborn = (await api.post("/api/v1/bots", {"name": "unborn", "config": api.grid, "start": False})).body["id"]
    answer = await api.get(f"/api/v1/bots/{unborn}/stop-preview")
    assert (answer.status, answer.body["code"]) == (409, "not_begun")
    bot = (await api.create("to be stopped"))["id"]
    await until(api, bot, lambda it: it["status"] == "running" and it["open_orders"] >= 38)
    said = (await api.get(f"/api/v1/bots/{bot}/stop-preview")).body
    assert said["orders_to_cancel"] >= 38
    assert said["exit_side"] == "sell"
    position, value = Decimal(said["position"]), Decimal(said["position_value"])
    assert value == position * Decimal(said["price"])
    assert Decimal(said["total_if_sold"]) - Decimal(said["total_if_kept"]) == Decimal(said["difference"])
    assert Decimal(said["difference"]) < 0
    assert Decimal(said["exit_quantity"]) + Decimal(said["left_over"]) == position
    assert said["book_suffices"]
    await api.post(f"/api/v1/bots/{bot}/stop", {"sell": True})
    await until(api, bot, lambda it: it["status"] == "stopped" and not it["live"])


async def test_the_newest_bots_are_listed_alone(api: Api, ended: dict[str, Any]) -> None:
    every = (await api.get("/api/v1/bots")).body["items"]
    assert [each["id"] for each in (await api.get("/api/v1/bots?limit=1")).body["items"]] == [every[0]["id"]]
    assert {each["environment"] for each in every} == {"paper"}
