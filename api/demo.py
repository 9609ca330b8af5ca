"""The bot that a fresh installation starts with, so that there is something to watch. On paper money.

It decides a range that fits the market now. It is made once: an installation that has, or had, a bot gets none.
"""

from decimal import Decimal

import msgspec

from actors import wiring
from actors.views import BotView
from engine.grid.config import Direction, GridConfig
from engine.trading.instrument import Instrument, Market
from storage.accounts import Accounts
from storage.seed import OPERATOR, PAPER_ACCOUNT

SYMBOL = "BTCUSDT"
GRIDS = 18
HALF_RANGE = Decimal("0.03")
"""3 % to each side in 18 grids: a third of a percent each, well above the two fees of a tenth that it pays."""
AMOUNT = Decimal(5000)
COMMAND_ID = "demo-bot"


class Suggestion(msgspec.Struct, frozen=True):
    """A grid that fits the market now."""

    config: GridConfig
    price: Decimal


async def suggest(engine: "wiring.Engine") -> Suggestion:
    """Work out a spot grid around the price of the paper venue."""
    account = await Accounts(engine.database).get(PAPER_ACCOUNT)
    assert account is not None
    market = wiring.market_port(engine.plan, account)
    try:
        instrument = await market.instrument(SYMBOL, Market.SPOT)
        ticker = await market.ticker(instrument)
    finally:
        await market.close()
    price = instrument.price(ticker.last)
    config = GridConfig(
        symbol=SYMBOL,
        direction=Direction.SPOT,
        lower=_round(instrument, price * (1 - HALF_RANGE)),
        upper=_round(instrument, price * (1 + HALF_RANGE)),
        grids=GRIDS,
        amount=AMOUNT,
    )
    return Suggestion(config, price)


async def create_first(engine: "wiring.Engine", config: GridConfig) -> BotView | None:
    """Create the demo bot unless there is, or was, a bot. Saying it again changes nothing."""
    if await engine.desk.views():
        return None
    made = await engine.desk.create(OPERATOR, PAPER_ACCOUNT, "Demo", config, COMMAND_ID)
    return None if isinstance(made, list) else made


def _round(instrument: Instrument, price: Decimal) -> Decimal:
    """Bring a price to a round number that a person would choose."""
    step = Decimal(10) ** (price.adjusted() - 2)
    return instrument.price(instrument.nearest_ticks((price / step).to_integral_value() * step))
