"""What a trader asks of a grid bot, and the rules that the numbers must keep.

A `GridConfig` holds the trader's own words (prices and amounts as decimals). `check` answers with every refusal
at once, each naming the number, the reason and the allowed range; it never repairs a value in silence.
"""

from decimal import Decimal
from enum import StrEnum

import msgspec

from engine.errors import Refusal
from engine.trading.instrument import Instrument, Market

GRIDS_MIN = 2
GRIDS_MAX = 500


class Direction(StrEnum):
    """What the bot holds: coins bought for cash, or a perpetual position one way or both."""

    SPOT = "spot"
    LONG = "long"
    SHORT = "short"
    NEUTRAL = "neutral"


class Spacing(StrEnum):
    """How the levels divide the range: equal steps, or equal ratios."""

    ARITHMETIC = "arithmetic"
    GEOMETRIC = "geometric"


class PaidIn(StrEnum):
    """What the investment consists of at the start."""

    QUOTE = "quote"
    """`amount` in the quote coin; the base coin that the sells need is bought at the start."""
    BASE = "base"
    """`amount` in the base coin; what the buys need is sold at the start. Spot only."""
    BOTH = "both"
    """`amount` in the quote coin and `base_amount` in the base coin. Spot only."""


class StopAction(StrEnum):
    """What a stop does when its price is reached. All three cancel every order first."""

    STOP = "stop"
    """The bot ends and the position stays."""
    CANCEL = "cancel"
    """The bot pauses and the position stays; starting it again puts the orders back."""
    CLOSE = "close"
    """The bot ends and the position is closed at market."""


