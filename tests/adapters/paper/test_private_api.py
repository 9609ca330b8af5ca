"""The private API by hand: signatures, time, limits, cursors, refusals, the two sockets. The client is raw."""

import asyncio
import base64

import aiohttp
import pytest

from adapters.exchanges.paper.limits import Limits
from adapters.exchanges.paper.server import PaperVenue

from .trading_fixtures import (
    COIN,
    LINEAR,
    RICH,
    SPOT,
    Market,
    SignedClient,
    hear,
    now_ms,
    order_body,
    running,
    silence,
    trade_command,
)

# ---------------------------------------------------------------------- signatures and time


async def test_the_query_is_verified_as_it_was_sent(client: SignedClient) -> None:
    assert (await client.get("/v5/order/realtime", "symbol=BTCUSDT&category=spot"))["retCode"] == 0
    answer = await client.get("/v5/execution/list", "category=spot&cursor=seq%3A2%2C1")
    assert answer["retCode"] == 0


async def test_a_wrong_signature_key_or_rsa_signature_is_refused(client: SignedClient) -> None:
    async def code(**changed: str) -> tuple[int, str]:
        headers = {**client.headers("category=spot"), **changed}
        url = f"{client.address.http}/v5/order/realtime?category=spot"
        async with client.session.get(url, headers=headers) as response:
            assert response.status == 200
            answer = await response.json()
        return answer["retCode"], answer["retMsg"]

    assert (await code(**{"X-BAPI-SIGN": "0" * 64}))[0] == 10004
    assert (await code(**{"X-BAPI-SIGN": "не подпись"}))[0] == 10004
    assert (await code(**{"X-BAPI-API-KEY": "nobody"}))[0] == 10003
    refused = await code(**{"X-BAPI-SIGN": base64.b64encode(b"x" * 256).decode()})
    assert refused[0] == 10004
    assert "RSA" in refused[1]


@pytest.mark.parametrize(
    ("offset_ms", "window", "code"),
    [
        (0, 5000, 0),
        (-4500, 5000, 0),
        (-5500, 5000, 10002),
        (500, 5000, 0),
        (1500, 5000, 10002),
        (-900, 500, 10002),
    ],
)
async def test_a_request_counts_only_within_its_receive_window(
    client: SignedClient, offset_ms: int, window: int, code: int
) -> None:
    answer = await client.get("/v5/account/info", "", at_ms=now_ms() + offset_ms, window=window)
    assert answer["retCode"] == code


async def test_an_unknown_path_and_a_wrong_category_are_refused(client: SignedClient) -> None:
    async with client.session.get(f"{client.address.http}/v5/order/nothing") as response:
        assert (response.status, (await response.json())["retCode"]) == (404, 10017)
    assert (await client.get("/v5/order/realtime", "category=futures"))["retCode"] == 10001
    assert (await client.get("/v5/order/realtime", "category=inverse"))["result"]["list"] == []


# ---------------------------------------------------------------------- refusals of orders


@pytest.mark.parametrize(
    ("changes", "code"),
    [
        ({"category": "spot", "price": "59000.001"}, 170134),
        ({"category": "spot", "price": "0"}, 170133),
        ({"category": "spot", "price": "70000"}, 170193),
        ({"category": "spot", "side": "Sell", "price": "50000"}, 170194),
        ({"category": "spot", "qty": "0.0000015"}, 170137),
        ({"category": "spot", "qty": "0.000001"}, 170136),
        ({"category": "spot", "qty": "100"}, 170135),
        ({"category": "spot", "qty": "0.00002"}, 170140),
        ({"category": "spot", "qty": "40"}, 170131),
        ({"category": "linear", "price": "59000.05"}, 10001),
        ({"category": "linear", "price": "70000"}, 110003),
        ({"category": "linear", "price": "3000000"}, 110003),
        ({"category": "linear", "qty": "0.0015"}, 10001),
        ({"category": "linear", "qty": "1000"}, 110007),
        ({"category": "linear", "price": "1000"}, 110094),
        ({"category": "linear", "reduceOnly": True}, 110017),
        ({"category": "linear", "positionIdx": 1}, 10001),
        ({"category": "spot", "symbol": "NOPEUSDT"}, 10001),
        ({"category": "spot", "side": "buy"}, 10001),
        ({"category": "spot", "qty": "1e999999"}, 10001),
        ({"category": "spot", "qty": "many"}, 10001),
        ({"category": "spot", "orderLinkId": "a b"}, 10001),
        ({"category": "spot", "triggerPrice": "1"}, 10001),
        ({"category": "spot", "timeInForce": "NEVER"}, 10001),
        ({"category": "spot", "isLeverage": 1}, 10001),
    ],
)
async def test_an_order_outside_the_filters_is_refused_with_the_venues_code(
    client: SignedClient, changes: dict, code: int
) -> None:
    body = {"symbol": "BTCUSDT", "side": "Buy", "orderType": "Limit", "qty": "0.001", "price": "59000", **changes}
    answer = await client.post("/v5/order/create", body)
    assert answer["retCode"] == code, answer
    assert (await client.get("/v5/order/realtime", "category=spot"))["result"]["list"] == []


