"""Every route × nobody, somebody else, the owner, an operator: what each is answered, from the route table."""

import uuid
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from typing import Any

import msgspec
import pytest

from actors.clock import now_ms
from adapters.chains.tron.devnet.devnet import demo_account
from api.routes import all_routes
from api.routing import PATH_NAMES
from engine.access.principals import Access
from engine.ids import AccountId, CompanyId, MemberId, UserId
from engine.settlement.companies import Member, Role
from storage.accounts import Accounts, Environment, NewAccount
from storage.companies import Companies
from tests.api.browser import Browser, browsing, enrol
from tests.api.club import club_is_ready, make_deal
from tests.api.conftest import Api
from tests.security.matrix import NOBODY_ANSWERS, ROWS, Opens, Row

ROUTES = {f"{route.method} {route.path}": route for route in all_routes()}


class Cast(msgspec.Struct, frozen=True):
    """Four browsers, and what belongs to the owner."""

    browsers: dict[str, Browser]
    names: dict[str, str]


@pytest.fixture(scope="module")
async def cast(api: Api) -> AsyncIterator[Cast]:
    """Let an owner have an account, a bot and a second session; let somebody else and an operator stand by."""
    async with AsyncExitStack() as stack:
        browsers = {
            role: await stack.enter_async_context(browsing(api.address))
            for role in ("nobody", "other", "owner", "operator")
        }
        spare = await stack.enter_async_context(browsing(api.address))
        await enrol(api, browsers["other"])
        owner_email = await enrol(api, browsers["owner"])
        operator_email = await enrol(api, browsers["operator"])
        await api.engine.database.rows(
            "INSERT INTO user_roles SELECT id, 'operator' FROM users WHERE email = $1", operator_email
        )
        owner = (await browsers["owner"].get("/session")).body["user"]["id"]
        account = f"acc{uuid.uuid4().hex[:8]}"
        new = NewAccount(AccountId(account), UserId(owner), "bybit", Environment.PAPER, "mine")
        await Accounts(api.engine.database).add(new, "test")
        made = await browsers["owner"].post("/bots", {"account": account, "config": api.grid, "start": False})
        assert made.status == 201, made.body
        assert made.body["owner"] == owner
        await spare.login(owner_email)
        sessions = (await browsers["owner"].get("/profile/sessions")).body["items"]
        session = next(each["id"] for each in sessions if not each["current"])
        await enrol(api, spare)
        user = (await spare.get("/session")).body["user"]["id"]
        names = {"bot": made.body["id"], "account": account, "session": session, "user": user}
        yield Cast(browsers, names | await in_the_club(api, UserId(owner)))


async def in_the_club(api: Api, owner: UserId) -> dict[str, str]:
    """Let the owner act for a company of the demo's that has a deal, a payout and an address to be proved."""
    await club_is_ready(api)
    companies, member = Companies(api.engine.database), MemberId(f"mb_{uuid.uuid4().hex[:8]}")
    await companies.add_member(Member(member, "Owner", now_ms(), owner))
    await companies.set_roles(CompanyId("co_aurora"), member, list(Role), "test")
    deal = await make_deal(api, "aurora", "borealis", "25")
    withdrawn = await api.post(
        "/api/v1/club/withdrawals?member=mb_auroraadmin",
        {"company": "co_aurora", "token": "tron:USDT", "amount": "5", "wallet": "wa_aurorausdt"},
    )
    assert withdrawn.status == 201, withdrawn.body
    address = demo_account("somebody", uuid.uuid4().hex)[0]
    wallet = await api.post(
        "/api/v1/club/wallets?member=mb_auroraadmin",
        {"company": "co_aurora", "token": "tron:USDT", "address": address},
    )
    assert wallet.status == 201, wallet.body
    return {"deal": deal["id"], "payout": withdrawn.body["id"], "wallet": wallet.body["id"]}


def test_every_route_has_a_row_and_every_row_a_route() -> None:
    assert ROWS.keys() == ROUTES.keys()


