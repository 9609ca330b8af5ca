"""Markets over HTTP: what is listed, the price and its past, candles, a first grid that can be started."""

from decimal import Decimal
from itertools import pairwise
from typing import Any

import pytest

from tests.api.conftest import Api
from tests.api.test_bots import pointers

PAPER = "account=paper"


async def quote(api: Api, market: str = "spot") -> dict[str, Any]:
    answer = await api.get(f"/api/v1/market/ticker?{PAPER}&symbol=BTCUSDT&market={market}")
    assert answer.status == 200, answer.body
    body: dict[str, Any] = answer.body
    return body


@pytest.mark.parametrize("market", ["spot", "linear"])
async def test_what_trades_is_listed_with_its_limits(api: Api, market: str) -> None:
    items = (await api.get(f"/api/v1/market/instruments?{PAPER}&market={market}")).body["items"]
    symbols = [each["symbol"] for each in items]
    assert symbols == sorted(symbols)
    btc = items[symbols.index("BTCUSDT")]
    assert (btc["base"], btc["quote"], btc["market"]) == ("BTC", "USDT", market)
    assert Decimal(btc["tick_size"]) > 0
    assert (Decimal(btc["leverage_max"]) > 1) is (market == "linear")


async def test_the_price_now_lies_within_its_week_and_its_month(api: Api) -> None:
    body = await quote(api)
    price = Decimal(body["price"])
    for span in ("week", "month"):
        assert Decimal(body[span]["low"]) <= price <= Decimal(body[span]["high"])
    assert body["month"]["since_ms"] <= body["week"]["since_ms"] < body["at_ms"]
    assert Decimal(body["month"]["low"]) <= Decimal(body["week"]["low"])
    assert (body["funding_rate"], body["next_funding_ms"]) == (None, None)


async def test_a_perpetual_tells_its_funding(api: Api) -> None:
    body = await quote(api, "linear")
    assert Decimal(body["funding_rate"]) == Decimal(body["funding_rate"])
    assert body["next_funding_ms"] > body["at_ms"]
    assert body["funding_interval_min"] == 480


@pytest.mark.parametrize("minutes", [1, 5, 15, 60, 240, 1440])
async def test_candles_come_oldest_first_and_as_many_as_asked(api: Api, minutes: int) -> None:
    path = f"/api/v1/market/candles?{PAPER}&symbol=BTCUSDT&interval_min={minutes}&limit=20"
    items = (await api.get(path)).body["items"]
    assert 0 < len(items) <= 20
    for start_ms, first, high, low, close, volume in items:
        assert start_ms % (minutes * 60_000) == 0
        assert Decimal(low) <= min(Decimal(first), Decimal(close)) <= Decimal(high)
        assert isinstance(volume, str)
    assert all(later[0] - earlier[0] == minutes * 60_000 for earlier, later in pairwise(items))


@pytest.mark.parametrize(
    ("query", "status", "parameter"),
    [
        (f"{PAPER}&symbol=NOPEUSDT", 422, "symbol"),
        ("account=nobody&symbol=BTCUSDT", 422, "account"),
        (f"{PAPER}&symbol=", 400, "symbol"),
        (f"{PAPER}&symbol=BTCUSDT&market=futures", 400, "market"),
        ("symbol=BTCUSDT", 400, "account"),
    ],
)
async def test_a_market_that_is_not_there_is_named(api: Api, query: str, status: int, parameter: str) -> None:
    for path in ("ticker", "candles"):
        answer = await api.get(f"/api/v1/market/{path}?{query}")
        assert answer.status == status, answer.body
        assert parameter in str(answer.body["errors"])


async def test_bars_of_another_length_are_refused_with_those_that_there_are(api: Api) -> None:
    answer = await api.get(f"/api/v1/market/candles?{PAPER}&symbol=BTCUSDT&interval_min=7")
    assert (answer.status, pointers(answer)) == (
        400,
        {"interval_min": "there are bars of 1, 5, 15, 60, 240, 1440 minutes"},
    )


@pytest.mark.parametrize("direction", ["spot", "long", "short", "neutral"])
async def test_a_suggestion_passes_its_own_preview(api: Api, direction: str) -> None:
    body = {"account": "paper", "symbol": "BTCUSDT", "direction": direction}
    config = (await api.post("/api/v1/bots/suggest", body)).body
    assert config["direction"] == direction
    answer = await api.post("/api/v1/bots/preview", {"account": "paper", "config": config})
    assert answer.status == 200, answer.body
    assert Decimal(answer.body["profit_per_grid_min"]) > 0
    assert answer.body["deposit_suffices"]
    small = (await api.post("/api/v1/bots/suggest", {**body, "amount": "300"})).body
    assert small["amount"] == "300"


async def test_a_suggestion_for_a_pair_that_is_not_listed_points_at_it(api: Api) -> None:
    answer = await api.post("/api/v1/bots/suggest", {"account": "paper", "symbol": "NOPEUSDT"})
    assert (answer.status, list(pointers(answer))) == (422, ["#/symbol"])


async def test_a_preview_tells_the_range_of_every_field_and_so_does_a_refusal(api: Api) -> None:
    shown = (await api.post("/api/v1/bots/preview", {"config": api.grid})).body
    ranges = {each["field"]: each for each in shown["ranges"]}
    assert {"lower", "upper", "grids", "amount", "leverage", "stop_loss", "take_profit"} <= ranges.keys()
    least = Decimal(ranges["amount"]["least"])
    # The market has moved on since, but not by so much.
    too_small = {**api.grid, "amount": str((least * Decimal("0.9")).quantize(Decimal("0.01")))}
    refused = await api.post("/api/v1/bots/preview", {"config": too_small})
    assert refused.status == 422
    assert abs(Decimal(refused.body["errors"][0]["least"]) / least - 1) < Decimal("0.02")
    refused = await api.post("/api/v1/bots/preview", {"config": {**api.grid, "grids": 501}})
    assert refused.body["errors"][0]["most"] is not None
