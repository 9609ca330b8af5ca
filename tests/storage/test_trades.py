"""Trades across bots: pages without loss or repetition, totals that equal their rows, whatever the filter."""

import random
from collections.abc import Awaitable, Callable
from decimal import Decimal

import msgspec
import pytest

from engine.ids import BotId, ExecutionId, Instant, UserId
from engine.trading.orders import Side
from storage import executions
from storage.bots import BotRow, Bots, NewBot
from storage.database import Database
from storage.executions import DAY_MS, ExecutionRow
from storage.metrics import Metrics
from storage.metrics import write as write_metrics
from storage.seed import OPERATOR, PAPER_ACCOUNT
from storage.trades import TradeFilter, TradeRow, Trades, split_span
from storage.users import add_user
from tests.factories import new_bot_id
from tests.storage.conftest import execution, metric

ANN = UserId("ann")
START_MS = 1_700_000_000_000
MakeBot = Callable[..., Awaitable[BotRow]]


@pytest.fixture(scope="module")
async def written(bots: Bots, database: Database) -> dict[BotId, list[ExecutionRow]]:
    """Write some thousand executions of twelve bots of two people over five days, some of them twice."""
    rng = random.Random(11)
    await database.repeat(lambda connection: add_user(connection, ANN, "Ann"))
    rows: dict[BotId, list[ExecutionRow]] = {}
    for number in range(12):
        symbol, quote = rng.choice([("BTCUSDT", "USDT"), ("ETHUSDC", "USDC")])
        owner = ANN if number % 3 else OPERATOR
        bot = (
            await bots.create(
                NewBot(
                    new_bot_id(), owner, PAPER_ACCOUNT, f"bot {number}", {"symbol": symbol}, base="X", quote=quote
                ),
                "test",
            )
        ).id
        rows[bot] = [_fill(rng, bot, at) for at in range(rng.choice([0, 3, 40, 300]))]
        for start in range(0, len(rows[bot]), 50):
            group = rows[bot][max(0, start - 10) : start + 50]
            async with database.transaction() as connection:
                await executions.write(connection, bot, group)
    return rows


def _fill(rng: random.Random, bot: BotId, number: int) -> ExecutionRow:
    return msgspec.structs.replace(
        execution(bot, number),
        exec_id=ExecutionId(f"{bot}-{number}"),
        side=rng.choice(list(Side)),
        price=Decimal(rng.randint(1, 10**7)).scaleb(-2),
        quantity=Decimal(rng.randint(1, 10**6)).scaleb(-6),
        fee=Decimal(rng.randint(-100, 1000)).scaleb(-8),
        fee_asset=rng.choice(["BTC", "USDT"]),
        at_ms=Instant(START_MS + rng.randint(0, 5 * DAY_MS)),
    )


async def all_of(trades: Trades, wanted: TradeFilter, limit: int = 7) -> list[TradeRow]:
    rows, cursor = [], None
    while True:
        page = await trades.page(wanted, cursor=cursor, limit=limit)
        rows += page.items
        cursor = page.next_cursor
        if cursor is None:
            return rows


def filters(written: dict[BotId, list[ExecutionRow]]) -> list[TradeFilter]:
    bot = max(written, key=lambda each: len(written[each]))
    noon = Instant(START_MS + DAY_MS + 12 * 3_600_000)
    later = Instant(noon + 2 * DAY_MS + 1)
    return [
        TradeFilter(None),
        TradeFilter(ANN),
        TradeFilter(UserId("nobody")),
        TradeFilter(None, bot=bot),
        TradeFilter(None, symbol="ETHUSDC"),
        TradeFilter(ANN, side=Side.SELL),
        TradeFilter(None, since_ms=noon),
        TradeFilter(None, until_ms=noon),
        TradeFilter(OPERATOR, side=Side.BUY, since_ms=noon, until_ms=later),
        TradeFilter(None, bot=bot, since_ms=noon, until_ms=Instant(noon + 60_000_000)),
    ]


@pytest.mark.parametrize("number", range(10))
async def test_pages_and_totals_hold_exactly_the_rows_of_the_filter(
    database: Database, bots: Bots, written: dict[BotId, list[ExecutionRow]], number: int
) -> None:
    wanted, trades = filters(written)[number], Trades(database)
    owners = {row.id: row for row in (await bots.page(limit=500)).items}
    expected = [
        (bot, row)
        for bot, rows in written.items()
        for row in rows
        if wanted.owner in (None, owners[bot].owner)
        and wanted.bot in (None, bot)
        and wanted.symbol in (None, owners[bot].config["symbol"])
        and wanted.side in (None, row.side)
        and (wanted.since_ms is None or row.at_ms >= wanted.since_ms)
        and (wanted.until_ms is None or row.at_ms < wanted.until_ms)
    ]
    rows = await all_of(trades, wanted)
    assert [row.exec_id for row in rows] == [
        row.exec_id for _, row in sorted(expected, key=lambda each: (each[1].at_ms, each[1].exec_id), reverse=True)
    ]
    assert [row async for page in trades.all(wanted) for row in page] == rows
    totals = {total.quote: total for total in await trades.totals(wanted)}
    assert totals.keys() == {owners[bot].quote for bot, _ in expected}
    for quote, total in totals.items():
        of_coin = [row for bot, row in expected if owners[bot].quote == quote]
        assert total.trades == len(of_coin)
        values = {side: sum(row.price * row.quantity for row in of_coin if row.side is side) for side in Side}
        assert (total.bought, total.sold) == (values[Side.BUY], values[Side.SELL])
        for asset, fees in total.fees.items():
            assert fees == sum(row.fee for row in of_coin if row.fee_asset == asset)


@pytest.mark.parametrize(
    ("since", "until", "days", "edges"),
    [
        (None, None, (None, None), []),
        (0, 2 * DAY_MS, (0, 2), []),
        (1, 2 * DAY_MS, (1, 2), [(1, DAY_MS)]),
        (0, DAY_MS + 5, (0, 1), [(DAY_MS, DAY_MS + 5)]),
        (5, 9, None, [(5, 9)]),
        (5, 5, None, []),
        (5, None, (1, None), [(5, DAY_MS)]),
        (None, 5, (None, 0), [(0, 5)]),
        (DAY_MS - 1, DAY_MS + 1, (1, 1), [(DAY_MS - 1, DAY_MS), (DAY_MS, DAY_MS + 1)]),
    ],
)
def test_a_span_is_whole_days_and_what_is_left_at_its_ends(
    since: int | None, until: int | None, days: object, edges: object
) -> None:
    instants = [None if each is None else Instant(each) for each in (since, until)]
    assert split_span(*instants) == (days, edges)


async def test_totals_at_a_moment_take_each_bots_last_sample_before_it(
    database: Database, make_bot: MakeBot
) -> None:
    early, late, never = [(await make_bot()).id for _ in range(3)]
    async with database.transaction() as connection:
        await write_metrics(connection, early, [metric(1, total="1"), metric(5, total="5")])
        await write_metrics(connection, late, [metric(4, total="40")])
    moments = [Instant(START_MS + each * 1000) for each in (0, 1, 4, 9)]
    coins = {early: "USDT", late: "USDC", never: "USDT"}
    told = await Metrics(database).totals_at(coins, moments)
    assert told == [
        (moments[1], "USDT", Decimal(1)),
        (moments[2], "USDC", Decimal(40)),
        (moments[2], "USDT", Decimal(1)),
        (moments[3], "USDC", Decimal(40)),
        (moments[3], "USDT", Decimal(5)),
    ]
