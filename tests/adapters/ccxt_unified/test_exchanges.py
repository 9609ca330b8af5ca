"""Binance, OKX, KuCoin and MEXC through ccxt: asked in their own dialect, read to the last digit."""

from collections.abc import AsyncIterator
from decimal import Decimal

import pytest
import pytest_asyncio

from adapters.exchanges.ccxt_unified.market_data import CcxtMarketData
from adapters.exchanges.ccxt_unified.profiles import PROFILES, from_venue_id, to_venue_id
from adapters.exchanges.ccxt_unified.trading import CcxtTrading
from adapters.secrets.keys import ApiKey
from engine.errors import Rejected, RejectReason
from engine.ids import Instant, LinkId
from engine.trading.instrument import Instrument, Market, amount_units
from engine.trading.market import PublicTrade
from engine.trading.orders import (
    CancelOrder,
    CancelRefused,
    Execution,
    OrderAccepted,
    OrderFact,
    OrderInDoubt,
    OrderKind,
    OrderRejected,
    OrderStatus,
    PlaceOrder,
    Side,
)
from tests.adapters.ccxt_unified.stubs import FILL_MS, STUBS, BinanceStub, OkxStub, Stub, running
from tests.adapters.house import eventually

PREFIX = "tg-abcd2345_"


class Desk:
    """One exchange, its port, and what a bot heard of it."""

    def __init__(self, stub: Stub, trading: CcxtTrading, instrument: Instrument) -> None:
        self.stub, self.trading, self.instrument = stub, trading, instrument
        self.facts: list[OrderFact] = []

    def on_fact(self, fact: OrderFact, at_ms: Instant) -> None:
        """Remember a fact."""
        self.facts.append(fact)

    async def on_gap(self) -> None:
        """Ignore it: the stubs have no streams."""

    async def submit(self, effect: PlaceOrder | CancelOrder) -> OrderFact:
        """Carry out one effect and give the first fact that follows."""
        self.facts.clear()
        self.trading.submit(self.instrument, [effect])
        await eventually(lambda: bool(self.facts), "an answer")
        return self.facts[0]

    def venue_id(self, link_id: LinkId) -> str:
        """Spell our id as the exchange knows it."""
        return to_venue_id(PROFILES[self.stub.exchange], link_id)


@pytest_asyncio.fixture(scope="module", loop_scope="session", params=STUBS, ids=lambda stub: stub.exchange)
async def desk(request: pytest.FixtureRequest) -> AsyncIterator[Desk]:
    """Each exchange in turn."""
    async with running(request.param()) as stub:
        market_data = CcxtMarketData(stub.exchange, stub.address)
        instrument = await market_data.instrument(stub.symbol, Market.SPOT)
        await market_data.close()
        trading = CcxtTrading(stub.exchange, ApiKey("k", "s", "p"), stub.address, timeout_s=2.0, settle_ms=0)
        await trading.connect()
        desk = Desk(stub, trading, instrument)
        trading.attach(PREFIX, instrument, desk.on_fact, desk.on_gap)
        try:
            yield desk
        finally:
            await trading.close()


def order(number: int) -> PlaceOrder:
    """Write a post-only order whose numbers a float would spoil."""
    return PlaceOrder(LinkId(f"{PREFIX}{number}_0_b"), Side.BUY, OrderKind.POST_ONLY, 6_012_313, 1_007)


async def test_filters_are_read_exactly(desk: Desk) -> None:
    instrument = desk.instrument
    assert (instrument.base, instrument.quote) == ("BTC", "USDT")
    assert instrument.tick_size == Decimal("0.01")
    assert instrument.lot_size == Decimal("0.00001")
    assert instrument.min_notional in (Decimal(5), Decimal("0.1"), Decimal(0))
    assert instrument.min_lots >= 1


async def test_balances_are_read_exactly(desk: Desk) -> None:
    balances = await desk.trading.balances(Market.SPOT)
    assert balances["USDT"].total_units == amount_units("1000")
    assert balances["USDT"].free_units == amount_units("900.5")
    assert balances["BTC"].free_units == amount_units("0.25")


async def test_an_order_carries_our_id_and_exact_numbers_and_lives_and_dies(desk: Desk) -> None:
    placed = order(1)
    accepted = await desk.submit(placed)
    assert isinstance(accepted, OrderAccepted)
    row = desk.stub.orders[desk.venue_id(placed.link_id)]
    assert (Decimal(row["price"]), Decimal(row["qty"])) == (Decimal("60123.13"), Decimal("0.01007"))
    (report,) = await desk.trading.open_orders(desk.instrument, PREFIX)
    assert (report.link_id, report.venue_id) == (placed.link_id, accepted.venue_id)
    assert (report.side, report.ticks, report.lots) == (Side.BUY, placed.ticks, placed.lots)
    desk.trading.submit(desk.instrument, [CancelOrder(placed.link_id)])
    await eventually(lambda: row["state"] == "cancelled", "the cancel")
    assert await desk.trading.open_orders(desk.instrument, PREFIX) == []
    found = await desk.trading.find_order(desk.instrument, placed.link_id)
    assert found is not None
    assert found.status is OrderStatus.CANCELLED


