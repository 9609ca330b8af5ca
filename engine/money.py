"""Amounts: whole base units of a named asset, never a float.

An amount travels with its asset's id beside it, and two assets never meet in one sum. On every wire it is a
decimal string, in the database NUMERIC(78,0): 64-bit integers end at 18 coins of an asset with 18 decimals.
"""

from decimal import ROUND_UP, Decimal, localcontext
from enum import StrEnum
from typing import NewType

import msgspec

AssetId = NewType("AssetId", str)
"""Network and symbol, as `tron:USDT`. The symbol is a name for people; the contract's address decides."""

UsdMicros = NewType("UsdMicros", int)
"""Whole millionths of a US dollar: what limits and exposures are counted in."""

USD_DECIMALS = 6
UNITS_DIGITS_MAX = 78
"""NUMERIC(78,0) of the database: enough for any 256-bit number."""
_SHOWN_MAX = 40
_DIGITS_MAX = UNITS_DIGITS_MAX + 2


class Network(StrEnum):
    """A chain that money moves on."""

    TRON = "tron"


class Asset(msgspec.Struct, frozen=True):
    """A coin or token. `contract` is empty for the network's own coin."""

    id: AssetId
    network: Network
    symbol: str
    contract: str
    decimals: int
    is_dollar: bool = False
    """A stablecoin that limits count at one dollar."""


def coins(asset: Asset, units: int) -> Decimal:
    """Give an amount in coins, exactly: 1_500_000 units of USDT are 1.5."""
    return _shifted(units, -asset.decimals)


def units(asset: Asset, amount: Decimal) -> int:
    """Give an amount of coins in base units; raise ValueError when the asset or the books cannot hold it."""
    if not amount.is_finite():
        raise ValueError(f"{amount} is not an amount")
    sign, digits, exponent = amount.as_tuple()
    number, places = int("".join(map(str, digits))), int(exponent) + asset.decimals
    if number and len(digits) + places > UNITS_DIGITS_MAX:
        raise ValueError(f"the amount is larger than anything that {asset.symbol} is counted in")
    # What lies behind the last of its digits is nothing, however far behind.
    whole, rest = divmod(number, 10 ** min(max(0, -places), len(digits) + 1))
    if rest:
        raise ValueError(
            f"{str(amount)[:_SHOWN_MAX]} has more than the {asset.decimals} decimals of {asset.symbol}"
        )
    scaled: int = whole * 10 ** max(0, places if number else 0)
    return -scaled if sign else scaled


def usd(micros: int) -> Decimal:
    """Give millionths of a dollar in dollars, exactly."""
    return _shifted(micros, -USD_DECIMALS)


def _shifted(number: int, places: int) -> Decimal:
    with localcontext() as context:
        context.prec = _DIGITS_MAX
        return Decimal(number).scaleb(places)


def usd_micros(asset: Asset, amount_units: int) -> UsdMicros:
    """Count a stablecoin's amount in millionths of a dollar, rounded up: a limit is never passed by a rest."""
    if not asset.is_dollar:
        raise ValueError(f"{asset.id} is not counted in dollars")
    with localcontext() as context:
        context.prec = _DIGITS_MAX
        scaled = Decimal(amount_units).scaleb(USD_DECIMALS - asset.decimals)
        return UsdMicros(int(scaled.to_integral_value(ROUND_UP)))
