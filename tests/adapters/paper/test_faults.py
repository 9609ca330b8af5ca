"""Faults on demand and the death of the process: what a client loses, and what the venue must not."""

import asyncio
import os
import re
import signal
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import aiohttp
import msgspec
import pytest

from adapters.exchanges.paper.journal import FILE_NAME, Journal
from adapters.exchanges.paper.model import Status
from adapters.exchanges.paper.server import Address, PaperVenue
from adapters.exchanges.paper.venue import Venue
from engine.trading.instrument import Market as Kind

from .trading_fixtures import (
    COIN,
    ETH_SPOT,
    LINEAR,
    LISTED,
    SPOT,
    Market,
    SignedClient,
    Trader,
    hear,
    now_ms,
    open_markets,
    order_body,
    running,
    silence,
    trade_command,
)


async def test_an_accepted_order_whose_answer_is_lost_exists(client: SignedClient, paper: PaperVenue) -> None:
    paper.faults.lose_answers(operation="order.create")
    with pytest.raises(aiohttp.ClientError):
        await client.order(SPOT, "Buy", "0.001", "59000", orderLinkId="lost")
    assert await _is_open(client, "lost")
    assert (await client.order(SPOT, "Buy", "0.001", "59000", orderLinkId="lost"))["retCode"] == 170141


async def test_an_answer_lost_on_the_trade_socket_leaves_the_order_and_the_socket(
    client: SignedClient, paper: PaperVenue
) -> None:
    async with client.trade() as socket:
        paper.faults.lose_answers(operation="order.create")
        await socket.send_json(
            trade_command("order.create", order_body(SPOT, "Buy", "0.001", "59000", orderLinkId="lost"))
        )
        await silence(socket)
        assert await _is_open(client, "lost")
        await socket.send_json(trade_command("order.cancel", _by_link("lost")))
        assert (await socket.receive_json(timeout=5))["retCode"] == 0


async def test_a_late_answer_comes_after_the_order_was_heard_of(client: SignedClient, paper: PaperVenue) -> None:
    async with client.trade() as socket, client.private("order") as stream:
        paper.faults.delay_answers(0.2)
        await socket.send_json(trade_command("order.create", order_body(SPOT, "Buy", "0.001", "59000")))
        await hear(stream, "order")
        await silence(socket, 0.05)
        assert (await socket.receive_json(timeout=5))["retCode"] == 0
    paper.faults.delay_answers(0.2)
    before = asyncio.get_running_loop().time()
    assert (await client.order(SPOT, "Buy", "0.001", "59000"))["retCode"] == 0
    assert asyncio.get_running_loop().time() - before >= 0.2


@pytest.mark.parametrize("code", [10006, 10016, 429])
@pytest.mark.parametrize("accepted", [False, True])
async def test_an_ambiguous_code_may_or_may_not_hide_an_accepted_order(
    client: SignedClient, paper: PaperVenue, code: int, accepted: bool
) -> None:
    paper.faults.refuse(code, accepted=accepted)
    body = order_body(SPOT, "Buy", "0.001", "59000", orderLinkId="doubtful")
    raw = msgspec.json.encode(body).decode()
    url = f"{client.address.http}/v5/order/create"
    async with client.session.post(url, data=raw, headers=client.headers(raw)) as response:
        if code == 429:
            assert response.status == 429
        else:
            assert (response.status, (await response.json())["retCode"]) == (200, code)
    assert await _is_open(client, "doubtful") is accepted
    paper.faults.refuse(code, accepted=accepted)
    async with client.trade() as socket:
        command = order_body(SPOT, "Buy", "0.001", "59000", orderLinkId="doubtful2")
        await socket.send_json(trade_command("order.create", command))
        assert (await socket.receive_json(timeout=5))["retCode"] == (10429 if code == 429 else code)
    assert await _is_open(client, "doubtful2") is accepted


@pytest.mark.parametrize("which", ["private", "trade", "all"])
async def test_sockets_are_dropped_without_a_word(client: SignedClient, paper: PaperVenue, which: str) -> None:
    async with client.private("order") as private, client.trade() as trade:
        expected = {"private": 1, "trade": 1, "all": 2}[which]
        assert paper.drop_sockets(which) == expected
        for socket, name in ((private, "private"), (trade, "trade")):
            if which in (name, "all"):
                message = await socket.receive(timeout=5)
                assert message.type in (aiohttp.WSMsgType.CLOSED, aiohttp.WSMsgType.ERROR)
            else:
                await socket.send_json({"op": "ping"})
                assert (await socket.receive_json(timeout=5))["op"] == "pong"
    async with client.private("order") as private:
        await client.order(SPOT, "Buy", "0.001", "59000")
        assert await hear(private, "order")


