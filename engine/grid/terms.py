"""A grid's terms in whole ticks and units, worked out once: its levels, its stops, its limits.

People configure decimals; the machine compares integers. All of this follows from the config, the instrument and
the fee rates, which never change in a bot's life. So it is kept beside the state and never written down with it.
"""

from decimal import Decimal
from math import ceil, floor

from engine.grid.config import Direction, GridConfig, PriceStop
from engine.grid.levels import level_ticks
from engine.trading.instrument import FeeRates, Instrument, amount_units


class LevelTable(dict[int, int]):
    """The price of each level in ticks, by level index; worked out when it is first asked for."""

    def __init__(self, config: GridConfig, instrument: Instrument) -> None:
        super().__init__()
        self._config, self._instrument = config, instrument

    def __missing__(self, index: int) -> int:
        """Work out the price of a level."""
        ticks = self[index] = level_ticks(self._config, self._instrument, index)
        return ticks


class Terms:
    """What one bot's config means in the numbers of its instrument."""

    def __init__(self, config: GridConfig, instrument: Instrument, fees: FeeRates) -> None:
        self.levels = LevelTable(config, instrument)
        self.stops = _stops(config, instrument)
        """Each price stop with its price in ticks and whether it lies below the market."""
        self.trigger_ticks = (
            None if config.trigger_price is None else instrument.nearest_ticks(config.trigger_price)
        )
        self.target_units = None if config.target_profit is None else amount_units(config.target_profit)
        limit = config.trailing_up_limit
        self.highest_ticks = None if limit is None else floor(limit / instrument.tick_size)
        """The highest price to which the range may rise; None if it does not."""
        limit = config.trailing_down_limit
        self.lowest_ticks = None if limit is None else ceil(limit / instrument.tick_size)
        """The lowest price to which the range may fall; None if it does not."""
        wishes = config.target_profit, config.trailing_up_limit, config.trailing_down_limit
        self.follows_results = any(wish is not None for wish in wishes)
        """Whether a fill can bring on a stop or a shift without any move of the price."""
        # A spot buy may lose its fee in the coin that is bought.
        fee = max(fees.maker, fees.taker, Decimal(0)) if config.direction is Direction.SPOT else Decimal(0)
        self._kept, self._bought = (1 - fee).as_integer_ratio()

    def after_fee(self, lots: int) -> int:
        """Count the whole lots that are left of a buy after the dearest fee."""
        return lots * self._kept // self._bought


def _stops(config: GridConfig, instrument: Instrument) -> tuple[tuple[PriceStop, int, bool], ...]:
    loss_below = config.direction is not Direction.SHORT
    stops = ((config.stop_loss, loss_below), (config.take_profit, not loss_below))
    return tuple(
        (stop, instrument.nearest_ticks(stop.price), is_below) for stop, is_below in stops if stop is not None
    )
