"""Payloads as documented for Bybit, read by our decoders. Not ours to ship: skipped where they are absent."""

import json
import os
from pathlib import Path
from typing import Any

import msgspec
import pytest

from adapters.exchanges.bybit.wire import (
    ExecutionPush,
    ExecutionRow,
    InstrumentRow,
    OrderPush,
    OrderRow,
    Page,
    PositionRow,
    TradeReply,
    WalletRow,
    decode_control,
    decode_private,
    decode_reply,
    decode_trade_reply,
    decode_trades,
)

SHARED = Path(os.environ.get("TRELLIS_SHARED", Path(__file__).parents[4] / "shared"))
FIXTURES = SHARED / "data" / "fixtures"
pytestmark = pytest.mark.skipif(not FIXTURES.is_dir(), reason=f"{FIXTURES} is not there (set TRELLIS_SHARED)")


def payloads(name: str, *functions: str) -> list[Any]:
    """List the examples that ccxt's source quotes for some of its functions."""
    if not FIXTURES.is_dir():
        return []
    items = json.loads((FIXTURES / name).read_text())["items"]
    return [item["json"] for item in items if item["function"] in functions and isinstance(item["json"], dict)]


def test_private_pushes_are_read() -> None:
    found = payloads("bybit_pro.json", "handle_my_trades", "handle_order")
    kinds = set()
    for payload in found:
        if payload.get("topic") in ("order", "execution") and "category" in payload["data"][0]:
            kinds.add(type(decode_private(json.dumps(payload).encode())))
    assert kinds == {OrderPush, ExecutionPush}


def test_public_trades_are_read() -> None:
    (payload,) = payloads("bybit_pro.json", "handle_trades")
    push = decode_trades(json.dumps(payload).encode())
    assert (push.topic, push.data[0].price, push.data[0].side) == ("publicTrade.BTCUSDT", "16578.50", "Buy")


def test_answers_on_sockets_are_read() -> None:
    answers = payloads(
        "bybit_pro.json", "handle_order_ws", "handle_authenticate", "handle_pong", "handle_error_message"
    )
    read = [decode_trade_reply(json.dumps(answer).encode()) for answer in answers if "retCode" in answer]
    assert all(isinstance(answer, TradeReply) for answer in read)
    assert {answer.ret_code for answer in read} >= {0, 170131}
    assert all(decode_control(json.dumps(answer).encode()) for answer in answers if "success" in answer)


@pytest.mark.parametrize(
    ("functions", "row"),
    [
        (("fetch_spot_markets", "fetch_future_markets"), InstrumentRow),
        (("fetch_open_orders",), OrderRow),
        (("fetch_my_trades",), ExecutionRow),
        (("fetch_position",), PositionRow),
    ],
)
def test_documented_lists_are_read(functions: tuple[str, ...], row: type) -> None:

    for payload in payloads("bybit_async_support.json", *functions):
        reply = decode_reply(json.dumps(payload).encode())
        page = msgspec.json.Decoder(Page[row], strict=False).decode(reply.result)  # type: ignore[valid-type]
        assert page.rows


def test_the_documented_wallet_is_read() -> None:

    wallets = [
        payload
        for payload in payloads("bybit_async_support.json", "fetch_balance")
        if "list" in payload["result"] and "coin" in payload["result"]["list"][0]
    ]
    assert wallets
    for payload in wallets:
        reply = decode_reply(json.dumps(payload).encode())
        page = msgspec.json.Decoder(Page[WalletRow], strict=False).decode(reply.result)
        assert page.rows[0].coin[0].coin