def test_every_row_agrees_with_what_its_route_declares() -> None:
    for name, row in ROWS.items():
        expected = {Opens.EVERYBODY: Access.PUBLIC, Opens.OPERATION: Access.OPERATOR}.get(row.opens, Access.USER)
        assert ROUTES[name].access is expected, name
        if {"bot", "account"} & set(ROUTES[name].parameters):
            assert row.opens is Opens.OWNED, name


def test_every_name_in_a_path_has_a_form() -> None:
    assert {name for route in ROUTES.values() for name in route.parameters} <= PATH_NAMES.keys()


async def test_lists_show_ones_own_and_an_operator_everybodys(cast: Cast, api: Api) -> None:
    owner = await owner_of(cast)
    for path, thing in (("/bots", cast.names["bot"]), ("/accounts", cast.names["account"])):
        assert thing in ids(await cast.browsers["owner"].get(path))
        assert ids(await cast.browsers["other"].get(path)).isdisjoint({thing})
        assert thing in ids(await api.get(f"/api/v1{path}?owner={owner}"))
        asked = await cast.browsers["other"].get(f"{path}?owner={owner}")
        assert asked.status == 403


async def test_what_belongs_to_somebody_else_is_answered_like_what_nobody_has(cast: Cast) -> None:
    other, bot = cast.browsers["other"], cast.names["bot"]
    foreign, missing = await other.get(f"/bots/{bot}"), await other.get("/bots/aaaaaaaa")
    assert foreign.status == missing.status == 404
    assert {**foreign.body, "detail": ""} == {**missing.body, "detail": ""}
    assert foreign.body["detail"].replace(bot, "") == missing.body["detail"].replace("aaaaaaaa", "")


@pytest.mark.parametrize("name", ROWS)
async def test_a_route_answers_each_role_as_its_row_says(cast: Cast, name: str) -> None:
    row, method = ROWS[name], name.split()[0]
    # The owner last: what ends a thing must find it there for the others.
    for role in ("nobody", "other", "operator", "owner"):
        answered = await ask(cast, cast.browsers[role], method, row)
        assert answered == expected(name, row, role), f"{role}: {name}"


def expected(name: str, row: Row, role: str) -> int:
    """Derive what a role is answered."""
    match role, row.opens:
        case "nobody", Opens.EVERYBODY:
            return NOBODY_ANSWERS.get(name, row.answers)
        case "nobody", _:
            return 401
        case (("other" | "owner"), Opens.OPERATION):
            return 403
        case "other", (Opens.OWNED | Opens.OF_COMPANIES):
            return 404
        case "other", Opens.FOR_MEMBERS:
            return row.other_answers
        case "other", Opens.ACCOUNT_IN_BODY:
            return 422
        case "owner", _ if row.owner_answers:
            return row.owner_answers
        case _:
            return row.answers


async def ask(cast: Cast, browser: Browser, method: str, row: Row) -> int:
    """Make the call and give the status; what follows (a stream has no end) is not read."""
    body = msgspec.json.decode(_filled(msgspec.json.encode(row.body).decode(), cast.names))
    headers = {"X-CSRF-Token": browser.csrf, "Idempotency-Key": uuid.uuid4().hex}
    address = browser.address + _filled(row.call, cast.names)
    async with browser.http.request(method, address, json=body, headers=headers) as response:
        if response.status in (403, 404) and row.opens is Opens.OWNED:
            problem = await response.json(content_type=None)
            assert "owner" not in str(problem)
        return response.status


def _filled(text: str, names: dict[str, str]) -> str:
    for name, value in names.items():
        text = text.replace(f"{{{name}}}", value)
    return text


async def owner_of(cast: Cast) -> str:
    """Give the owner's id."""
    user: str = (await cast.browsers["owner"].get("/session")).body["user"]["id"]
    return user


def ids(answer: Any) -> set[str]:
    """Give the ids in a list."""
    return {item["id"] for item in answer.body["items"]}
