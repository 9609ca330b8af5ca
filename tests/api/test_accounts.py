"""Exchange accounts over HTTP: keys asked about before they are kept, sealed, never told; paper of one's own."""

import asyncio
import logging
import uuid
from collections.abc import AsyncIterator, Callable, Iterator
from decimal import Decimal
from functools import partial
from pathlib import Path

import pytest

from actors.home import Home
from actors.rewrap import rewrap
from adapters.exchanges import registry
from adapters.exchanges.bybit.hosts import single_host
from adapters.exchanges.paper.model import KeyRights
from adapters.exchanges.paper.server import PaperVenue
from adapters.secrets.envelope import KekFile, Sealed
from api.up import _log_to
from storage.accounts import Accounts
from storage.sealed_values import all_sealed, replace
from tests.api.browser import PASSWORD, Browser, browsing, enrol
from tests.api.conftest import Answer, Api
from tests.api.test_bots import pointers
from tests.api.testnet import SECRET, in_place_of_testnet, new_key

MakeKey = Callable[..., dict[str, str]]


@pytest.fixture(scope="module")
async def testnet(api: Api) -> AsyncIterator[PaperVenue]:
    async with in_place_of_testnet(api) as venue:
        yield venue


@pytest.fixture
def make_key(testnet: PaperVenue) -> MakeKey:
    return partial(new_key, testnet)


@pytest.fixture
async def ann(api: Api) -> AsyncIterator[Browser]:
    """Give somebody who has just registered."""
    async with browsing(api.address) as browser:
        await enrol(api, browser)
        yield browser


@pytest.fixture
def log_file(api: Api, tmp_path: Path) -> Iterator[Path]:
    """Write the program's log to a file as `trellis up` does, at its most talkative."""
    root = logging.getLogger()
    handlers, level = root.handlers[:], root.level
    _log_to(tmp_path / "trellis.log", "debug")
    yield tmp_path / "trellis.log"
    for handler in root.handlers:
        handler.close()
    root.handlers[:], root.level = handlers, level


def reason(answer: Answer) -> str:
    assert answer.status == 422, answer.body
    code: str = answer.body["errors"][0]["code"]
    return code


# ---------------------------------------------------------------------- keys


async def test_what_can_be_connected_is_listed_with_its_worlds(ann: Browser) -> None:
    items = {each["exchange"]: each for each in (await ann.get("/exchanges")).body["items"]}
    assert items["bybit"]["environments"] == ["paper", "demo", "testnet", "live"]
    assert items["okx"]["needs_passphrase"]
    assert items["mexc"]["markets"] == ["spot"]
    assert "paper" not in items["mexc"]["environments"]


async def test_a_key_is_checked_and_shown_by_its_end_alone(ann: Browser, make_key: MakeKey) -> None:
    body = make_key(expires_ms=2_000_000_000_000)
    made = await ann.post("/accounts", body)
    assert made.status == 201, made.body
    account = made.body
    assert account["key_hint"] == body["key"][-4:]
    assert account["permissions"] == ["spot", "linear"]
    assert (account["bound_to_ip"], account["expires_ms"], account["problems"]) == (True, 2_000_000_000_000, [])
    listed = await ann.get("/accounts")
    assert listed.body["items"] == [account]
    balances = await ann.get(f"/accounts/{account['id']}/balances")
    (usdt,) = balances.body["items"]
    assert (usdt["asset"], Decimal(usdt["total"]), Decimal(usdt["free"])) == ("USDT", 5_000, 5_000)
    for answer in (made, listed, balances):
        assert SECRET not in str(answer.body)
        assert body["key"] not in str(answer.body)


@pytest.mark.parametrize("password", ["", "not this one at all"])
async def test_a_session_alone_connects_no_key(ann: Browser, make_key: MakeKey, password: str) -> None:
    answer = await ann.post("/accounts", make_key() | {"password": password})
    assert reason(answer) == "wrong_password"
    assert answer.body["errors"][0]["pointer"] == "#/password"
    assert (await ann.get("/accounts")).body["items"] == []


