"""What the parts of our path cost by themselves, hot and without any socket: reading, deciding, writing."""

from collections.abc import Callable
from decimal import Decimal
from time import perf_counter_ns
from typing import Any

import msgspec

from adapters.exchanges.bybit.codec import InstrumentCodec
from adapters.exchanges.bybit.wire import ExecutionPush, decode_private, decode_trades
from benchmarks.harness import Spread
from benchmarks.looping.script import BASE, FILL_CONFIG, STEP, TICK_CONFIG, TICKS_PER_LIFE, grid, listing
from engine.grid.machine import step
from engine.grid.messages import PriceMoved, Start
from engine.grid.resync import named_slots
from engine.grid.slots import name_of
from engine.grid.state import GridState, new_state
from engine.ids import BotId, ExecutionId, Instant, LinkId, VenueOrderId
from engine.trading.instrument import FeeRates, Instrument, Market
from engine.trading.orders import (
    CancelOrder,
    Execution,
    OrderAccepted,
    OrderKind,
    OrderReport,
    OrderStatus,
    PlaceOrder,
    Side,
)

SYMBOL = "BTCAUSDT"
NOW = Instant(1_700_000_000_000)


def costs(repeats: int) -> dict[str, Spread]:
    """Measure each part `repeats` times."""
    linear = listing(SYMBOL, Market.LINEAR).instrument
    codec = InstrumentCodec(linear)
    push, trade = _execution_push(), _trade_push()
    order = PlaceOrder(
        link_id=LinkId("tg-loopfill_1_1000_s"),
        side=Side.SELL,
        kind=OrderKind.POST_ONLY,
        ticks=600_000,
        lots=66,
    )
    return {
        "read a private execution": _timed(lambda: _read_execution(codec, push), repeats),
        "read a public trade": _timed(lambda: codec.ticks.count(decode_trades(trade).data[0].price), repeats),
        "write an order": _timed(lambda: codec.place(order), repeats),
        "decide on a fill, 2 intervals": _fills(linear, {}, repeats),
        "decide on a fill, 100 intervals": _fills(linear, {"grids": 100, "amount": Decimal(300_000)}, repeats),
        "decide on a price, 200 intervals that trail": _ticks(repeats),
    }


def _read_execution(codec: InstrumentCodec, push: bytes) -> object:
    read = decode_private(push)
    assert type(read) is ExecutionPush
    return codec.execution(read.data[0])


def _timed(work: Callable[[], Any], repeats: int) -> Spread:
    times = []
    for _ in range(repeats):
        began_ns = perf_counter_ns()
        work()
        times.append(perf_counter_ns() - began_ns)
    return Spread.of(times)


def _fills(instrument: Instrument, changes: dict[str, object], repeats: int) -> Spread:
    """Fill the order nearest to the price, then its answer, and so on; only the machine's step is timed."""
    state = _started(instrument, FILL_CONFIG | changes, BASE - STEP // 2)
    order, level = min(named_slots(state), key=lambda each: abs(each[0].ticks - instrument.ticks(str(BASE))))
    times = []
    link = name_of(state, order, level)
    side, ticks, lots = order.side, order.ticks, order.lots
    for number in range(repeats):
        step(state, OrderAccepted(link, VenueOrderId("1")), NOW)
        fill = Execution(
            exec_id=ExecutionId(str(number)),
            link_id=link,
            venue_id=VenueOrderId("1"),
            side=side,
            ticks=ticks,
            lots=lots,
            order_lots=lots,
            fee_units=0,
            fee_asset="USDT",
            is_maker=True,
            at_ms=NOW,
        )
        began_ns = perf_counter_ns()
        effects = step(state, fill, NOW)
        times.append(perf_counter_ns() - began_ns)
        (answer,) = (each for each in effects if isinstance(each, PlaceOrder))
        link, side, ticks, lots = answer.link_id, answer.side, answer.ticks, answer.lots
    return Spread.of(times)


def _ticks(repeats: int) -> Spread:
    """Let the market rise level by level; only the machine's step is timed."""
    instrument = listing(SYMBOL, Market.SPOT).instrument
    times: list[int] = []
    while len(times) < repeats:
        state = _started(instrument, TICK_CONFIG, BASE - STEP // 2)
        for level in range(min(TICKS_PER_LIFE, repeats - len(times))):
            price = PriceMoved(instrument.ticks(str(BASE + STEP * level)))
            began_ns = perf_counter_ns()
            effects = step(state, price, NOW)
            times.append(perf_counter_ns() - began_ns)
            assert any(isinstance(each, PlaceOrder) for each in effects)
            for each in effects:
                if isinstance(each, CancelOrder):
                    step(state, _cancelled(each), NOW)
    return Spread.of(times)


def _cancelled(order: CancelOrder) -> OrderReport:
    return OrderReport(
        link_id=order.link_id,
        venue_id=VenueOrderId("1"),
        side=Side.BUY,
        ticks=1,
        lots=1,
        status=OrderStatus.CANCELLED,
        filled_lots=0,
        reason=None,
    )


def _started(instrument: Instrument, config: dict[str, object], price: int) -> GridState:
    """Start a bot whose grid surrounds, or ends below, the price."""
    fees = FeeRates(maker=Decimal("0.0002"), taker=Decimal("0.00055"))
    grids = int(str(config["grids"]))
    if grids > 2 and config["direction"] == "neutral":
        config = config | {"lower": Decimal(BASE - STEP * grids // 2), "upper": Decimal(BASE + STEP * grids // 2)}
    state = new_state(BotId("loopfill"), grid(SYMBOL, config), instrument, fees)
    step(state, Start(instrument.ticks(str(price))), NOW)
    assert state.status == "running", state.status_reason
    return state


def _execution_push() -> bytes:
    """Write a private execution as the venue does, with the fields that we do not read."""
    row = {
        "category": "linear",
        "symbol": SYMBOL,
        "execId": "7f9a64d3-3e5c-4c5f-9f0e-6c54c1a0a001",
        "execType": "Trade",
        "execPrice": "59990.00",
        "execQty": "0.066",
        "execValue": "3959.34",
        "execFee": "0.791868",
        "execFeeV2": "0.791868",
        "feeCurrency": "USDT",
        "feeRate": "0.0002",
        "isMaker": True,
        "execTime": "1700000000000",
        "orderId": "7f9a64d3-3e5c-4c5f-9f0e-6c54c1a0a002",
        "orderLinkId": "tg-loopfill_0_1000_b",
        "orderPrice": "59990.00",
        "orderQty": "0.066",
        "leavesQty": "0.000",
        "orderType": "Limit",
        "stopOrderType": "UNKNOWN",
        "createType": "CreateByUser",
        "side": "Buy",
        "closedSize": "0.000",
        "execPnl": "0",
        "markPrice": "59990.00",
        "seq": 1_000,
    }
    push = {"id": "7f9a64d3", "topic": "execution", "creationTime": 1_700_000_000_000, "data": [row]}
    return msgspec.json.encode(push)


def _trade_push() -> bytes:
    row = {
        "i": "7f9a64d3-3e5c-4c5f-9f0e-6c54c1a0a003",
        "T": 1_700_000_000_000,
        "p": "59990.00",
        "v": "0.00100",
        "S": "Buy",
        "s": SYMBOL,
        "BT": False,
        "RPI": False,
        "seq": "1000",
    }
    return msgspec.json.encode({"topic": f"publicTrade.{SYMBOL}", "type": "snapshot", "ts": 1, "data": [row]})
