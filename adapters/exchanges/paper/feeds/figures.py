"""What the model is calibrated on: figures measured on recordings of BTCUSDT, spot and perpetual, 2024-08-08.

They came out of this command, once per recording (345 s each; the data itself is not ours to ship):

    python -m adapters.exchanges.paper.feeds.calibrate ../shared/data/ticks/spot_btcusdt_20240808.gz spot
    python -m adapters.exchanges.paper.feeds.calibrate ../shared/data/ticks/usdm_btcusdt_20240808.gz linear
"""

from decimal import Decimal

import msgspec

from engine.trading.instrument import Market

from .calibrate import MarketFigures

SPOT = MarketFigures(
    sweeps_per_s=9.975,
    trades_per_sweep=2.826,
    burstiness=(16.88, 30.85),
    side_persistence=0.7004,
    sweep_value=(5.566, 22.83, 271.4, 1357, 15_550, 61_710, 200_200),
    trade_value=(5.549, 6.774, 37.03, 819.7, 6_173, 19_990, 47_430),
    spread_ticks=(1, 1, 1, 1, 1, 1, 763),
    touch_value=(7_317, 42_700, 124_900, 221_100, 345_800, 414_100, 480_300),
    depth_value=(218_900, 303_900, 473_500, 1_429_000, 2_726_000, 6_089_000),
    levels=(9.575, 18.72, 38.32, 118.9, 255.4, 681),
    volatility_bps=(1.144, 2.489, 3.464, 5.896),
    book_changes_per_s=90.95,
)

LINEAR = MarketFigures(
    sweeps_per_s=15.89,
    trades_per_sweep=3.891,
    burstiness=(22.19, 43.21),
    side_persistence=0.6027,
    sweep_value=(123.4, 492.8, 1_973, 9_580, 116_800, 499_900, 1_697_000),
    trade_value=(123.3, 185, 989, 4_991, 29_960, 70_700, 363_900),
    spread_ticks=(1, 1, 1, 1, 1, 1, 8),
    touch_value=(7_976, 85_440, 194_300, 282_100, 604_400, 1_154_000, 8_037_000),
    depth_value=(426_500, 609_500, 1_232_000, 6_669_000, 13_400_000, 38_950_000),
    levels=(6.897, 16.29, 45.09, 168.5, 382.2, 971.8),
    volatility_bps=(1.252, 2.669, 3.714, 6.114),
    book_changes_per_s=207.4,
)

FIGURES = {Market.SPOT: SPOT, Market.LINEAR: LINEAR}


class Coin(msgspec.Struct, frozen=True):
    """How a coin's markets differ from bitcoin's. Rough orders of magnitude, not measurements."""

    price: Decimal
    """Where the model starts, in USDT."""
    activity: float
    """Share of bitcoin's traded and resting value, and of its arrivals."""
    volatility: float
    """Multiple of bitcoin's volatility."""


COINS = {
    "BTC": Coin(Decimal("61800"), 1.0, 1.0),
    "ETH": Coin(Decimal("2680"), 0.5, 1.3),
    "SOL": Coin(Decimal("155"), 0.3, 1.8),
    "XRP": Coin(Decimal("0.6"), 0.25, 1.7),
    "DOGE": Coin(Decimal("0.106"), 0.2, 2.0),
}

OTHER_COIN = Coin(Decimal("1"), 0.1, 2.0)
"""What a coin without a row is taken for."""
