"""What a key may do, in each exchange's own words: above all, that a right to withdraw is never overlooked."""

from collections.abc import Mapping
from typing import Any

import pytest

from adapters.exchanges.ccxt_unified.permissions import key_permissions
from engine.errors import Rejected
from engine.ports import KeyPermissions

BYBIT = {"Spot": ["SpotTrade"], "ContractTrade": ["Order"], "Wallet": []}
BINANCE = {"enableSpotAndMarginTrading": True, "enableFutures": True, "ipRestrict": True}
OKX = {"perm": "read_only,trade", "acctLv": "2", "ip": "10.0.0.1"}
KUCOIN = {"permission": "General,Spot", "ipWhitelist": "10.0.0.1"}


async def read(exchange: str, told: Mapping[str, Any]) -> KeyPermissions:
    """Read an exchange's answer."""

    async def ask(method: str) -> Mapping[str, Any]:
        return told

    return await key_permissions(exchange, ask)


@pytest.mark.parametrize(
    ("exchange", "told"),
    [
        ("bybit", {"result": {"permissions": BYBIT | {"Wallet": ["Withdraw"]}}}),
        ("binance", BINANCE | {"enableWithdrawals": True}),
        ("okx", {"data": [OKX | {"perm": "read_only,trade,withdraw"}]}),
        ("kucoin", {"data": KUCOIN | {"permission": "General,Spot,Transfer"}}),
        ("kucoin", {"data": KUCOIN | {"permission": "General, Spot, Withdrawal"}}),
    ],
)
async def test_a_key_that_can_withdraw_is_seen(exchange: str, told: Mapping[str, Any]) -> None:
    assert (await read(exchange, told)).can_withdraw


@pytest.mark.parametrize(
    ("exchange", "told"),
    [
        ("bybit", {"result": {"permissions": BYBIT, "ips": ["10.0.0.1"]}}),
        ("binance", BINANCE | {"enableWithdrawals": False}),
        ("okx", {"data": [OKX]}),
        ("kucoin", {"data": KUCOIN | {"permission": "General,Spot,InnerTransfer"}}),
    ],
)
async def test_a_key_for_trading_may_trade_and_nothing_else(exchange: str, told: Mapping[str, Any]) -> None:
    rights = await read(exchange, told)
    assert rights.can_trade_spot
    assert rights.bound_to_ip
    assert not rights.can_withdraw
    assert not rights.read_only


@pytest.mark.parametrize(
    ("exchange", "told"),
    [
        ("bybit", {"result": {"permissions": BYBIT, "readOnly": 1}}),
        ("binance", {"enableReading": True}),
        ("okx", {"data": [OKX | {"perm": "read_only"}]}),
        ("kucoin", {"data": KUCOIN | {"permission": "General"}}),
    ],
)
async def test_a_key_that_only_reads_is_seen(exchange: str, told: Mapping[str, Any]) -> None:
    rights = await read(exchange, told)
    assert rights.read_only
    assert not rights.can_trade_spot
    assert not rights.can_trade_linear


async def test_the_simple_mode_of_okx_trades_no_swaps() -> None:
    assert not (await read("okx", {"data": [OKX | {"acctLv": "1"}]})).can_trade_linear


async def test_an_exchange_that_does_not_tell_is_refused() -> None:
    with pytest.raises(Rejected, match="mexc does not tell what a key may do"):
        await read("mexc", {})