@pytest.mark.parametrize(
    ("rights", "code"),
    [
        ({"can_withdraw": True}, "key_can_withdraw"),
        ({"read_only": True}, "key_cannot_trade"),
        ({"read_only": True, "can_withdraw": True}, "key_can_withdraw"),
    ],
)
async def test_a_key_of_the_wrong_rights_is_refused_and_not_kept(
    ann: Browser, make_key: MakeKey, rights: dict[str, bool], code: str
) -> None:
    answer = await ann.post("/accounts", make_key(**rights))
    assert reason(answer) == code
    assert list(pointers(answer)) == ["#/key"]
    assert "API management" in answer.body["errors"][0]["allowed"]
    assert (await ann.get("/accounts")).body["items"] == []


async def test_a_wrong_secret_and_an_unknown_key_are_refused(ann: Browser, make_key: MakeKey) -> None:
    for change in ({"secret": "wrong"}, {"key": "nobody"}):
        answer = await ann.post("/accounts", make_key() | change)
        assert reason(answer) == "key_refused"
        assert SECRET not in str(answer.body)


@pytest.mark.parametrize(
    ("change", "pointer", "code"),
    [
        ({"exchange": "nowhere"}, "#/exchange", "unknown_exchange"),
        ({"exchange": "mexc"}, "#/environment", "unknown_environment"),
        ({"key": ""}, "#/key", "key_missing"),
        ({"secret": ""}, "#/secret", "secret_missing"),
        ({"exchange": "okx", "environment": "live"}, "#/passphrase", "passphrase_missing"),
        ({"environment": "paper", "secret": ""}, "#/key", "key_unused"),
    ],
)
async def test_what_is_missing_is_said_at_its_place(
    ann: Browser, change: dict[str, str], pointer: str, code: str
) -> None:
    body = {"exchange": "bybit", "environment": "testnet", "key": "k", "secret": "s", "password": PASSWORD}
    answer = await ann.post("/accounts", body | change)
    assert (reason(answer), list(pointers(answer))) == (code, [pointer])


async def test_an_exchange_that_does_not_answer_is_not_taken_for_a_refusal(
    ann: Browser, make_key: MakeKey, testnet: PaperVenue
) -> None:
    body = make_key()
    home, registry.TESTNET = registry.TESTNET, single_host("http://127.0.0.1:9")
    try:
        answer = await ann.post("/accounts", body)
    finally:
        registry.TESTNET = home
    assert answer.status == 503
    assert SECRET not in str(answer.body)


async def test_the_same_command_said_twice_connects_once(ann: Browser, make_key: MakeKey) -> None:
    body, word = make_key(), {"Idempotency-Key": uuid.uuid4().hex}
    first, second = [await ann.post("/accounts", body, **word) for _ in range(2)]
    assert (first.status, first.body) == (201, second.body)
    other = await ann.post("/accounts", make_key(), **word)
    assert (other.status, other.body["type"]) == (409, "urn:trellis:problem:different-content")


async def test_a_check_shows_what_the_key_may_do_now(ann: Browser, make_key: MakeKey, testnet: PaperVenue) -> None:
    body = make_key()
    account = (await ann.post("/accounts", body)).body
    wallet = testnet.core.records.by_key[body["key"]].wallet
    wallet.rights = KeyRights(can_withdraw=True)
    checked = await ann.post(f"/accounts/{account['id']}/check")
    assert checked.status == 200, checked.body
    assert "withdraw" in checked.body["permissions"]
    assert checked.body["checked_ms"] >= account["checked_ms"]
    assert [each["code"] for each in checked.body["problems"]] == ["key_can_withdraw"]
    attention = (await ann.get("/dashboard")).body["attention"]
    assert ("key_can_withdraw", account["id"]) in {(each["code"], each["account"]) for each in attention}