class PriceStop(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A price, and what to do when the market trades there."""

    price: Decimal
    action: StopAction = StopAction.CLOSE


class GridConfig(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """Everything that a trader chooses. Optional rules are None when they are not wanted."""

    symbol: str
    direction: Direction
    lower: Decimal
    upper: Decimal
    grids: int
    """The number of intervals; there is one level more."""
    amount: Decimal
    """The investment, in the coin that `paid_in` names. For a perpetual: the margin."""
    spacing: Spacing = Spacing.ARITHMETIC
    paid_in: PaidIn = PaidIn.QUOTE
    base_amount: Decimal | None = None
    """The base coin put in beside `amount` when `paid_in` is `both`."""
    leverage: int = 1
    trigger_price: Decimal | None = None
    """The bot waits for the market to reach this price before its first order."""
    stop_loss: PriceStop | None = None
    take_profit: PriceStop | None = None
    target_profit: Decimal | None = None
    """Total profit, in the quote coin, at which the bot closes everything."""
    trailing_up_limit: Decimal | None = None
    """The highest price that the top of a rising range may reach; None: the range does not rise."""
    trailing_down_limit: Decimal | None = None
    """The lowest price that the bottom of a falling range may reach; None: the range does not fall."""
    post_only: bool = True
    live_orders: int | None = None
    """At most this many orders rest at the venue, nearest the price first; None: all of them."""
    reinvest: bool = False
    """Earned grid profit enlarges the orders that follow."""

    @property
    def market(self) -> Market:
        """Give the kind of market that the direction trades on."""
        return market_of(self.direction)


def market_of(direction: Direction) -> Market:
    """Give the kind of market that a direction trades on."""
    return Market.SPOT if direction is Direction.SPOT else Market.LINEAR


def check(config: GridConfig, instrument: Instrument) -> list[Refusal]:
    """List everything that is wrong with the numbers, as far as it can be said without a price."""
    return [
        *_check_range(config, instrument),
        *_check_investment(config, instrument),
        *_check_stops(config, instrument),
        *_check_trailing(config),
    ]


def _check_range(config: GridConfig, instrument: Instrument) -> list[Refusal]:
    refusals = []
    lowest, highest = instrument.price(instrument.min_ticks), instrument.price(instrument.max_ticks)
    if not GRIDS_MIN <= config.grids <= GRIDS_MAX:
        refusals.append(
            Refusal(
                "grids_out_of_range",
                "grids",
                f"{config.grids} grids cannot be run",
                f"{GRIDS_MIN} to {GRIDS_MAX}",
            )
        )
    if config.lower < lowest:
        refusals.append(
            Refusal(
                "lower_too_small",
                "lower",
                f"the lower price {config.lower} is below the least one that {instrument.symbol} takes",
                f"at least {lowest}",
            )
        )
    if config.upper > highest:
        refusals.append(
            Refusal(
                "upper_too_large",
                "upper",
                f"the upper price {config.upper} is above the highest one that {instrument.symbol} takes",
                f"at most {highest}",
            )
        )
    if config.upper <= config.lower:
        refusals.append(
            Refusal(
                "upper_not_above_lower",
                "upper",
                f"the upper price {config.upper} is not above the lower price {config.lower}",
                f"above {config.lower}",
            )
        )
    if config.live_orders is not None and not 2 <= config.live_orders <= instrument.max_open_orders:
        refusals.append(
            Refusal(
                "live_orders_out_of_range",
                "live_orders",
                f"a window of {config.live_orders} live orders cannot be kept",
                f"2 to {instrument.max_open_orders}",
            )
        )
    elif config.live_orders is None and config.grids > instrument.max_open_orders:
        refusals.append(
            Refusal(
                "too_many_open_orders",
                "live_orders",
                f"{config.grids} orders at once are more than the venue takes",
                f"set a window of 2 to {instrument.max_open_orders} live orders",
            )
        )
    return refusals


def _check_investment(config: GridConfig, instrument: Instrument) -> list[Refusal]:
    refusals = []
    if config.amount <= 0:
        refusals.append(Refusal("amount_not_positive", "amount", "the investment must be above zero", "above 0"))
    if config.direction is not Direction.SPOT and config.paid_in is not PaidIn.QUOTE:
        refusals.append(
            Refusal(
                "margin_is_quote",
                "paid_in",
                f"margin for {instrument.symbol} is paid in {instrument.quote}",
                "quote",
            )
        )
    if config.paid_in is PaidIn.BOTH and (config.base_amount is None or config.base_amount <= 0):
        refusals.append(
            Refusal(
                "base_amount_missing", "base_amount", f"paying in both coins needs {instrument.base}", "above 0"
            )
        )
    if config.paid_in is not PaidIn.BOTH and config.base_amount is not None:
        refusals.append(
            Refusal("base_amount_unused", "base_amount", "is only read when paying in both coins", "leave it out")
        )
    ceiling = 1 if config.direction is Direction.SPOT else int(instrument.leverage_max)
    if not 1 <= config.leverage <= ceiling:
        refusals.append(
            Refusal(
                "leverage_out_of_range",
                "leverage",
                f"leverage {config.leverage} is not available for {config.direction} on {instrument.symbol}",
                "1" if ceiling == 1 else f"1 to {ceiling}",
            )
        )
    return refusals


def _check_stops(config: GridConfig, instrument: Instrument) -> list[Refusal]:
    """A short loses when the price rises, so its two stops change places; a neutral grid has one on each side."""
    refusals = []
    loss_below = config.direction is not Direction.SHORT
    for field, stop, below in (
        ("stop_loss", config.stop_loss, loss_below),
        ("take_profit", config.take_profit, not loss_below),
    ):
        if stop is None:
            continue
        if below and stop.price >= config.lower:
            refusals.append(
                Refusal(
                    f"{field}_inside_range", field, f"{stop.price} is inside the range", f"below {config.lower}"
                )
            )
        if not below and stop.price <= config.upper:
            refusals.append(
                Refusal(
                    f"{field}_inside_range", field, f"{stop.price} is inside the range", f"above {config.upper}"
                )
            )
        if stop.price < instrument.tick_size:
            refusals.append(
                Refusal(
                    f"{field}_too_small",
                    field,
                    f"{stop.price} is below a tick",
                    f"at least {instrument.tick_size}",
                )
            )
    if config.target_profit is not None and config.target_profit <= 0:
        refusals.append(
            Refusal("target_not_positive", "target_profit", "a target profit must be above zero", "above 0")
        )
    if config.trigger_price is not None and config.trigger_price < instrument.tick_size:
        refusals.append(
            Refusal(
                "trigger_too_small",
                "trigger_price",
                f"{config.trigger_price} is below one tick",
                f"at least {instrument.tick_size}",
            )
        )
    return refusals


def _check_trailing(config: GridConfig) -> list[Refusal]:
    refusals = []
    up, down = config.trailing_up_limit, config.trailing_down_limit
    if up is not None and up <= config.upper:
        refusals.append(
            Refusal(
                "trailing_limit_inside_range",
                "trailing_up_limit",
                f"the range could never rise to {up}",
                f"above {config.upper}",
            )
        )
    if down is not None and not 0 < down < config.lower:
        refusals.append(
            Refusal(
                "trailing_limit_inside_range",
                "trailing_down_limit",
                f"the range could never fall to {down}",
                f"above 0 and below {config.lower}",
            )
        )
    return refusals
