"""What every exchange adapter promises, whatever exchange it speaks to. A test module per adapter inherits it.

The house behind `house` is a PaperVenue with a funded account and the adapter's two ports connected to it.
"""

from collections.abc import Mapping, Sequence
from decimal import Decimal
from typing import ClassVar

import msgspec
import pytest
import pytest_asyncio

from engine.errors import Rejected, RejectReason
from engine.ids import Instant, LinkId
from engine.trading.instrument import Instrument, Market, amount_units
from engine.trading.market import PublicTrade
from engine.trading.orders import (
    CancelOrder,
    CancelRefused,
    Execution,
    FundingCharged,
    LookUpOrder,
    OrderAbsent,
    OrderAccepted,
    OrderInDoubt,
    OrderKind,
    OrderRejected,
    OrderReport,
    OrderStatus,
    Side,
)
from tests.adapters.house import PRICE, Bot, House, attached, eventually, now_ms

MINUTE_MS = 60_000
FILTERS = (
    "symbol",
    "base",
    "quote",
    "tick_size",
    "lot_size",
    "min_lots",
    "max_lots",
    "min_notional",
    "leverage_max",
)


class ExchangeSuite:
    """The promises of `MarketDataPort` and `TradingPort`."""

    markets: ClassVar[Sequence[Market]] = tuple(Market)
    """What the adapter reaches at this exchange."""
    many_orders: ClassVar[int] = 30
    """More than a second's rate limit."""
    untold: ClassVar[Mapping[str, str]] = {}
    """Filters of an instrument that the exchange does not publish, each with the reason."""
    no_market_buys: ClassVar[str] = ""
    """Where a spot market order cannot buy by quantity: the words in which the adapter says so."""
    tells_permissions: ClassVar[bool] = True
    """Whether the exchange tells what a key may do."""

    def pytest_generate_tests(self, metafunc: pytest.Metafunc) -> None:
        """Run what needs an instrument once per market."""
        if "instrument" in metafunc.fixturenames:
            metafunc.parametrize("instrument", self.markets, indirect=True, ids=lambda market: market.value)

    @pytest_asyncio.fixture(loop_scope="session")
    async def instrument(self, house: House, request: pytest.FixtureRequest) -> Instrument:
        return await house.market_data.instrument(house.symbol(request.param), request.param)

    @pytest_asyncio.fixture(loop_scope="session")
    async def bot(self, house: House, instrument: Instrument):
        async with attached(house, instrument) as bot:
            yield bot

    # ------------------------------------------------------------------ market data

    async def test_an_instrument_has_the_venues_own_filters(self, house: House, instrument: Instrument) -> None:
        listed = house.listed(instrument.market)
        for name in FILTERS:
            if name not in self.untold:
                assert getattr(instrument, name) == getattr(listed, name), name

    async def test_all_instruments_are_listed(self, house: House, instrument: Instrument) -> None:
        found = await house.market_data.instruments(instrument.market)
        assert {(each.base, each.quote) for each in found} == {("BTC", "USDT"), ("ETH", "USDT")}
        assert instrument in found

    async def test_an_unknown_instrument_is_not_found(self, house: House, instrument: Instrument) -> None:
        with pytest.raises(Rejected) as refused:
            await house.market_data.instrument("NOPEUSDT", instrument.market)
        assert refused.value.reason is RejectReason.NOT_FOUND

    async def test_ticker_and_book_show_the_price_in_ticks(self, house: House, instrument: Instrument) -> None:
        middle = instrument.ticks(str(PRICE))
        ticker = await house.market_data.ticker(instrument)
        assert (ticker.bid, ticker.ask) == (middle - 10, middle + 10)
        assert abs(ticker.last - middle) <= 1_000
        book = await house.market_data.book(instrument, 5)
        assert [ticks for ticks, _ in book.bids] == [middle - 10 * step for step in range(1, 6)]
        assert [ticks for ticks, _ in book.asks] == [middle + 10 * step for step in range(1, 6)]
        assert book.bids[0][1] == Decimal(5)

    @pytest.mark.parametrize("interval_min", [1, 60])
    async def test_candles_come_oldest_first_and_within_the_span(
        self, house: House, instrument: Instrument, interval_min: int
    ) -> None:
        step_ms = interval_min * MINUTE_MS
        end_ms = now_ms() // step_ms * step_ms + step_ms
        start_ms = end_ms - 5 * step_ms
        candles = await house.market_data.candles(instrument, interval_min, Instant(start_ms), Instant(end_ms))
        assert candles
        starts = [candle.start_ms for candle in candles]
        assert starts == sorted(set(starts))
        assert all(start_ms <= start < end_ms and start % step_ms == 0 for start in starts)
        assert candles[-1].low <= instrument.ticks(str(PRICE)) <= candles[-1].high + 100_000

    async def test_public_trades_arrive_until_unwatched(self, house: House, instrument: Instrument) -> None:
        heard: list[PublicTrade] = []

        def sink(trade: PublicTrade) -> None:
            heard.append(trade)

        middle = instrument.ticks(str(PRICE))
        await house.market_data.watch_trades(instrument, sink)

        def poke() -> bool:
            # An adapter may return before the venue has confirmed, so the market goes on trading.
            house.trade(instrument, middle + 3, 1_000, buy=True)
            return any(trade.ticks == middle + 3 for trade in heard)

        await eventually(poke, "a public trade")
        assert all(trade.buyer_is_taker for trade in heard if trade.ticks == middle + 3)
        await house.market_data.unwatch_trades(instrument, sink)

    async def test_public_trades_survive_a_dropped_socket(self, house: House, instrument: Instrument) -> None:
        heard: list[PublicTrade] = []

        def sink(trade: PublicTrade) -> None:
            heard.append(trade)

        def poke() -> bool:
            house.trade(instrument, instrument.ticks(str(PRICE)), 1_000, buy=True)
            return bool(heard)

        await house.market_data.watch_trades(instrument, sink)
        await eventually(poke, "a public trade")
        house.drop_sockets("public")
        heard.clear()
        await eventually(poke, "a public trade after the socket was dropped")
        await house.market_data.unwatch_trades(instrument, sink)

    # ------------------------------------------------------------------ an order's life

    async def test_an_order_is_accepted_rests_and_is_cancelled(self, house: House, bot: Bot) -> None:
        order = bot.order(below=1_003, kind=OrderKind.POST_ONLY, lots=bot.lots("0.01") + 7)
        report = await bot.rest(order)
        at_venue = house.order(order.link_id)
        assert (at_venue.ticks, at_venue.lots) == (order.ticks, order.lots)
        accepted = await bot.heard(order.link_id, OrderAccepted)
        assert accepted.venue_id == report.venue_id
        assert (report.side, report.ticks, report.lots, report.filled_lots) == (
            order.side,
            order.ticks,
            order.lots,
            0,
        )
        listed = await house.trading.open_orders(bot.instrument, bot.prefix)
        assert [each.link_id for each in listed] == [order.link_id]
        found = await house.trading.find_order(bot.instrument, order.link_id)
        assert found is not None
        assert found.status is OrderStatus.OPEN
        await bot.submit(CancelOrder(order.link_id))
        ended = await bot.report(order.link_id, OrderStatus.CANCELLED)
        assert ended.filled_lots == 0
        assert await house.trading.open_orders(bot.instrument, bot.prefix) == []
        found = await house.trading.find_order(bot.instrument, order.link_id)
        assert found is not None
        assert found.status is OrderStatus.CANCELLED

    async def test_many_orders_at_once_are_all_placed_and_listed(self, house: House, bot: Bot) -> None:
        orders = [bot.order(below=1_000 + number) for number in range(self.many_orders)]
        await bot.submit(*orders)
        for order in orders:
            await bot.report(order.link_id, OrderStatus.OPEN)
        listed = await house.trading.open_orders(bot.instrument, bot.prefix)
        assert {each.link_id for each in listed} == {order.link_id for order in orders}
        assert not [fact for fact in bot.facts if isinstance(fact, OrderRejected | OrderInDoubt)]

    async def test_open_orders_are_paged_to_the_end_each_once(self, house: House, bot: Bot) -> None:
        orders = [bot.order(below=1_000 + number) for number in range(120)]
        house.place(bot.instrument, orders)
        listed = await house.trading.open_orders(bot.instrument, bot.prefix)
        assert sorted(each.link_id for each in listed) == sorted(order.link_id for order in orders)

    async def test_a_fill_is_told_with_its_fee_and_listed_the_same(self, house: House, bot: Bot) -> None:
        since_ms = Instant(now_ms() - 1_000)
        order = bot.order(kind=OrderKind.POST_ONLY)
        await bot.rest(order)
        house.trade(bot.instrument, order.ticks - 1)
        (execution,) = await bot.executed(order.link_id, order.lots)
        await bot.report(order.link_id, OrderStatus.FILLED)
        assert (execution.ticks, execution.order_lots, execution.is_maker) == (order.ticks, order.lots, True)
        rates = await house.trading.fee_rates(bot.instrument)
        if bot.instrument.market is Market.SPOT:
            assert execution.fee_asset == "BTC"
            assert execution.fee_units == amount_units(bot.instrument.quantity(order.lots) * rates.maker)
        else:
            assert execution.fee_asset == "USDT"
            value = bot.instrument.price(order.ticks) * bot.instrument.quantity(order.lots)
            assert execution.fee_units == amount_units(value * rates.maker)
        listed = await house.trading.executions(bot.instrument, bot.prefix, since_ms)
        assert list(listed) == [execution]

    async def test_a_partial_fill_then_a_cancel_keeps_the_filled_part(self, house: House, bot: Bot) -> None:
        order = bot.order(below=1_001, lots=bot.lots("0.05"))
        await bot.rest(order)
        house.trade(bot.instrument, order.ticks, 2_000_000)  # 0.02 BTC
        await bot.executed(order.link_id, bot.lots("0.02"))
        await bot.submit(CancelOrder(order.link_id))
        ended = await bot.report(order.link_id, OrderStatus.CANCELLED)
        assert ended.filled_lots == bot.lots("0.02")

    async def test_a_market_order_counts_in_the_base_coin(self, bot: Bot) -> None:
        for side in (Side.BUY, Side.SELL):
            order = bot.order(kind=OrderKind.MARKET, side=side)
            await bot.submit(order)
            if self.no_market_buys and side is Side.BUY and bot.instrument.market is Market.SPOT:
                assert self.no_market_buys in (await bot.heard(order.link_id, OrderRejected)).text
                continue
            executions = await bot.executed(order.link_id, order.lots)
            assert not any(execution.is_maker for execution in executions)
            assert (await bot.report(order.link_id, OrderStatus.FILLED)).ticks == 0

    async def test_a_post_only_order_that_would_cross_is_rejected(self, bot: Bot) -> None:
        order = bot.order(below=-500, kind=OrderKind.POST_ONLY)
        await bot.submit(order)
        assert await bot.rejected(order.link_id) is RejectReason.WOULD_TAKE_LIQUIDITY
        assert not bot.of(order.link_id, Execution)

    # ------------------------------------------------------------------ refusals and doubts

    async def test_the_same_order_sent_twice_exists_once(self, house: House, bot: Bot) -> None:
        order = bot.order()
        await bot.rest(order)
        await bot.submit(order)
        refused = await bot.heard(order.link_id, OrderRejected)
        assert refused.reason is RejectReason.DUPLICATE_LINK_ID
        assert len(await house.trading.open_orders(bot.instrument, bot.prefix)) == 1

    async def test_an_order_without_the_money_is_refused(self, house: House, bot: Bot) -> None:
        # The largest order is worth 4.3 million on spot; on linear 71 million, on a tenth of margin or less.
        most = house.listed(bot.instrument.market).max_lots
        orders = [bot.order(below=100, lots=most) for _ in range(8)]
        for order in orders:
            await bot.submit(order)
        # Each answer is awaited: an order that reached the venue after the test would eat the next test's fills.
        answers = [await bot.answered(order.link_id) for order in orders]
        refused = [answer for answer in answers if isinstance(answer, OrderRejected)]
        assert refused
        assert {answer.reason for answer in refused} == {RejectReason.INSUFFICIENT_BALANCE}

    async def test_an_order_below_the_minimum_is_refused(self, bot: Bot) -> None:
        if bot.instrument.market is Market.LINEAR:
            pytest.skip("one lot of linear BTCUSDT is worth more than the least notional")
        order = bot.order(lots=1)
        await bot.submit(order)
        refused = await bot.heard(order.link_id, OrderRejected)
        assert refused.reason in (RejectReason.BELOW_MINIMUM, RejectReason.INVALID_QUANTITY)

    async def test_cancelling_an_unknown_order_means_look_it_up(self, bot: Bot) -> None:
        link_id = bot.link_id()
        await bot.submit(CancelOrder(link_id))
        refused = await bot.heard(link_id, CancelRefused)
        assert refused.reason is RejectReason.NOT_FOUND

    async def test_a_look_up_tells_a_known_order_from_an_absent_one(self, house: House, bot: Bot) -> None:
        order = bot.order()
        await bot.rest(order)
        bot.facts.clear()
        never = bot.link_id()
        house.trading.submit(bot.instrument, [LookUpOrder(order.link_id), LookUpOrder(never)])
        assert (await bot.heard(order.link_id, OrderReport)).status is OrderStatus.OPEN
        await bot.heard(never, OrderAbsent)
        assert not bot.of(order.link_id, OrderAbsent)

    async def test_an_accepted_order_whose_answer_was_lost_is_in_doubt_and_found(
        self, house: House, bot: Bot
    ) -> None:
        order = bot.order()
        house.venue.faults.lose_answers(1)
        await bot.submit(order)
        await bot.heard(order.link_id, OrderInDoubt)
        bot.facts.clear()
        house.trading.submit(bot.instrument, [LookUpOrder(order.link_id)])
        assert (await bot.heard(order.link_id, OrderReport)).status is OrderStatus.OPEN
        assert len(await house.trading.open_orders(bot.instrument, bot.prefix)) == 1

    @pytest.mark.parametrize("accepted", [True, False])
    async def test_a_server_error_is_a_doubt_whether_or_not_the_order_exists(
        self, house: House, bot: Bot, accepted: bool
    ) -> None:
        order = bot.order()
        house.venue.faults.refuse(10016, accepted=accepted)
        await bot.submit(order)
        await bot.heard(order.link_id, OrderInDoubt)
        found = await house.trading.find_order(bot.instrument, order.link_id)
        assert (found is not None) == accepted

    # ------------------------------------------------------------------ several bots, gaps, lists

    async def test_each_bot_hears_of_its_own_orders_only(self, house: House, bot: Bot) -> None:
        async with attached(house, bot.instrument) as other:
            mine, theirs = bot.order(), other.order()
            await bot.rest(mine)
            await other.rest(theirs)
            house.trade(bot.instrument, mine.ticks - 1)
            await bot.executed(mine.link_id, mine.lots)
            await other.executed(theirs.link_id, theirs.lots)
            assert {fact.link_id for fact in bot.facts} == {mine.link_id}  # type: ignore[union-attr]
            assert {fact.link_id for fact in other.facts} == {theirs.link_id}  # type: ignore[union-attr]
            listed = await house.trading.executions(bot.instrument, bot.prefix, Instant(now_ms() - 60_000))
            assert {fact.link_id for fact in listed if isinstance(fact, Execution)} == {mine.link_id}

    async def test_the_orders_of_other_programs_pass_unseen(self, house: House, bot: Bot) -> None:
        since_ms = Instant(now_ms() - 1_000)
        mine = bot.order()
        await bot.rest(mine)
        names = LinkId(f"other{mine.link_id[6:11]}"), LinkId("")
        house.place(bot.instrument, [msgspec.structs.replace(mine, link_id=name) for name in names])
        listed = await house.trading.open_orders(bot.instrument, bot.prefix)
        assert [report.link_id for report in listed] == [mine.link_id]
        house.trade(bot.instrument, mine.ticks - 1)
        await bot.report(mine.link_id, OrderStatus.FILLED)
        await bot.executed(mine.link_id, mine.lots)
        assert {fact.link_id for fact in bot.facts} == {mine.link_id}  # type: ignore[union-attr]
        listed = await house.trading.executions(bot.instrument, bot.prefix, since_ms)
        assert {fact.link_id for fact in listed if isinstance(fact, Execution)} == {mine.link_id}

    async def test_an_order_of_no_attached_bot_is_a_bug(self, house: House, instrument: Instrument) -> None:
        with pytest.raises(ValueError, match="no bot is attached"):
            house.trading.submit(instrument, [CancelOrder(LinkId("tg-nobody_1_0_b"))])

    async def test_a_dropped_private_socket_is_a_gap_and_the_missed_fill_is_listed(
        self, house: House, bot: Bot
    ) -> None:
        since_ms = Instant(now_ms() - 1_000)
        order = bot.order()
        await bot.rest(order)
        house.drop_sockets("private")
        house.trade(bot.instrument, order.ticks - 1)  # Nobody can hear it.
        await eventually(lambda: bot.gaps > 0, "the notice of a gap")
        listed = await house.trading.executions(bot.instrument, bot.prefix, since_ms)
        assert [execution.link_id for execution in listed if isinstance(execution, Execution)] == [order.link_id]
        # And the stream is alive again.
        after = bot.order()
        await bot.rest(after)

    async def test_executions_are_paged_to_the_end_oldest_first_each_once(self, house: House, bot: Bot) -> None:
        since_ms = Instant(now_ms() - 1_000)
        order = bot.order(lots=bot.lots("0.3"))
        await bot.rest(order)
        for _ in range(150):
            house.trade(bot.instrument, order.ticks - 1, 200_000)  # 0.002 BTC each, in 150 pieces
        await bot.executed(order.link_id, order.lots)
        listed = await house.trading.executions(bot.instrument, bot.prefix, since_ms)
        executions = [fact for fact in listed if isinstance(fact, Execution)]
        assert len(executions) == len({execution.exec_id for execution in executions}) == 150
        assert [execution.at_ms for execution in executions] == sorted(execution.at_ms for execution in executions)
        assert sum(execution.lots for execution in executions) == order.lots

    # ------------------------------------------------------------------ the account

    async def test_balances_show_what_open_orders_hold(self, house: House, bot: Bot) -> None:
        before = (await house.trading.balances(bot.instrument.market))["USDT"]
        await bot.rest(bot.order(lots=bot.lots("1")))
        balances = await house.trading.balances(bot.instrument.market)
        after = balances["USDT"]
        assert after.total_units == before.total_units
        if bot.instrument.market is Market.SPOT:
            assert balances["BTC"].total_units == house.account.coin("BTC")
            held = bot.instrument.value(bot.order().ticks, bot.lots("1"))
            assert before.free_units - after.free_units == held
        else:
            assert before.free_units > after.free_units

    async def test_a_position_follows_the_fills_and_prepare_can_be_repeated(self, house: House, bot: Bot) -> None:
        if bot.instrument.market is Market.SPOT:
            pytest.skip("spot has no positions")
        await house.trading.prepare(bot.instrument, 5)
        await house.trading.prepare(bot.instrument, 5)
        before = (await house.trading.position(bot.instrument)).lots
        order = bot.order(kind=OrderKind.MARKET, side=Side.SELL)
        await bot.submit(order)
        await bot.executed(order.link_id, order.lots)
        position = await house.trading.position(bot.instrument)
        assert position.lots == before - order.lots
        if position.lots:
            assert position.leverage == 5

    async def test_funding_is_told_and_listed(self, house: House, bot: Bot) -> None:
        if bot.instrument.market is Market.SPOT:
            pytest.skip("spot has no funding")
        since_ms = Instant(now_ms() - 1_000)
        order = bot.order(kind=OrderKind.MARKET, lots=bot.lots("1"))
        await bot.submit(order)
        await bot.executed(order.link_id, order.lots)
        before = (await house.trading.balances(Market.LINEAR))["USDT"].total_units
        house.venue.core.settle_funding(Market.LINEAR, "BTCUSDT")
        after = (await house.trading.balances(Market.LINEAR))["USDT"].total_units
        listed = await house.trading.executions(bot.instrument, bot.prefix, since_ms)
        charged = [fact for fact in listed if isinstance(fact, FundingCharged)]
        assert sum(fact.amount_units for fact in charged) == before - after

    async def test_the_key_tells_what_it_may_do(self, house: House) -> None:
        if not self.tells_permissions:
            with pytest.raises(Rejected, match="does not tell what a key may do"):
                await house.trading.permissions()
            return
        permissions = await house.trading.permissions()
        assert permissions.can_trade_spot
        assert permissions.can_trade_linear == (Market.LINEAR in self.markets)
        assert not permissions.can_withdraw
        assert not permissions.read_only
        assert "suite-" not in repr(house.trading)

    async def test_health_tells_that_the_private_stream_is_alive(self, house: House) -> None:
        assert house.trading.health()["private"] >= 0
