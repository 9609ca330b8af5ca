"""Plain examples for tests: two instruments, a fee schedule, and grid configs that differ where a test says so."""

import random
from decimal import Decimal
from typing import Any

from engine.grid.config import Direction, GridConfig
from engine.ids import BotId
from engine.trading.instrument import FeeRates, Instrument, Market

SPOT = Instrument(
    symbol="COINUSDT",
    market=Market.SPOT,
    base="COIN",
    quote="USDT",
    tick_size=Decimal("0.1"),
    lot_size=Decimal("0.001"),
    min_lots=10,
    max_lots=1_000_000,
    max_market_lots=10_000,
    min_notional=Decimal(5),
)

LINEAR = Instrument(
    symbol="COINUSDT",
    market=Market.LINEAR,
    base="COIN",
    quote="USDT",
    tick_size=Decimal("0.1"),
    lot_size=Decimal("0.001"),
    min_lots=10,
    max_lots=1_000_000,
    max_market_lots=10_000,
    min_notional=Decimal(5),
    leverage_max=Decimal(50),
    funding_interval_min=480,
)

FEES = FeeRates(maker=Decimal("0.001"), taker=Decimal("0.001"))


def instrument_for(direction: Direction) -> Instrument:
    """Give the instrument on which a direction trades."""
    return SPOT if direction is Direction.SPOT else LINEAR


def grid_config(**changes: Any) -> GridConfig:
    """Give a config of ten grids from 90 to 110, paid with 1000 USDT, changed as asked."""
    values: dict[str, Any] = {
        "symbol": "COINUSDT",
        "direction": Direction.SPOT,
        "lower": Decimal(90),
        "upper": Decimal(110),
        "grids": 10,
        "amount": Decimal(1000),
    }
    return GridConfig(**(values | changes))


def new_bot_id() -> BotId:
    """Draw the id of a bot that a test writes into the table itself."""
    return BotId("".join(random.SystemRandom().choices("abcdefghijklmnopqrstuvwxyz234567", k=8)))