@pytest.mark.parametrize(("instrument", "code"), [(SPOT, 170141), (LINEAR, 110072)])
async def test_a_link_id_is_never_accepted_twice(client: SignedClient, instrument, code: int) -> None:
    first = await client.order(instrument, "Buy", "0.001", "59000", orderLinkId="once")
    assert (first["retCode"], first["result"]["orderLinkId"]) == (0, "once")
    assert (await client.order(instrument, "Buy", "0.001", "58000", orderLinkId="once"))["retCode"] == code
    cancel = {"category": instrument.market.value, "symbol": "BTCUSDT", "orderLinkId": "once"}
    assert (await client.post("/v5/order/cancel", cancel))["retCode"] == 0
    assert (await client.order(instrument, "Buy", "0.001", "58000", orderLinkId="once"))["retCode"] == code


@pytest.mark.parametrize(("instrument", "code"), [(SPOT, 170213), (LINEAR, 110001)])
async def test_cancelling_what_is_not_open_is_refused(client: SignedClient, instrument, code: int) -> None:
    cancel = {"category": instrument.market.value, "symbol": "BTCUSDT", "orderLinkId": "nothing"}
    assert (await client.post("/v5/order/cancel", cancel))["retCode"] == code
    amend = {**cancel, "price": "58000"}
    assert (await client.post("/v5/order/amend", amend))["retCode"] == code


async def test_more_than_500_open_orders_are_refused(client: SignedClient, paper: PaperVenue) -> None:
    for number in range(25):
        batch = [order_body(LINEAR, "Buy", "0.001", f"{50000 + number}") for _ in range(20)]
        answer = await client.post("/v5/order/create-batch", {"category": "linear", "request": batch})
        assert {each["code"] for each in answer["retExtInfo"]["list"]} == {0}
    assert (await client.order(LINEAR, "Buy", "0.001", "50000"))["retCode"] == 110020


async def test_a_post_only_order_that_would_cross_is_acknowledged_then_rejected(client: SignedClient) -> None:
    async with client.private("order", "execution") as socket:
        answer = await client.order(SPOT, "Buy", "0.001", "60100", timeInForce="PostOnly")
        assert answer["retCode"] == 0
        (row,) = await hear(socket, "order")
        assert (row["orderStatus"], row["rejectReason"]) == ("Rejected", "EC_PostOnlyWillTakeLiquidity")
        assert row["orderId"] == answer["result"]["orderId"]
        await silence(socket)


# ---------------------------------------------------------------------- batches


async def test_a_batch_answers_each_order_in_its_place(client: SignedClient) -> None:
    good = order_body(SPOT, "Buy", "0.001", "59000", orderLinkId="good")
    bad = order_body(SPOT, "Buy", "0.001", "59000.001", orderLinkId="bad")
    answer = await client.post("/v5/order/create-batch", {"category": "spot", "request": [good, bad, good]})
    rows, outcomes = answer["result"]["list"], answer["retExtInfo"]["list"]
    assert [row["orderId"] != "" for row in rows] == [True, False, False]
    assert [row["orderLinkId"] for row in rows] == ["good", "bad", "good"]
    assert [each["code"] for each in outcomes] == [0, 170134, 170141]
    change = {"symbol": "BTCUSDT", "orderLinkId": "good", "price": "58000"}
    amended = await client.post("/v5/order/amend-batch", {"category": "spot", "request": [change]})
    assert amended["retExtInfo"]["list"] == [{"code": 0, "msg": "OK"}]
    cancel = {"symbol": "BTCUSDT", "orderLinkId": "good"}
    cancelled = await client.post("/v5/order/cancel-batch", {"category": "spot", "request": [cancel, cancel]})
    assert [each["code"] for each in cancelled["retExtInfo"]["list"]] == [0, 170213]


