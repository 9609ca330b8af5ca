"""Which bots the soak runs, on which accounts, with which money.

Two bots share an account, as they would at a real venue: one on spot and one on the perpetual, of which an account
has only one position. Both spend the same quote coin, so their results must add up to the wallet's change.
"""

from decimal import Decimal
from itertools import cycle, islice
from typing import Any

import msgspec

from engine.grid.config import Direction, GridConfig, Spacing
from engine.ids import AccountId, BotId

MONEY = {"USDT": "100000", "BTC": "2"}
SYMBOL = "BTCUSDT"
LOWER, UPPER = Decimal("61600"), Decimal("61840")
"""What the recordings of 8 August 2024 trade in, nearly: the bots also see prices outside their range."""


class Member(msgspec.Struct, frozen=True):
    """One bot of the fleet."""

    bot: BotId
    account: AccountId
    name: str
    config: GridConfig


def _grid(direction: str, grids: int, amount: int, **rules: Any) -> GridConfig:
    return GridConfig(
        **{
            "symbol": SYMBOL,
            "direction": Direction(direction),
            "lower": LOWER,
            "upper": UPPER,
            "grids": grids,
            "amount": Decimal(amount),
            **rules,
        }
    )


_SPOT = (
    ("arithmetic", _grid("spot", 24, 5_000)),
    ("geometric", _grid("spot", 20, 6_000, spacing=Spacing.GEOMETRIC)),
    ("windowed", _grid("spot", 40, 8_000, live_orders=8)),
    ("reinvesting", _grid("spot", 16, 4_000, reinvest=True)),
    ("may take", _grid("spot", 30, 6_000, post_only=False)),
    (
        "trailing",
        _grid(
            "spot",
            12,
            3_000,
            lower=Decimal("61640"),
            upper=Decimal("61700"),
            trailing_up_limit=Decimal("61900"),
            trailing_down_limit=Decimal("61500"),
        ),
    ),
)
_LINEAR = (
    ("neutral", _grid("neutral", 24, 5_000, leverage=3)),
    ("long", _grid("long", 20, 5_000, leverage=2)),
    ("short", _grid("short", 20, 5_000, leverage=2)),
    ("neutral windowed", _grid("neutral", 40, 8_000, leverage=5, live_orders=10)),
    ("long geometric", _grid("long", 16, 4_000, leverage=5, spacing=Spacing.GEOMETRIC)),
    ("short may take", _grid("short", 16, 4_000, leverage=3, post_only=False)),
)


def fleet(bots: int) -> list[Member]:
    """Make the first `bots` of an endless mix; the same number always gives the same bots."""
    kinds = zip(cycle(_SPOT), cycle(_LINEAR), strict=False)
    mixed = (each for pair in kinds for each in pair)
    return [
        Member(
            bot=BotId(f"soak{_letters(number)}"),
            account=AccountId(f"soak-{number // 2}"),
            name=f"{'spot' if config.direction is Direction.SPOT else 'linear'} {name} {number}",
            config=config,
        )
        for number, (name, config) in enumerate(islice(mixed, bots))
    ]


def _letters(number: int) -> str:
    alphabet = "abcdefghijklmnopqrstuvwxyz234567"
    return f"aa{alphabet[number // 32]}{alphabet[number % 32]}"