async def test_missed_private_messages_are_still_in_the_execution_list(
    client: SignedClient, paper: PaperVenue
) -> None:
    async with client.private("execution") as socket:
        paper.faults.miss_messages(1)
        await client.order(SPOT, "Buy", "0.001", "60100", orderLinkId="unheard")
        await silence(socket)
        await client.order(SPOT, "Buy", "0.001", "60100", orderLinkId="heard")
        assert [row["orderLinkId"] for row in await hear(socket, "execution")] == ["heard"]
    rows = (await client.get("/v5/execution/list", "category=spot"))["result"]["list"]
    assert [row["orderLinkId"] for row in rows] == ["heard", "unheard"]


async def test_a_venue_whose_clock_is_off_refuses_the_clients_time(
    client: SignedClient, paper: PaperVenue
) -> None:
    paper.faults.set_clock_offset(-3000)
    answer = await client.get("/v5/account/info")
    assert answer["retCode"] == 10002
    skew_ms = answer["time"] - now_ms()
    assert -3500 < skew_ms < -2500
    assert (await client.get("/v5/account/info", at_ms=now_ms() + skew_ms))["retCode"] == 0


async def test_a_restart_closes_everything_and_comes_back_on_the_same_address(
    client: SignedClient, paper: PaperVenue
) -> None:
    await client.order(SPOT, "Buy", "0.001", "59000", orderLinkId="through")
    async with client.private("order") as socket:
        restarting = asyncio.create_task(paper.restart(away_s=0.2))
        assert (await socket.receive(timeout=5)).type is not aiohttp.WSMsgType.TEXT
        Market(paper.core, SPOT).trade("58000", COIN, buyer_is_taker=False)
        with pytest.raises(aiohttp.ClientError):
            await client.get("/v5/account/info")
        await restarting
    rows = (await client.get("/v5/execution/list", "category=spot"))["result"]["list"]
    assert [row["orderLinkId"] for row in rows] == ["through"]


async def test_faults_are_ordered_over_the_administrators_door(client: SignedClient, paper: PaperVenue) -> None:
    async def order(kind: str, **more: object) -> int:
        async with client.session.post(
            f"{client.address.http}/paper/faults", json={"kind": kind, **more}
        ) as response:
            return response.status

    assert await order("refuse", code=10016, accepted=True) == 200
    assert (await client.order(SPOT, "Buy", "0.001", "59000", orderLinkId="a"))["retCode"] == 10016
    assert await _is_open(client, "a")
    assert await order("lose_answer", operation="order.cancel") == 200
    with pytest.raises(aiohttp.ClientError):
        await client.post("/v5/order/cancel", _by_link("a"))
    assert not await _is_open(client, "a")
    assert await order("clock", offset_ms=-9000) == 200
    assert await order("clear") == 200
    assert (await client.get("/v5/account/info"))["retCode"] == 0
    assert await order("earthquake") == 422
    async with client.private("order") as socket:
        assert await order("drop", sockets="private") == 200
        assert (await socket.receive(timeout=5)).type is not aiohttp.WSMsgType.TEXT
    assert await order("restart", delay_s=0.1) == 200
    await asyncio.sleep(0.1)
    async with asyncio.timeout(10):
        while True:
            try:
                if (await client.get("/v5/account/info"))["retCode"] == 0:
                    break
            except aiohttp.ClientError:
                await asyncio.sleep(0.02)
    async with client.session.post(f"{client.address.http}/paper/funding", json={"symbol": "BTCUSDT"}) as response:
        assert response.status == 200


async def test_a_feed_that_fails_says_so(caplog: pytest.LogCaptureFixture) -> None:
    class Broken:
        name = "broken"

        async def history(self, instrument: object, until_ms: int) -> list:
            return []

        async def run(self, sink: object, start_ms: int) -> None:
            raise OSError("no such tape")

    async with running(feeds=[Broken()]) as venue:
        await asyncio.sleep(0.01)
        assert venue.core.board.feed_name == "broken (failed)"
    assert "no such tape" in caplog.text


# ---------------------------------------------------------------------- persistence