async def test_a_batch_longer_than_allowed_is_refused(client: SignedClient) -> None:
    batch = [order_body(SPOT, "Buy", "0.001", "59000")] * 11
    assert (await client.post("/v5/order/create-batch", {"category": "spot", "request": batch}))[
        "retCode"
    ] == 10001


# ---------------------------------------------------------------------- pages


async def test_cursors_walk_every_execution_once(client: SignedClient, paper: PaperVenue) -> None:
    for _ in range(23):
        await client.order(SPOT, "Buy", "0.001", "60100")
    seen, cursor, pages = [], "", 0
    while True:
        answer = await client.get("/v5/execution/list", f"category=spot&limit=5&cursor={cursor}")
        seen += [row["execId"] for row in answer["result"]["list"]]
        cursor, pages = answer["result"]["nextPageCursor"], pages + 1
        # Executions that arrive while one pages must not shift the pages.
        await client.order(SPOT, "Sell", "0.001", "59900")
        if not cursor:
            break
        assert "%3A" in cursor
    assert (pages, len(seen), len(set(seen))) == (5, 23, 23)
    assert (await client.get("/v5/execution/list", "category=spot&cursor=rubbish"))["retCode"] == 10001
    assert (await client.get("/v5/execution/list", "category=spot&limit=101"))["retCode"] == 10001


async def test_histories_are_filtered_by_order_and_time(client: SignedClient) -> None:
    await client.order(SPOT, "Buy", "0.001", "60100", orderLinkId="one")
    await client.order(SPOT, "Buy", "0.001", "60100", orderLinkId="two")
    rows = (await client.get("/v5/execution/list", "category=spot&orderLinkId=two"))["result"]["list"]
    assert [row["orderLinkId"] for row in rows] == ["two"]
    rows = (await client.get("/v5/order/history", "category=spot&orderLinkId=one"))["result"]["list"]
    assert [(row["orderStatus"], row["cumExecQty"]) for row in rows] == [("Filled", "0.001000")]
    later = now_ms() + 10_000
    rows = (await client.get("/v5/execution/list", f"category=spot&startTime={later}"))["result"]["list"]
    assert rows == []
    wide = f"category=spot&startTime={later - 8 * 86_400_000}&endTime={later}"
    assert (await client.get("/v5/order/history", wide))["retCode"] == 10001


async def test_an_order_is_found_by_its_link_id_when_it_is_no_longer_open(client: SignedClient) -> None:
    await client.order(SPOT, "Buy", "0.001", "60100", orderLinkId="done")
    rows = (await client.get("/v5/order/realtime", "category=spot&orderLinkId=done"))["result"]["list"]
    assert [row["orderStatus"] for row in rows] == ["Filled"]
    assert (await client.get("/v5/order/realtime", "category=spot"))["result"]["list"] == []


# ---------------------------------------------------------------------- limits


async def test_limits_are_counted_per_endpoint_and_told_in_headers() -> None:
    async with running(limits=Limits(ip_per_5s=0)) as venue, aiohttp.ClientSession() as session:
        venue.create_account("k", "s", RICH)
        client = SignedClient(session, venue.address, "k", "s")
        # All of it within one second of the venue's clock, which counts in whole seconds.
        await asyncio.sleep(1 - now_ms() % 1000 / 1000)
        body = '{"category":"linear","symbol":"BTCUSDT","orderId":"none"}'
        statuses = []
        for _ in range(11):
            async with session.post(
                f"{venue.address.http}/v5/order/cancel", data=body, headers=client.headers(body)
            ) as response:
                statuses.append((await response.json(), response.headers))
        assert [answer["retCode"] for answer, _ in statuses] == [110001] * 10 + [10006]
        assert [headers["X-Bapi-Limit-Status"] for _, headers in statuses] == [*map(str, range(9, -1, -1)), "0"]
        assert statuses[0][1]["X-Bapi-Limit"] == "10"
        reset_ms = int(statuses[0][1]["X-Bapi-Limit-Reset-Timestamp"])
        assert reset_ms % 1000 == 0
        assert (await client.post("/v5/order/cancel-all", {"category": "spot"}))["retCode"] == 0
        await asyncio.sleep(max(0, reset_ms - now_ms()) / 1000 + 0.01)
        answer = await client.post("/v5/order/cancel", {"category": "linear", "symbol": "BTCUSDT", "orderId": "x"})
        assert answer["retCode"] == 110001


