"""What an API key may do, read from each exchange's own answer: ccxt has no common word for it.

It never guesses: for an exchange that does not tell it refuses, and what may be a right to withdraw counts as one.
"""

from collections.abc import Awaitable, Callable, Mapping
from typing import Any

from engine.errors import Rejected, RejectReason
from engine.ports import KeyPermissions

Told = Mapping[str, Any]


async def key_permissions(exchange: str, ask: Callable[[str], Awaitable[Told]]) -> KeyPermissions:
    """Ask an exchange of `PROFILES` about the key; `Rejected` says that the exchange does not tell."""
    if exchange not in _QUESTIONS:
        raise Rejected(
            RejectReason.OTHER,
            f"{exchange} does not tell what a key may do: check by hand that it cannot withdraw",
            "NotSupported",
        )
    method, read = _QUESTIONS[exchange]
    return read(await ask(method))


def _bybit(told: Told) -> KeyPermissions:
    key = told["result"]
    rights = key.get("permissions") or {}
    writes = str(key.get("readOnly") or "0") == "0"
    return KeyPermissions(
        can_trade_spot=writes and "SpotTrade" in rights.get("Spot", []),
        can_trade_linear=writes and "Order" in rights.get("ContractTrade", []),
        can_withdraw="Withdraw" in rights.get("Wallet", []),
        read_only=not writes,
        bound_to_ip=any(address not in ("", "*") for address in key.get("ips") or []),
        expires_at_ms=None,
    )


def _binance(told: Told) -> KeyPermissions:
    def may(right: str) -> bool:
        return str(told.get(right)).lower() == "true"

    return KeyPermissions(
        can_trade_spot=may("enableSpotAndMarginTrading"),
        can_trade_linear=may("enableFutures"),
        can_withdraw=may("enableWithdrawals"),
        read_only=not (may("enableSpotAndMarginTrading") or may("enableFutures")),
        bound_to_ip=may("ipRestrict"),
        expires_at_ms=None,
    )


def _okx(told: Told) -> KeyPermissions:
    account = told["data"][0]
    rights = _words(account["perm"])
    trades = "trade" in rights
    return KeyPermissions(
        can_trade_spot=trades,
        # Account level 1 is the simple mode: no derivatives.
        can_trade_linear=trades and str(account.get("acctLv")) != "1",
        can_withdraw="withdraw" in rights,
        read_only=not trades,
        bound_to_ip=bool(account.get("ip")),
        expires_at_ms=None,
    )


def _kucoin(told: Told) -> KeyPermissions:
    key = told["data"]
    rights = _words(key["permission"])
    return KeyPermissions(
        can_trade_spot=bool(rights & {"spot", "trade"}),
        can_trade_linear="futures" in rights,
        # `Transfer` is the older name of the right to withdraw; `InnerTransfer` stays within the account.
        can_withdraw=any("withdraw" in right or right in ("transfer", "flextransfers") for right in rights),
        read_only=not rights & {"spot", "trade", "futures"},
        bound_to_ip=bool(key.get("ipWhitelist")),
        expires_at_ms=None,
    )


def _words(text: str) -> set[str]:
    return {word.strip().lower() for word in text.split(",")}


_QUESTIONS: Mapping[str, tuple[str, Callable[[Told], KeyPermissions]]] = {
    "bybit": ("privateGetV5UserQueryApi", _bybit),
    "binance": ("sapiGetAccountApiRestrictions", _binance),
    "okx": ("privateGetAccountConfig", _okx),
    "kucoin": ("privateGetUserApiKey", _kucoin),
}
