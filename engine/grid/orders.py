"""The names of a grid bot's orders: a pure function of (bot, level, generation, side).

Because the name follows from the decision, the same order can be sent twice and exists once, and after a crash
the venue's own list tells which decisions had already been carried out.
"""

from functools import lru_cache
from typing import NamedTuple

from engine.ids import BotId, LinkId
from engine.trading.orders import BUY, SELL, Side

ENTRY = "entry"
"""In place of a level: the market order that acquires the starting inventory."""
EXIT = "exit"
"""In place of a level: the market order that closes the position."""

_LETTER_SIDE = {"b": BUY, "s": SELL}


class OrderName(NamedTuple):
    """What a link id says. `level` is a level index, or `entry`, or `exit`."""

    level: int | str
    generation: int
    side: Side


def link_prefix(bot: BotId) -> str:
    """Give the beginning that all order ids of a bot, and no others, share."""
    return f"tg-{bot}_"


def link_id(bot: BotId, level: int | str, generation: int, side: Side) -> LinkId:
    """Name an order. At most 36 characters, as Bybit demands, for any level and a million generations."""
    letter = "b" if side is BUY else "s"
    return LinkId(f"tg-{bot}_{level}_{generation}_{letter}")


@lru_cache(maxsize=16_384)
def parse_link_id(link: LinkId) -> OrderName | None:
    """Read an order's name; None if no bot of ours gave it."""
    parts = link.split("_")
    if len(parts) != 4 or not parts[0].startswith("tg-"):
        return None
    _, level, generation, letter = parts
    if letter not in _LETTER_SIDE or not generation.isdecimal():
        return None
    if level not in (ENTRY, EXIT):
        if not level.removeprefix("-").isdecimal():
            return None
        return OrderName(int(level), int(generation), _LETTER_SIDE[letter])
    return OrderName(level, int(generation), _LETTER_SIDE[letter])