async def test_an_address_that_asks_too_often_is_shut_out() -> None:
    async with running(limits=Limits(ip_per_5s=20)) as venue, aiohttp.ClientSession() as session:
        statuses = []
        for _ in range(60):
            async with session.get(f"{venue.address.http}/v5/market/time") as response:
                statuses.append(response.status)
        assert (statuses[0], statuses[-1]) == (200, 403)
        venue.limiter.pardon()
        async with session.get(f"{venue.address.http}/v5/market/time") as response:
            assert response.status == 200


async def test_an_address_that_opens_too_many_sockets_is_refused_the_next() -> None:
    async with running(limits=Limits(sockets_per_5min=3)) as venue, aiohttp.ClientSession() as session:
        for _ in range(3):
            async with session.ws_connect(venue.address.ws + "/v5/private"):
                pass
        with pytest.raises(aiohttp.WSServerHandshakeError) as refused:
            await session.ws_connect(venue.address.ws + "/v5/trade")
        assert refused.value.status == 403


# ---------------------------------------------------------------------- the private socket


async def test_executions_are_pushed_once_even_to_overlapping_subscriptions(
    client: SignedClient, paper: PaperVenue
) -> None:
    async with client.private("execution", "execution.spot", "execution.fast") as socket:
        await client.order(SPOT, "Buy", "0.001", "60100")
        messages = [await socket.receive_json(timeout=5) for _ in range(2)]
        assert [message["topic"] for message in messages] == ["execution", "execution.fast"]
        assert messages[0]["data"][0]["execId"] == messages[1]["data"][0]["execId"]
        await silence(socket)


async def test_categorised_topics_carry_their_category_only(client: SignedClient) -> None:
    async with client.private("order.linear", "position.linear") as socket:
        await client.order(SPOT, "Buy", "0.001", "60100")
        await client.order(LINEAR, "Buy", "0.001", "60100")
        (row,) = await hear(socket, "order.linear")
        assert (row["category"], row["orderStatus"]) == ("linear", "Filled")
        (row,) = await hear(socket, "position.linear")
        assert (row["side"], row["size"]) == ("Buy", "0.001")


async def test_the_socket_wants_a_signature_and_known_topics(client: SignedClient) -> None:
    async with client.session.ws_connect(client.address.ws + "/v5/private") as socket:
        await socket.send_json({"op": "subscribe", "args": ["order"]})
        assert (await socket.receive_json())["success"] is False
        await socket.send_json({"op": "auth", "args": [client.key, now_ms() + 5000, "0" * 64]})
        assert (await socket.receive_json())["success"] is False
        await socket.send_json({"op": "auth", "args": [client.key, now_ms() - 1, "0" * 64]})
        assert (await socket.receive_json())["success"] is False
        assert (await client.authenticate(socket))["success"] is True
        await socket.send_json({"op": "subscribe", "req_id": "7", "args": ["nothing"]})
        answer = await socket.receive_json()
        assert (answer["success"], answer["req_id"]) == (False, "7")
        await socket.send_json({"op": "ping", "req_id": "8"})
        answer = await socket.receive_json()
        assert (answer["op"], answer["req_id"], answer["args"][0].isdigit()) == ("pong", "8", True)
        await socket.send_str("rubbish")
        assert (await socket.receive_json())["success"] is False
        await socket.send_json({"op": "dance"})
        assert (await socket.receive_json())["ret_msg"] == "error:invalid op"


async def test_one_account_does_not_hear_another(client: SignedClient, paper: PaperVenue) -> None:
    paper.create_account("other", "s", RICH)
    other = SignedClient(client.session, client.address, "other", "s")
    async with other.private("order", "execution", "wallet") as socket:
        await client.order(SPOT, "Buy", "0.001", "60100")
        await silence(socket)