async def test_an_order_never_sent_is_absent_and_its_cancel_means_look_it_up(desk: Desk) -> None:
    never = LinkId(f"{PREFIX}99_0_b")
    assert await desk.trading.find_order(desk.instrument, never) is None
    refused = await desk.submit(CancelOrder(never))
    assert isinstance(refused, CancelRefused)
    assert refused.reason is RejectReason.NOT_FOUND


async def test_the_same_id_again_is_a_duplicate(desk: Desk) -> None:
    await desk.submit(order(2))
    refused = await desk.submit(order(2))
    assert isinstance(refused, OrderRejected)
    assert refused.reason is RejectReason.DUPLICATE_LINK_ID


async def test_an_order_without_the_money_is_refused(desk: Desk) -> None:
    desk.stub.poor = True
    refused = await desk.submit(order(3))
    desk.stub.poor = False
    assert isinstance(refused, OrderRejected)
    assert refused.reason is RejectReason.INSUFFICIENT_BALANCE


async def test_an_answer_that_is_no_answer_is_a_doubt(desk: Desk) -> None:
    desk.stub.fail_with = 502
    assert isinstance(await desk.submit(order(4)), OrderInDoubt)
    found = await desk.trading.find_order(desk.instrument, order(4).link_id)
    assert found is not None
    assert found.status is OrderStatus.OPEN


async def test_executions_are_ours_only_with_the_fee_paid(desk: Desk) -> None:
    await desk.submit(order(5))
    desk.stub.place("somebody-else", "BUY" if desk.stub.symbol == "BTCUSDT" else "buy", "60000.00", "0.5")
    listed = await desk.trading.executions(desk.instrument, PREFIX, Instant(FILL_MS - 1_000))
    mine = [fact for fact in listed if isinstance(fact, Execution) and fact.link_id == order(5).link_id]
    assert len(mine) == 1
    assert {fact.link_id[: len(PREFIX)] for fact in listed if isinstance(fact, Execution)} == {PREFIX}
    execution = mine[0]
    assert (execution.ticks, execution.lots, execution.order_lots) == (6_012_313, 1_007, 1_007)
    assert (execution.fee_asset, execution.fee_units) == ("BTC", amount_units("0.000001"))
    assert (execution.is_maker, execution.at_ms) == (True, FILL_MS)


async def test_no_question_missed_its_address(desk: Desk) -> None:
    asked = [path for path in desk.stub.unknown if "/ws" not in path]
    assert not [path for path in asked if "bullet" not in path and "userDataStream" not in path], asked


@pytest.mark.parametrize("kind", [BinanceStub, OkxStub])
async def test_public_trades_are_watched(kind: type[Stub]) -> None:
    heard: list[PublicTrade] = []

    def sink(trade: PublicTrade) -> None:
        heard.append(trade)

    async with running(kind()) as stub:
        market_data = CcxtMarketData(stub.exchange, stub.address)
        instrument = await market_data.instrument(stub.symbol, Market.SPOT)
        await market_data.watch_trades(instrument, sink)
        await eventually(lambda: len(heard) >= 2, "two public trades")
        await market_data.unwatch_trades(instrument, sink)
        await market_data.close()
    assert [trade.ticks for trade in heard[:2]] == [6_012_313, 6_012_314]
    assert not any(trade.buyer_is_taker for trade in heard)
    assert heard[0].at_ms == FILL_MS


@pytest.mark.parametrize("exchange", ["kucoin", "mexc"])
async def test_a_market_that_is_not_reached_is_refused_with_a_reason(exchange: str) -> None:
    market_data = CcxtMarketData(exchange)
    with pytest.raises(Rejected, match=f"{exchange} linear is not supported"):
        await market_data.instruments(Market.LINEAR)
    await market_data.close()


@pytest.mark.parametrize("link_id", ["tg-abcd2345_12_7_b", "tg-ZZ_-3_0_s", "plain"])
def test_an_id_spelled_for_okx_reads_back(link_id: str) -> None:
    okx = PROFILES["okx"]
    spelled = to_venue_id(okx, link_id)
    assert spelled.isalnum()
    assert from_venue_id(okx, spelled) == link_id
    assert spelled.startswith(to_venue_id(okx, link_id[:4]))


def test_an_id_too_long_for_the_exchange_is_refused_before_it_is_sent() -> None:
    with pytest.raises(Rejected, match="order ids of 32 at most"):
        to_venue_id(PROFILES["okx"], "x" * 33)
