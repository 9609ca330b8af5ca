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
_DIGITS_MAX = 80


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
    return Decimal(units).scaleb(-asset.decimals)


def units(asset: Asset, amount: Decimal) -> int:
    """Give an amount of coins in base units; raise ValueError when it has more decimals than the asset."""
    with localcontext() as context:
        context.prec = _DIGITS_MAX
        scaled = amount.scaleb(asset.decimals)
        if not scaled.is_finite() or scaled != scaled.to_integral_value():
            raise ValueError(f"{amount:f} has more than the {asset.decimals} decimals of {asset.symbol}")
        return int(scaled)


def usd(micros: int) -> Decimal:
    """Give millionths of a dollar in dollars, exactly."""
    return Decimal(micros).scaleb(-USD_DECIMALS)


def usd_micros(asset: Asset, amount_units: int) -> UsdMicros:
    """Count a stablecoin's amount in millionths of a dollar, rounded up: a limit is never passed by a rest."""
    if not asset.is_dollar:
        raise ValueError(f"{asset.id} is not counted in dollars")
    with localcontext() as context:
        context.prec = _DIGITS_MAX
        scaled = Decimal(amount_units).scaleb(USD_DECIMALS - asset.decimals)
        return UsdMicros(int(scaled.to_integral_value(ROUND_UP)))