async def test_disconnect_protection_cancels_when_the_last_watching_socket_is_gone(
    client: SignedClient, paper: PaperVenue, monkeypatch: pytest.MonkeyPatch
) -> None:
    answer = await client.post("/v5/order/disconnected-cancel-all", {"product": "SPOT", "timeWindow": 3})
    assert answer["retCode"] == 0
    assert (await client.post("/v5/order/disconnected-cancel-all", {"timeWindow": 2}))["retCode"] == 10001
    uid = paper.core.records.by_key[client.key].uid
    key, window = next(iter(paper.private_stream.protection_windows.items()))
    assert (key[0], window) == (uid, 3)
    paper.private_stream.protection_windows[key] = 0.2
    await client.order(SPOT, "Buy", "0.001", "59000")
    async with client.private("dcp.spot"):
        pass
    async with client.private("order") as socket:
        (row,) = await hear(socket, "order")
        assert (row["orderStatus"], row["cancelType"]) == ("Cancelled", "CancelByDCP")


# ---------------------------------------------------------------------- the trade socket


async def test_orders_are_made_changed_and_cancelled_on_the_trade_socket(client: SignedClient) -> None:
    async with client.trade() as socket:
        await socket.send_json(trade_command("order.create", order_body(SPOT, "Buy", "0.001", "59000"), "first"))
        answer = await socket.receive_json()
        assert (answer["reqId"], answer["retCode"], answer["op"]) == ("first", 0, "order.create")
        assert {"Traceid", "Timenow"} <= answer["header"].keys()
        ids = {"category": "spot", "symbol": "BTCUSDT", "orderId": answer["data"]["orderId"]}
        await socket.send_json(trade_command("order.amend", {**ids, "price": "58000"}))
        assert (await socket.receive_json())["retCode"] == 0
        await socket.send_json(trade_command("order.cancel", ids))
        assert (await socket.receive_json())["data"]["orderId"] == ids["orderId"]
        batch = {"category": "spot", "request": [order_body(SPOT, "Buy", "0.001", "59000")] * 2}
        await socket.send_json(trade_command("order.create-batch", batch))
        answer = await socket.receive_json()
        assert (len(answer["data"]["list"]), len(answer["retExtInfo"]["list"])) == (2, 2)


async def test_the_trade_socket_refuses_what_it_must(client: SignedClient) -> None:
    create = order_body(SPOT, "Buy", "0.001", "59000")
    async with client.session.ws_connect(client.address.ws + "/v5/trade") as socket:

        async def code(message: dict) -> int:
            await socket.send_json(message)
            return (await socket.receive_json(timeout=5))["retCode"]

        assert await code(trade_command("order.create", create)) == 10003
        answer = await client.authenticate(socket)
        assert (answer["retCode"], answer["op"]) == (0, "auth")
        assert (await client.authenticate(socket))["retCode"] == 20001
        assert await code(trade_command("order.dance", create)) == 10404
        assert await code(trade_command("order.create", create, "same")) == 0
        assert await code(trade_command("order.create", create, "same")) == 20006
        assert await code(trade_command("order.create", create, "x" * 37)) == 20006
        late = trade_command("order.create", create)
        late["header"]["X-BAPI-TIMESTAMP"] = str(now_ms() - 6000)
        assert await code(late) == 10002
        assert await code({**trade_command("order.create", create), "args": []}) == 10001
        assert await code(trade_command("order.create", {**create, "price": "59000.001"})) == 170134
        await socket.send_json({"op": "ping"})
        assert (await socket.receive_json())["op"] == "pong"


async def test_both_doors_share_the_limit_of_an_endpoint() -> None:
    async with running(limits=Limits(ip_per_5s=0)) as venue, aiohttp.ClientSession() as session:
        venue.create_account("k", "s", RICH)
        client = SignedClient(session, venue.address, "k", "s")
        async with client.trade() as socket:
            await asyncio.sleep(1 - now_ms() % 1000 / 1000)
            for _ in range(10):
                await socket.send_json(trade_command("order.create", order_body(LINEAR, "Buy", "0.001", "59000")))
                answer = await socket.receive_json()
            assert (answer["retCode"], answer["header"]["X-Bapi-Limit-Status"]) == (0, "0")
            assert (await client.order(LINEAR, "Buy", "0.001", "59000"))["retCode"] == 10006
            assert (await client.order(SPOT, "Buy", "0.001", "59000"))["retCode"] == 0


