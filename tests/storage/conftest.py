"""Makers of rows that the storage tests share."""

from collections.abc import Awaitable, Callable
from decimal import Decimal

import pytest

from engine.ids import BotId, ExecutionId, Instant, LinkId, VenueOrderId
from engine.trading.orders import OrderKind, Side
from storage.actions import ActionRow
from storage.bots import BotRow, Bots, NewBot
from storage.database import Database
from storage.executions import ExecutionRow, FundingRow, RoundTripRow
from storage.journal import JournalBatch, JournalRow
from storage.leases import Lease, Leases, bot_lease
from storage.metrics import MetricRow
from storage.orders import OrderRow
from storage.seed import OPERATOR, PAPER_ACCOUNT, seed
from tests.factories import new_bot_id

CONFIG = {"symbol": "BTCUSDT", "lower": "90000", "upper": "110000", "grids": 20}


@pytest.fixture(scope="module")
async def bots(database: Database) -> Bots:
    """Give the table of bots of a seeded database."""
    await seed(database)
    return Bots(database)


@pytest.fixture
def make_bot(bots: Bots) -> Callable[..., Awaitable[BotRow]]:
    """Make bots with fresh ids."""

    async def make(name: str = "grid") -> BotRow:
        return await bots.create(NewBot(new_bot_id(), OPERATOR, PAPER_ACCOUNT, name, CONFIG), "test")

    return make


@pytest.fixture
async def led_bot(make_bot: Callable[..., Awaitable[BotRow]], database: Database) -> tuple[BotId, Lease]:
    """Give a bot and its running lease."""
    bot = (await make_bot()).id
    lease = await Leases(database).acquire(bot_lease(bot), "holder-1", 60_000)
    assert lease is not None
    return bot, lease


def order(bot: BotId, number: int, *, seq: int = 1, status: str = "open", filled: str = "0") -> OrderRow:
    """Make an order row."""
    return OrderRow(
        link_id=LinkId(f"tg-{bot}_{number}_0_b"),
        venue_id=VenueOrderId(f"v{number}"),
        level=number,
        side=Side.BUY,
        kind=OrderKind.POST_ONLY,
        price=Decimal("98000.10"),
        quantity=Decimal("0.00100"),
        filled=Decimal(filled),
        status=status,
        reason="",
        is_live=status == "open",
        created_at_ms=Instant(1_700_000_000_000 + number),
        updated_at_ms=Instant(1_700_000_000_000 + seq),
        seq=seq,
    )


def execution(bot: BotId, number: int, *, seq: int = 1, at_ms: int = 1_700_000_000_000) -> ExecutionRow:
    """Make an execution row."""
    return ExecutionRow(
        exec_id=ExecutionId(f"e{number:06d}"),
        link_id=LinkId(f"tg-{bot}_{number}_0_b"),
        side=Side.BUY,
        price=Decimal("98000.10"),
        quantity=Decimal("0.00100"),
        fee=Decimal("0.000001"),
        fee_asset="BTC",
        is_maker=True,
        at_ms=Instant(at_ms + number),
        seq=seq,
    )


def round_trip(seq: int, *, closed_at_ms: int = 1_700_000_000_000) -> RoundTripRow:
    """Make a round trip row that earned 0.8 net."""
    return RoundTripRow(
        seq=seq,
        ordinal=0,
        level=3,
        opened_by=Side.BUY,
        buy_price=Decimal(98000),
        sell_price=Decimal(99000),
        quantity=Decimal("0.001"),
        gross=Decimal("1.000"),
        fees=Decimal("0.200"),
        net=Decimal("0.800"),
        opened_at_ms=Instant(closed_at_ms - 60_000),
        closed_at_ms=Instant(closed_at_ms),
    )


def action(seq: int, *, kind: str = "placed", level: int | None = 3) -> ActionRow:
    """Make a line of a bot's log."""
    return ActionRow(seq, 0, Instant(1_700_000_000_000 + seq), kind, level, f"{kind} at {seq}", {"lots": 5})


def metric(number: int, *, total: str = "1.5") -> MetricRow:
    """Make a sample of a bot's figures."""
    zero = Decimal(0)
    return MetricRow(
        at_ms=Instant(1_700_000_000_000 + number * 1000),
        price=Decimal(98000),
        position=Decimal("0.01"),
        grid_profit=Decimal("2.0"),
        floating_profit=Decimal("-0.5"),
        fees=Decimal("0.2"),
        funding=zero,
        total_profit=Decimal(total),
        drawdown=zero,
        round_trips=2,
        trades=5,
    )


def entries(first: int, last: int) -> list[JournalRow]:
    """Make consecutive journal entries."""
    return [
        JournalRow(seq, Instant(1_700_000_000_000 + seq), b"message %d" % seq) for seq in range(first, last + 1)
    ]


def full_batch(bot: BotId, first: int, last: int) -> JournalBatch:
    """Make a group with something in every table."""
    return JournalBatch(
        entries=entries(first, last),
        orders=[order(bot, first, seq=last)],
        executions=[execution(bot, first, seq=last)],
        round_trips=[round_trip(last)],
        funding=[FundingRow(ExecutionId(f"f{last}"), Decimal("-0.01"), Instant(1_700_000_000_000), last)],
        actions=[action(last)],
        metrics=[metric(last)],
    )
