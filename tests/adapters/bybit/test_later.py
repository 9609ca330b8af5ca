"""What may wait lets what is urgent pass, and is never lost or told out of its own order."""

import asyncio

import pytest

from adapters.exchanges.background import Background
from adapters.exchanges.bybit.clock import VenueClock
from adapters.exchanges.bybit.codec import InstrumentCodec
from adapters.exchanges.bybit.later import Later
from adapters.exchanges.bybit.private_stream import PrivateStream
from adapters.exchanges.bybit.signing import Signer
from adapters.exchanges.routing import Route, Routes
from adapters.secrets.keys import ApiKey
from engine.ids import Instant
from engine.trading.orders import Execution, OrderFact, OrderReport
from tests.adapters.bybit.test_codec import instrument

ORDER = (
    b'{"id":"1","topic":"order","creationTime":1,"data":[{"symbol":"BTCUSDT","orderId":"7","orderLinkId":"tg-a_1_1_b",'
    b'"side":"Buy","orderType":"Limit","price":"60000.00","qty":"0.01","cumExecQty":"0","orderStatus":"New"}]}'
)
EXECUTION = (
    b'{"id":"2","topic":"execution","creationTime":1,"data":[{"symbol":"BTCUSDT","execId":"e","execType":"Trade",'
    b'"execPrice":"60000.00","execQty":"0.01","execFee":"0","execTime":"1","side":"Buy","orderId":"7",'
    b'"orderLinkId":"tg-a_1_1_b","orderQty":"0.01","isMaker":true}]}'
)


async def settled() -> None:
    """Let the loop turn until nothing waits."""
    for _ in range(5):
        await asyncio.sleep(0)


async def test_what_waits_is_handled_in_its_order_one_in_a_turn() -> None:
    heard: list[bytes] = []
    later = Later()
    for message in (b"1", b"2", b"3"):
        later.put(lambda message, _: heard.append(message), message)
    assert heard == []
    await asyncio.sleep(0)
    assert heard == [b"1"]
    await settled()
    assert heard == [b"1", b"2", b"3"]


async def test_a_mistake_about_one_message_costs_none_of_the_others(caplog: pytest.LogCaptureFixture) -> None:
    heard: list[bytes] = []

    def handle(message: bytes, at_ms: Instant) -> None:
        if message == b"bad":
            raise RuntimeError("a mistake")
        heard.append(message)

    later = Later()
    for message in (b"bad", b"good"):
        later.put(handle, message)
    later.settle()
    assert heard == [b"good"]
    assert "bybit.message_failed" in caplog.text
    await settled()
    assert heard == [b"good"]


async def test_a_fill_overtakes_the_report_that_arrives_before_it_and_both_are_heard() -> None:
    facts: list[OrderFact] = []

    async def on_gap() -> None:
        raise AssertionError("nothing is missed here")

    routes: Routes[InstrumentCodec] = Routes()
    traded = instrument()
    routes.add(Route("tg-a_", traded, InstrumentCodec(traded), lambda fact, _: facts.append(fact), on_gap))
    signer = Signer(ApiKey("key", "secret"), 5_000)
    stream = PrivateStream("ws://x", signer, VenueClock(), routes, Background("test"), Later(), 20, 45)
    stream.received(ORDER)
    stream.received(EXECUTION)
    assert [type(fact) for fact in facts] == [Execution]
    await settled()
    assert [type(fact) for fact in facts] == [Execution, OrderReport]


async def test_a_line_that_goes_down_is_heard_out_first() -> None:
    facts: list[OrderFact] = []

    async def on_gap() -> None:
        raise AssertionError("nothing is missed here")

    routes: Routes[InstrumentCodec] = Routes()
    traded = instrument()
    routes.add(Route("tg-a_", traded, InstrumentCodec(traded), lambda fact, _: facts.append(fact), on_gap))
    signer = Signer(ApiKey("key", "secret"), 5_000)
    stream = PrivateStream("ws://x", signer, VenueClock(), routes, Background("test"), Later(), 20, 45)
    stream.received(ORDER)
    stream.went_down()
    assert [type(fact) for fact in facts] == [OrderReport]
    await settled()
    assert len(facts) == 1
