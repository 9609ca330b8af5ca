"""What the API answers with, where that is not the engine's or the storage's own Struct.

These shapes are promises to other people's programs: fields are added, never changed. Amounts are decimal strings,
times are whole milliseconds since the epoch, UTC.
"""

from decimal import Decimal
from typing import Annotated

import msgspec

from actors.messages import ComponentHealth, StopOutcome
from actors.views import BotFacts, BotView
from engine.grid.config import GridConfig
from engine.grid.explain import LevelView
from engine.grid.pnl import ProfitReport
from engine.ids import AccountId, BotId, Instant
from storage.metrics import MetricRow
from storage.seed import PAPER_ACCOUNT

NAME_LENGTH_MAX = 60

Owner = Annotated[str, msgspec.Meta(max_length=40, description="A person's id.")]


class CreateBot(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A bot to be created."""

    config: GridConfig
    account: AccountId = PAPER_ACCOUNT
    name: Annotated[str, msgspec.Meta(max_length=NAME_LENGTH_MAX)] = ""
    """What the screens call it; empty: named after its pair."""
    start: bool = True


class PreviewBot(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A bot to be weighed before it exists."""

    config: GridConfig
    account: AccountId = PAPER_ACCOUNT
    history: bool = True
    """Whether to run it over recent candles too, which takes a second or more."""


class RenameBot(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What the screens shall call a bot."""

    name: Annotated[str, msgspec.Meta(min_length=1, max_length=NAME_LENGTH_MAX, pattern=r"\S")]


class StopBot(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """How to stop a bot."""

    sell: bool = False
    """Close the position at market, instead of keeping it."""


class Bot(BotFacts, frozen=True, kw_only=True):
    """A bot as it is now."""

    open_orders: int
    levels: int
    """How many there are; each has an address of its own to say why it has, or has not, an order."""


class BotList(msgspec.Struct, frozen=True):
    """Every bot, newest first."""

    items: list[Bot]


class Levels(msgspec.Struct, frozen=True):
    """Why each level of a bot has, or has not, an order; lowest first."""

    bot: BotId
    price: Decimal | None
    live: bool
    as_of_ms: Instant
    items: list[LevelView]


class Profit(msgspec.Struct, frozen=True):
    """A bot's result. Grid profit and floating profit are never mixed."""

    bot: BotId
    profit: ProfitReport | None
    """None until the bot has begun. total = grid_profit + exit_profit + floating - fees - funding."""
    live: bool
    as_of_ms: Instant


class Stopped(msgspec.Struct, frozen=True):
    """What an emergency stop has done."""

    items: list[StopOutcome]
    all_stopped: bool


class MetricsHistory(msgspec.Struct, frozen=True):
    """A bot's figures over time, oldest first."""

    bot: BotId
    items: list[MetricRow]


class Status(msgspec.Struct, frozen=True):
    """The program as a whole."""

    version: str
    environment: str
    """Whose money: paper, demo, testnet or live."""
    feed: str
    placement: str
    address: str
    started_ms: Instant
    ok: bool
    components: list[ComponentHealth]
    bots: dict[str, int]
    """How many bots there are of each status."""


class Health(msgspec.Struct, frozen=True):
    """Whether the program does its work."""

    ok: bool
    components: list[ComponentHealth]


def to_bot(view: BotView) -> Bot:
    """Leave the levels out of a bot's view: they have an address of their own."""
    facts = {name: getattr(view, name) for name in BotFacts.__struct_fields__}
    return Bot(**facts, open_orders=sum(level.order is not None for level in view.levels), levels=len(view.levels))
