"""What an exchange refuses, in its own words and at its own address, is understood.

ccxt chooses among its tables of errors by the address that was asked, which is another one in the shared suite.
"""

import json
from typing import Any

import pytest

from adapters.exchanges.ccxt_unified.errors import translate
from engine.errors import OutcomeUnknown, Rejected, RejectReason, VenueError
from engine.trading.instrument import Market
from tests.adapters.dialects import binance, kucoin, mexc, okx

REASONS = {
    "no_such_symbol": RejectReason.NOT_FOUND,
    "duplicate_link_id": RejectReason.DUPLICATE_LINK_ID,
    "insufficient": RejectReason.INSUFFICIENT_BALANCE,
    "would_take": RejectReason.WOULD_TAKE_LIQUIDITY,
    "below_minimum_value": RejectReason.BELOW_MINIMUM,
    "above_price_cap": RejectReason.PRICE_OUT_OF_RANGE,
    "below_price_floor": RejectReason.PRICE_OUT_OF_RANGE,
    "too_many_orders": RejectReason.TOO_MANY_ORDERS,
    "bad_signature": RejectReason.PERMISSION,
}
BINANCE = {
    Market.SPOT: "https://api.binance.com/api/v3/order",
    Market.LINEAR: "https://fapi.binance.com/fapi/v1/order",
}


@pytest.fixture(scope="module")
def ccxt() -> Any:
    """The library, which takes seconds to import."""
    import ccxt.pro

    return ccxt.pro


def heard(exchange: Any, url: str, status: int, code: int | str, words: str) -> VenueError:
    """Let ccxt read a number and words as the answer to a placement; give what we make of it."""
    return understood(exchange, url, status, {"code": code, "msg": words})


def understood(exchange: Any, url: str, status: int, answer: Any) -> VenueError:
    """Let ccxt read an answer to a placement; give what we make of it."""
    with pytest.raises(Exception) as caught:  # noqa: PT011  which one is what this is about
        exchange.handle_errors(status, "", url, "POST", {}, json.dumps(answer), answer, {}, "")
    return translate(caught.value, command=True)


@pytest.mark.parametrize("market", list(Market))
@pytest.mark.parametrize("meaning", REASONS)
def test_binance_refuses_with_a_reason(ccxt: Any, market: Market, meaning: str) -> None:
    refused = heard(ccxt.binance(), BINANCE[market], 400, *binance.REFUSED[meaning][market])
    assert isinstance(refused, Rejected)
    assert refused.reason is REASONS[meaning]


def test_binance_refuses_to_reduce_what_is_not_there(ccxt: Any) -> None:
    refused = heard(ccxt.binance(), BINANCE[Market.LINEAR], 400, -2022, "ReduceOnly Order is rejected.")
    assert isinstance(refused, Rejected)
    assert refused.reason is RejectReason.REDUCE_ONLY


@pytest.mark.parametrize("market", list(Market))
def test_binance_knows_no_such_order(ccxt: Any, market: Market) -> None:
    for code, words in ((-2013, "Order does not exist."), (-2011, "Unknown order sent.")):
        refused = heard(ccxt.binance(), BINANCE[market], 400, code, words)
        assert isinstance(refused, Rejected)
        assert refused.reason is RejectReason.NOT_FOUND


@pytest.mark.parametrize("market", list(Market))
def test_a_time_out_behind_binances_doors_is_a_doubt(ccxt: Any, market: Market) -> None:
    words = "Timeout waiting for response from backend server. Send status unknown; execution status unknown."
    assert isinstance(heard(ccxt.binance(), BINANCE[market], 503, -1007, words), OutcomeUnknown)


@pytest.mark.parametrize("meaning", sorted(REASONS.keys() & mexc.REFUSED.keys()))
def test_mexc_refuses_with_a_reason(ccxt: Any, meaning: str) -> None:
    refused = heard(ccxt.mexc(), "https://api.mexc.com/api/v3/order", 400, *mexc.REFUSED[meaning])
    assert isinstance(refused, Rejected)
    assert refused.reason is REASONS[meaning]


@pytest.mark.parametrize("meaning", sorted(REASONS.keys() & okx.CODES.keys()))
def test_okx_refuses_with_a_reason(ccxt: Any, meaning: str) -> None:
    code, words = okx.CODES[meaning]
    row = {"clOrdId": "", "ordId": "", "sCode": code, "sMsg": words}
    answer = {"code": "1", "msg": "All operations failed", "data": [row]}
    refused = understood(ccxt.okx(), "https://www.okx.com/api/v5/trade/batch-orders", 200, answer)
    assert isinstance(refused, Rejected)
    assert refused.reason is REASONS[meaning]


@pytest.mark.parametrize("code", ["50001", "50004", "50013", "50026"])
def test_okx_being_busy_is_a_doubt(ccxt: Any, code: str) -> None:
    answer = {"code": code, "msg": "Systems are busy. Please try again later.", "data": []}
    url = "https://www.okx.com/api/v5/trade/batch-orders"
    assert isinstance(understood(ccxt.okx(), url, 200, answer), OutcomeUnknown)


@pytest.mark.parametrize("meaning", sorted(REASONS.keys() & kucoin.CODES.keys()))
def test_kucoin_refuses_with_a_reason(ccxt: Any, meaning: str) -> None:
    refused = heard(ccxt.kucoin(), "https://api.kucoin.com/api/v1/hf/orders", 200, *kucoin.CODES[meaning])
    assert isinstance(refused, Rejected)
    assert refused.reason is REASONS[meaning]


def test_a_fault_behind_kucoins_doors_is_a_doubt(ccxt: Any) -> None:
    url = "https://api.kucoin.com/api/v1/hf/orders"
    assert isinstance(heard(ccxt.kucoin(), url, 500, "500000", "Internal Server Error"), OutcomeUnknown)