# ---------------------------------------------------------------------- sealed, and never told


async def test_a_secret_is_in_no_answer_no_log_and_no_row(
    api: Api, ann: Browser, make_key: MakeKey, log_file: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    body = make_key() | {"passphrase": "a-third-word-of-the-key"}
    answers = [
        await ann.post("/accounts", body),
        await ann.post("/accounts", make_key(can_withdraw=True)),
        await ann.post("/accounts", body | {"secret": 5}),
        await ann.post("/accounts", body | {"colour": SECRET}),
        await ann.post("/accounts", body | {"environment": SECRET}),
    ]
    account = answers[0].body["id"]
    answers += [
        await ann.get("/accounts"),
        await ann.post(f"/accounts/{account}/check"),
        await ann.get(f"/accounts/{account}/balances"),
        await ann.get("/profile/export"),
        await api.get("/api/v1/audit?limit=500"),
    ]
    tables = "SELECT a::text FROM exchange_accounts a UNION ALL SELECT a::text FROM audit a"
    rows = await api.engine.database.rows(tables)
    logged = await asyncio.to_thread(log_file.read_text)
    said = [str(answer.body) for answer in answers] + [logged, *capfd.readouterr(), str(rows)]
    for text in said:
        assert "a-third-word" not in text
        assert body["key"] not in text
    # Said back to its sender, at its place, and to nobody else: a value that is not one of the words.
    assert [SECRET in text for text in said].count(True) <= 1
    assert "/api/v1/accounts" in logged, "the log must have been written for this to mean anything"


async def test_a_sealed_key_opens_in_its_own_row_only(api: Api, ann: Browser, make_key: MakeKey) -> None:
    first, second = [(await ann.post("/accounts", make_key())).body["id"] for _ in range(2)]
    accounts = Accounts(api.engine.database)
    sealed = await accounts.sealed_key(first)
    assert sealed is not None
    before = next(each for each in await all_sealed(api.engine.database) if each.place[1] == second)
    assert await replace(api.engine.database, before, sealed.ciphertext, sealed.sealing_key_id)
    answer = await ann.get(f"/accounts/{second}/balances")
    assert answer.status == 422
    assert "cannot be opened" in answer.body["detail"]
    assert (await ann.post(f"/accounts/{second}/remove")).status == 204


async def test_after_a_new_sealing_key_every_connected_key_still_opens(
    api: Api, ann: Browser, make_key: MakeKey
) -> None:
    account = (await ann.post("/accounts", make_key())).body["id"]
    keks = KekFile(Home(api.engine.plan.home).sealing_keys)
    old = next(iter(keks.read()))
    count = await rewrap(api.engine.database, keks)
    assert count >= 1
    assert list(keks.read()) != [old]
    assert len(keks.read()) == 1
    sealed = await all_sealed(api.engine.database)
    assert {Sealed(each.content).kek_id for each in sealed} == set(keks.read())
    assert (await ann.get(f"/accounts/{account}/balances")).status == 200


# ---------------------------------------------------------------------- whose it is


async def test_an_account_of_somebody_else_does_not_exist(api: Api, ann: Browser, make_key: MakeKey) -> None:
    account = (await ann.post("/accounts", make_key())).body["id"]
    async with browsing(api.address) as bob:
        await enrol(api, bob)
        assert (await bob.get("/accounts")).body["items"] == []
        for method, path in (("GET", ""), ("GET", "/balances"), ("POST", "/check"), ("POST", "/remove")):
            assert (await bob.ask(method, f"/accounts/{account}{path}")).status == 404
        for path in ("instruments?", "ticker?symbol=BTCUSDT&", "candles?symbol=BTCUSDT&"):
            answer = await bob.get(f"/market/{path}account={account}")
            assert (answer.status, list(pointers(answer))) == (422, ["account"])
        for path in ("/bots/suggest", "/bots/preview", "/bots"):
            body = {"account": account, "config": api.grid}
            body = {"account": account, "symbol": "BTCUSDT"} if path == "/bots/suggest" else body
            answer = await bob.post(path, body)
            assert (answer.status, list(pointers(answer))) == (422, ["#/account"])
        assert (await bob.get("/accounts?owner=operator")).status == 403
    assert account in {each["id"] for each in (await api.get("/api/v1/accounts")).body["items"]}


# ---------------------------------------------------------------------- paper


async def test_everybody_has_paper_money_of_their_own(api: Api, ann: Browser) -> None:
    made = await asyncio.gather(*(ann.post("/accounts", {"environment": "paper"}) for _ in range(3)))
    assert [answer.status for answer in made] == [201] * 3
    assert len({answer.body["id"] for answer in made}) == 1
    account = made[0].body
    assert (account["environment"], account["key_hint"], account["permissions"]) == ("paper", None, None)
    config = {**api.grid, "amount": "4000", "grids": 10}
    bot = await ann.post("/bots", {"account": account["id"], "config": config, "name": "mine"})
    assert bot.status == 201, bot.body
    for _ in range(300):
        shown = (await ann.get(f"/bots/{bot.body['id']}")).body
        if shown["status"] == "running" and shown["open_orders"]:
            break
        await asyncio.sleep(0.1)
    assert (shown["status"], shown["environment"]) == ("running", "paper")
    async with browsing(api.address) as bob:
        await enrol(api, bob)
        his = (await bob.post("/accounts", {"environment": "paper"})).body
        assert his["id"] != account["id"]
        untouched = (await bob.get(f"/accounts/{his['id']}/balances")).body["items"]
        assert all(each["total"] == each["free"] for each in untouched)
        assert (await bob.get(f"/bots/{bot.body['id']}")).status == 404
    mine = (await ann.get(f"/accounts/{account['id']}/balances")).body["items"]
    assert any(each["total"] != each["free"] for each in mine)
    removing = await ann.post(f"/accounts/{account['id']}/remove")
    assert (removing.status, removing.body["code"]) == (409, "account_in_use")
    assert [each["allowed"] for each in removing.body["errors"]] == [bot.body["id"]]
    await _end(ann, bot.body["id"])
    assert (await ann.post(f"/accounts/{account['id']}/remove")).status == 204
    assert (await ann.get("/accounts")).body["items"] == []
    again = await ann.post(f"/bots/{bot.body['id']}/start")
    assert (again.status, again.body["code"]) == (409, "account_removed")
    fresh = (await ann.post("/accounts", {"environment": "paper"})).body
    assert fresh["id"] != account["id"]


async def test_a_removed_account_has_no_key_left(api: Api, ann: Browser, make_key: MakeKey) -> None:
    account = (await ann.post("/accounts", make_key())).body["id"]
    assert (await ann.post(f"/accounts/{account}/remove")).status == 204
    assert await Accounts(api.engine.database).sealed_key(account) is None
    for path in ("", "/balances"):
        assert (await ann.get(f"/accounts/{account}{path}")).status == 404
    refused = await ann.post("/bots", {"account": account, "config": api.grid})
    assert (refused.status, list(pointers(refused))) == (422, ["#/account"])


async def _end(browser: Browser, bot: str) -> None:
    assert (await browser.post(f"/bots/{bot}/stop", {"sell": True})).status == 200
    for _ in range(300):
        if (await browser.get(f"/bots/{bot}")).body["status"] == "stopped":
            break
        await asyncio.sleep(0.1)
    # The row says so a moment after the bot does.
    for _ in range(100):
        if (await browser.post(f"/bots/{bot}/rename", {"name": "ended"})).body["live"] is False:
            return
        await asyncio.sleep(0.1)
    pytest.fail(f"{bot} did not end")