# ---------------------------------------------------------------------- positions over HTTP


async def test_position_settings_answer_with_the_venues_codes(client: SignedClient, paper: PaperVenue) -> None:
    async def code(path: str, **body: object) -> int:
        return (await client.post(path, {"category": "linear", "symbol": "BTCUSDT", **body}))["retCode"]

    leverage = "/v5/position/set-leverage"
    assert await code(leverage, buyLeverage="5", sellLeverage="5") == 0
    assert await code(leverage, buyLeverage="5", sellLeverage="5") == 110043
    assert await code(leverage, buyLeverage="101", sellLeverage="101") == 10001
    assert await code(leverage, buyLeverage="5", sellLeverage="6") == 10001
    assert await code("/v5/position/switch-mode", mode=0) == 110025
    assert await code("/v5/position/switch-mode", mode=3) == 10001
    assert await code("/v5/position/switch-isolated", tradeMode=1) == 110026
    assert await code("/v5/position/trading-stop", stopLoss="59000", positionIdx=0) == 10001
    await client.order(LINEAR, "Buy", "0.010", "60100")
    assert await code("/v5/position/trading-stop", stopLoss="59000", takeProfit="61000", positionIdx=0) == 0
    assert await code("/v5/position/trading-stop", stopLoss="61000", positionIdx=0) == 10001
    assert await code("/v5/position/add-margin", margin="10") == 0
    assert await code("/v5/position/add-margin", margin="-11") == 110007
    assert await code("/v5/position/set-auto-add-margin", autoAddMargin=0) == 0
    (row,) = (await client.get("/v5/position/list", "category=linear&symbol=BTCUSDT"))["result"]["list"]
    assert (row["size"], row["leverage"], row["stopLoss"]) == ("0.010", "5", "59000.0")
    assert row["liqPrice"] == "47300.8"
    Market(paper.core, LINEAR).trade("60000", COIN, buyer_is_taker=True)
    await client.order(LINEAR, "Sell", "0.010", "59900", reduceOnly=True)
    (closed,) = (await client.get("/v5/position/closed-pnl", "category=linear"))["result"]["list"]
    assert (closed["closedSize"], closed["closedPnl"]) == ("0.010", "-0.68")


async def test_the_administrators_door_opens_accounts_and_shows_the_books(paper: PaperVenue) -> None:
    async with aiohttp.ClientSession(paper.address.http) as session:
        new = {"key": "remote", "secret": "hush", "balances": {"USDT": "500"}}
        async with session.post("/paper/accounts", json=new) as response:
            assert (await response.json())["created"] is True
        async with session.post("/paper/accounts", json=new) as response:
            assert (await response.json())["created"] is False
        async with session.post("/paper/accounts", json={**new, "secret": "else"}) as response:
            assert response.status == 409
        client = SignedClient(session, paper.address, "remote", "hush")
        await client.order(SPOT, "Buy", "0.001", "59000", orderLinkId="seen")
        trade = {"category": "spot", "symbol": "BTCUSDT", "price": "58000", "qty": "1", "side": "Sell"}
        async with session.post("/paper/trade", json=trade) as response:
            assert response.status == 200
        async with session.post(
            "/paper/deposit", json={"key": "remote", "coin": "USDT", "amount": "-1000"}
        ) as response:
            assert response.status == 422
        async with session.get("/paper/accounts/remote") as response:
            text = await response.text()
            assert "hush" not in text
            shown = await response.json()
        assert (shown["balances"], shown["openOrders"]) == ({"BTC": "0.000999", "USDT": "441"}, [])
        assert [row["orderLinkId"] for row in shown["executions"]] == ["seen"]
        async with session.get("/paper/till") as response:
            assert (await response.json())["fees"]["BTC"] == "0.000001"


def test_secrets_do_not_show(paper: PaperVenue) -> None:
    account = paper.create_account("visible", "invisible")
    assert "invisible" not in repr(account.wallet)