def test_a_venue_opened_again_knows_everything(tmp_path: Path) -> None:
    first = Venue(LISTED, tmp_path)
    open_markets(first)
    trader = Trader(first, {"USDT": "10000", "BTC": "1"})
    trader.buy(SPOT, "0.01", "59000", order_link_id="resting")
    partly = trader.sell(SPOT, "0.02", "60020")
    Market(first, SPOT).trade("60030", COIN // 100, buyer_is_taker=True)
    trader.buy(LINEAR, "0.020")
    trader.sell(LINEAR, "0.005", "60500")
    trader.sell(LINEAR, "0.005", reduce_only=True)
    first.settle_funding(Kind.LINEAR, "BTCUSDT")
    assert partly.status is Status.PARTIALLY_FILLED
    before = _picture(first)
    with pytest.raises(RuntimeError, match="another paper venue"):
        Venue(LISTED, tmp_path)
    first.close()
    second = Venue(LISTED, tmp_path)
    assert _picture(second) == before
    open_markets(second)
    account = next(iter(second.records.accounts.values()))
    Market(second, SPOT).trade("58000", COIN, buyer_is_taker=False)
    assert [account.by_id[account.by_link["resting"]].status] == [Status.FILLED]
    second.close()
    third = Venue(LISTED, tmp_path)
    assert _picture(third) == _picture(second)
    third.close()


def test_a_torn_last_line_is_dropped_and_the_file_is_for_its_owner_only(tmp_path: Path) -> None:
    venue = Venue(LISTED, tmp_path)
    open_markets(venue)
    trader = Trader(venue)
    trader.buy(ETH_SPOT, "0.01", "2900")
    venue.close()
    file = tmp_path / FILE_NAME
    assert file.stat().st_mode & 0o077 == 0
    whole = file.read_bytes()
    file.write_bytes(whole + b'[{"type":"order","order_id":"12')
    journal = Journal(tmp_path)
    assert len(list(journal.read())) > 0
    journal.close()
    again = Venue(LISTED, tmp_path)
    assert _picture(again) == _picture(venue)
    again.close()


def test_a_journal_that_has_grown_is_compacted_and_forgets_no_link_id(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("adapters.exchanges.paper.journal.GROWTH_BYTES", 20_000)
    monkeypatch.setattr("adapters.exchanges.paper.model.HISTORY_KEPT", 5)
    venue = Venue(LISTED, tmp_path)
    open_markets(venue)
    trader = Trader(venue)
    for number in range(100):
        trader.buy(SPOT, "0.001", "60100", order_link_id=f"link{number}")
    assert (tmp_path / FILE_NAME).stat().st_size < 60_000
    venue.close()
    again = Venue(LISTED, tmp_path)
    account = again.records.accounts[trader.account.uid]
    assert account.by_link.keys() == {f"link{number}" for number in range(100)}
    assert account.wallet == trader.account.wallet
    again.close()


def test_while_a_snapshot_is_written_trading_goes_on_and_each_moment_can_be_the_last(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("adapters.exchanges.paper.journal.GROWTH_BYTES", 20_000)
    monkeypatch.setattr("adapters.exchanges.paper.journal.RECORDS_PER_SLICE", 3)
    monkeypatch.setattr("adapters.exchanges.paper.records.LINKS_PER_RECORD", 2)
    monkeypatch.setattr("adapters.exchanges.paper.model.HISTORY_KEPT", 60)
    venue = Venue(LISTED, tmp_path / "venue")
    open_markets(venue)
    traders = [Trader(venue), Trader(venue)]
    file = tmp_path / "venue" / FILE_NAME
    snapshots = moments = 0
    inode = file.stat().st_ino
    for number in range(120):
        trader = traders[number % 2]
        trader.buy(SPOT, "0.001", "60100", order_link_id=f"link{number}")
        trader.buy(LINEAR, "0.001") if number % 3 else trader.sell(SPOT, "0.001", "61000")
        if file.stat().st_ino != inode:
            inode, snapshots = file.stat().st_ino, snapshots + 1
        if number % 5 == 0:
            (tmp_path / "copy").mkdir(exist_ok=True)
            (tmp_path / "copy" / FILE_NAME).write_bytes(file.read_bytes())
            again = Venue(LISTED, tmp_path / "copy")
            assert _picture(again) == _picture(venue)
            again.close()
            moments += (tmp_path / "venue" / FILE_NAME).with_suffix(".new").exists()
    assert snapshots >= 2
    assert moments >= 2
    venue.close()
    assert not file.with_suffix(".new").exists()


def test_a_journal_about_what_is_not_listed_is_refused(tmp_path: Path) -> None:
    venue = Venue(LISTED, tmp_path)
    open_markets(venue)
    Trader(venue).buy(ETH_SPOT, "0.01", "2900")
    venue.close()
    with pytest.raises(ValueError, match="spot ETHUSDT"):
        Venue(LISTED[:1], tmp_path)


async def test_nothing_acknowledged_is_lost_when_the_process_is_killed(tmp_path: Path) -> None:
    acknowledged: dict[str, str] = {}
    async with aiohttp.ClientSession() as session:
        async with _process(tmp_path) as (process, address):
            client = await _remote_account(session, address)
            await _remote_trade(client, "60000")

            async def place_without_end() -> None:
                number = 0
                while True:
                    number += 1
                    side, price = ("Buy", "59000") if number % 2 else ("Sell", "61000")
                    link = f"link{number}"
                    answer = await client.order(SPOT, side, "0.001", price, orderLinkId=link)
                    acknowledged[link] = answer["result"]["orderId"]
                    if number % 10 == 0:
                        # Every tenth order, a trade through all the buys.
                        await _remote_trade(client, "58990", "Sell")
                        await _remote_trade(client, "60000")

            placing = asyncio.create_task(place_without_end())
            # By number, not by time: a fast machine would reach the 500 open orders that the venue allows.
            while len(acknowledged) < 300 and not placing.done():  # noqa: ASYNC110
                await asyncio.sleep(0.001)
            process.send_signal(signal.SIGKILL)
            await process.wait()
            with pytest.raises(aiohttp.ClientError):
                await placing
        async with _process(tmp_path) as (process, address):
            client = SignedClient(session, address, client.key, "s")
            assert len(acknowledged) >= 300
            known: dict[str, str] = {}
            for listing in ("realtime", "history"):
                cursor = ""
                while True:
                    query = f"category=spot&limit=50&cursor={cursor}"
                    result = (await client.get(f"/v5/order/{listing}", query))["result"]
                    known |= {row["orderLinkId"]: row["orderId"] for row in result["list"]}
                    cursor = result["nextPageCursor"]
                    if not cursor:
                        break
            assert acknowledged.items() <= known.items()
            answer = await client.order(SPOT, "Buy", "0.001", "59000", orderLinkId="link1")
            assert answer["retCode"] == 170141
            async with session.get(f"{address.http}/paper/accounts/{client.key}") as response:
                books = await response.json()
            filled = [row for row in books["executions"] if row["side"] == "Buy"]
            assert filled
            assert float(books["balances"]["BTC"]) == pytest.approx(10 + len(filled) * 0.000999)


@asynccontextmanager
async def _process(state_dir: Path) -> AsyncIterator[tuple[asyncio.subprocess.Process, Address]]:
    """Run a venue in a process of its own."""
    command = [
        "-m",
        "adapters.exchanges.paper",
        "--feed",
        "none",
        "--no-limits",
        "--symbols",
        "BTCUSDT",
        "--state-dir",
    ]
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        *command,
        str(state_dir),
        stdout=asyncio.subprocess.PIPE,
        cwd=Path(__file__).parents[3],
        env={**os.environ, "PYTHONDONTWRITEBYTECODE": "1"},
    )
    try:
        assert process.stdout is not None
        line = await asyncio.wait_for(process.stdout.readline(), 30)
        port = int(re.search(rb":(\d+)\"", line).group(1))  # type: ignore[union-attr]
        yield process, Address("127.0.0.1", port)
    finally:
        if process.returncode is None:
            process.terminate()
        await asyncio.wait_for(process.wait(), 10)


async def _remote_account(session: aiohttp.ClientSession, address: Address) -> SignedClient:
    body = {"key": "survivor", "secret": "s", "balances": {"USDT": "1000000", "BTC": "10"}}
    async with session.post(f"{address.http}/paper/accounts", json=body) as response:
        assert response.status == 200
    return SignedClient(session, address, "survivor", "s")


async def _remote_trade(client: SignedClient, price: str, side: str = "Buy") -> None:
    body = {"category": "spot", "symbol": "BTCUSDT", "price": price, "qty": "1", "side": side}
    async with client.session.post(f"{client.address.http}/paper/trade", json=body) as response:
        assert response.status == 200


def _picture(venue: Venue) -> bytes:
    """Write down everything a client could ask about, for comparison."""
    accounts = [
        [
            account.wallet,
            sorted((coin, units) for coin, units in account.locked.items() if units),
            sorted(account.by_link.items()),
            sorted(account.by_id.items()),
            sorted(account.open),
            list(account.executions),
            sorted(account.positions.items()),
            sorted(account.closed.items()),
        ]
        for account in venue.records.accounts.values()
    ]
    text = msgspec.json.encode([accounts, venue.records.till])
    # The queue before a resting order is market knowledge, which a restart loses and says so.
    return re.sub(rb',"ahead":-?\d+', b"", text)


def _by_link(link_id: str) -> dict[str, str]:
    return {"category": "spot", "symbol": "BTCUSDT", "orderLinkId": link_id}


async def _is_open(client: SignedClient, link_id: str) -> bool:
    rows = (await client.get("/v5/order/realtime", "category=spot"))["result"]["list"]
    return link_id in [row["orderLinkId"] for row in rows]
