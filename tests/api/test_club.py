"""The club through its API and console, on real Ray and the demo's TRON: acceptance in the owner's words."""

import asyncio
import io
import re
from decimal import Decimal

import pytest
from rich.console import Console

from api.console.client import Client
from api.console.club_walk import Walk
from tests.api.browser import browsing, enrol
from tests.api.club import USDT, accept, club_is_ready, make_deal, make_offer
from tests.api.conftest import TOKEN, Api, serving
from tests.invariants import assert_books_hold

CLUB = "/api/v1/club"


@pytest.fixture(scope="module", autouse=True)
async def club(api: Api) -> None:
    await club_is_ready(api)


async def test_a_pass_through_deal_and_an_end_of_day_are_paid_and_the_books_hold(api: Api) -> None:
    """Incoming TRC-20 → payout confirmed; three deals in a trust pair → settlement → payout confirmed."""
    text = io.StringIO()
    console = Console(file=text, width=200, highlight=False)
    walk = Walk(Client(api.address, TOKEN), console, Decimal("12.34"))
    await asyncio.to_thread(walk.go)
    shown = text.getvalue()
    assert len(re.findall(r"^ {2}confirmed$", shown, re.MULTILINE)) == 2
    assert "incoming_to_deal" in shown
    assert re.search(r"369\.5 +369\.5 +0", shown), "700 − 450.50 + 120 is paid as one amount"
    await assert_books_hold(api.engine.database)


async def test_a_deal_over_the_limit_is_refused_with_the_limit_and_what_would_lift_it(api: Api) -> None:
    offered = await make_offer(api, "aurora", "10000.01")
    refused = await accept(api, offered.body["id"], "borealis")
    assert refused.status == 422
    (problem,) = refused.body["errors"]
    assert problem["code"] == "over_cap_per_deal"
    assert "10,000" in problem["detail"]
    assert problem["allowed"]
    refusals = (await api.get(f"{CLUB}/refusals")).body["items"]
    assert any(each["code"] == "over_cap_per_deal" and each["actor"] == "mb_borealistrader" for each in refusals)


async def test_a_payout_to_a_new_address_is_refused(api: Api) -> None:
    known = (await api.get(f"{CLUB}/companies/co_dynamo/wallets")).body["items"]
    address = next(each["address"] for each in known)
    added = await api.post(
        f"{CLUB}/wallets?member=mb_cirrusadmin", {"company": "co_cirrus", "token": USDT, "address": address}
    )
    assert added.status == 201, added.body
    assert added.body["standing"] == "challenged"
    withdrawn = await api.post(
        f"{CLUB}/withdrawals?member=mb_cirrusadmin",
        {"company": "co_cirrus", "token": USDT, "amount": "1", "wallet": added.body["id"]},
    )
    assert withdrawn.status == 422
    assert withdrawn.body["errors"][0]["code"] == "not_allowed"


async def test_an_address_with_a_typing_mistake_is_refused_where_it_is_written(api: Api) -> None:
    answer = await api.post(
        f"{CLUB}/wallets?member=mb_cirrusadmin",
        {"company": "co_cirrus", "token": USDT, "address": "TAXYcTHbXJWTf94c6N87etrVKGhS6aNZ6e"},
    )
    assert answer.status == 422
    assert answer.body["errors"][0]["pointer"] == "#/address"


async def test_who_asked_for_a_payout_may_not_approve_it_and_two_others_must(api: Api) -> None:
    withdrawn = await api.post(
        f"{CLUB}/withdrawals?member=mb_dynamoanna",
        {"company": "co_dynamo", "token": USDT, "amount": "3", "wallet": "wa_dynamousdt"},
    )
    payout = withdrawn.body
    fields = {name: payout[name] for name in ("company", "token", "amount", "to_address")}
    path = f"{CLUB}/payouts/{payout['id']}/approve"
    own = await api.post(f"{path}?member=mb_dynamoanna", fields)
    assert own.body["errors"][0]["code"] == "approver_is_initiator"
    trader = await api.post(f"{path}?member=mb_dynamotrader", fields)
    assert trader.body["errors"][0]["code"] == "not_an_approver"
    other = await api.post(f"{path}?member=mb_dynamoboris", {**fields, "amount": "300"})
    assert other.body["errors"][0]["code"] == "fields_changed"
    assert (await api.post(f"{path}?member=mb_dynamoboris", fields)).status == 200
    shown = (await api.get(f"{CLUB}/payouts/{payout['id']}")).body
    assert shown["approved_by"] == ["mb_dynamoboris"]
    assert shown["state"] == "queued"


async def test_a_pair_is_enabled_when_an_admin_of_each_company_has_said_yes_to_just_its_terms(api: Api) -> None:
    terms = {"daily_limit_usd": "1000", "cutoff": "18:00", "tz": "Europe/Warsaw", "reserve_pct": 1}
    agreed = await api.post(f"{CLUB}/pairs", {"companies": ["co_aurora", "co_dynamo"], **terms})
    assert agreed.status == 201, agreed.body
    pair, yes = agreed.body["id"], {**terms, "automatic_eod": True}
    path = f"{CLUB}/pairs/{pair}"
    refused = await api.post(f"{path}/enable")
    assert refused.body["errors"][0]["code"] == "consent_missing"
    trader = await api.post(f"{path}/consent?member=mb_auroratrader", yes)
    assert trader.body["errors"][0]["code"] == "not_an_admin"
    other = await api.post(f"{path}/consent?member=mb_auroraadmin", {**yes, "daily_limit_usd": "1000000"})
    assert other.body["errors"][0]["code"] == "terms_changed"
    for company in ("aurora", "dynamo"):
        said = await api.post(f"{path}/consent?member=mb_{company}admin", yes)
        assert said.status == 200, said.body
    assert [each["member"] for each in said.body["consents"]] == ["mb_auroraadmin", "mb_dynamoadmin"]
    enabled = await api.post(f"{path}/enable")
    assert enabled.status == 200, enabled.body
    assert enabled.body["enabled"]
    await assert_books_hold(api.engine.database)


async def test_a_freeze_takes_one_person_and_leaving_it_two(api: Api) -> None:
    entered = await api.post(f"{CLUB}/freezes", {"scope": "company", "subject": "co_cirrus", "reason": "a drill"})
    assert entered.status == 201, entered.body
    freeze = entered.body["id"]
    once = (await api.post(f"{CLUB}/freezes/{freeze}/lift")).body
    again = (await api.post(f"{CLUB}/freezes/{freeze}/lift")).body
    assert once["lifted_ms"] is again["lifted_ms"] is None
    assert again["lifters"] == ["operator:api"]
    lifted = (await api.post(f"{CLUB}/freezes/{freeze}/lift?member=mb_cirrusadmin")).body
    assert lifted["lifted_ms"] is not None


async def test_a_difference_between_books_and_chain_is_booked_by_two_operators(api: Api) -> None:
    wallet, token = "hw_dynamo_tron", "tron:TRX"
    # There and back again, so that the demo's own reconciler finds what it found before.
    for kind, difference in (("opening_balance", 1_000_000), ("proved_loss", -1_000_000)):
        await _say_the_chain_differs(api, wallet, token, difference)
        body = {"kind": kind, "hot_wallet": wallet, "token": token, "amount": "1", "reason": "a drill"}
        too_much = await api.post(f"{CLUB}/corrections", {**body, "amount": "1.000001"})
        assert too_much.body["errors"][0]["code"] == "no_such_difference"
        proposed = await api.post(f"{CLUB}/corrections", body)
        assert proposed.status == 201, proposed.body
        assert (proposed.body["proposed_by"], proposed.body["confirmed_by"]) == ("operator:api", "")
        path = f"{CLUB}/corrections/{proposed.body['id']}/confirm"
        own = await api.post(path)
        assert own.body["errors"][0]["code"] == "same_operator"
        booked = await api.post(f"{path}?member=mb_dynamoadmin")
        assert booked.status == 200, booked.body
        assert booked.body["confirmed_by"] == "mb_dynamoadmin"
    listed = (await api.get(f"{CLUB}/corrections")).body["items"]
    assert [each["kind"] for each in listed[:2]] == ["proved_loss", "opening_balance"]
    compared = (await api.get(f"{CLUB}/comparisons")).body["items"]
    assert {"hw_aurora_tron", wallet} <= {each["hot_wallet"] for each in compared}
    await assert_books_hold(api.engine.database)


async def _say_the_chain_differs(api: Api, wallet: str, token: str, units: int) -> None:
    """Write a comparison of the newest block, in which the chain has more or less than the books have now."""
    await api.engine.database.rows(
        """
        INSERT INTO reconciliation (hot_wallet_id, token, block_number, ledger_units, chain_units, explained,
                                    unexplained_units, at_ms)
        SELECT $1, $2, (SELECT max(number) FROM chain_block), balance, balance + $3::numeric, '[]', $3, 0
        FROM ledger_account WHERE code = 'wallet:' || $1 || ':' || $2
        ON CONFLICT (hot_wallet_id, token, block_number) DO UPDATE SET chain_units = excluded.chain_units
        RETURNING 1
        """,
        wallet,
        token,
        units,
    )


async def test_a_command_that_is_said_twice_happens_once(api: Api) -> None:
    body = {"company": "co_dynamo", "token": USDT, "amount": "100"}
    before = await _deposit(api)
    for _ in range(2):
        answer = await api.post(f"{CLUB}/deposits/fund?member=mb_dynamoadmin", body, key="fund-once")
        assert answer.status == 201, answer.body
    assert await _deposit(api) == before + 100
    other = await api.post(f"{CLUB}/deposits/fund?member=mb_dynamoadmin", {**body, "amount": "7"}, key="fund-once")
    assert other.status == 409


async def test_a_hold_lowers_the_deposit_and_a_penalty_takes_a_part_of_it(api: Api) -> None:
    before = await _deposit(api)
    move = {"company": "co_dynamo", "token": USDT, "amount": "50"}
    held = (await api.post(f"{CLUB}/deposits/hold", move)).body
    assert await _deposit(api) == before - 50
    taken = await api.post(f"{CLUB}/deposits/penalty", {**move, "amount": "20", "hold": held["reference"]})
    assert taken.status == 200, taken.body
    assert await _deposit(api) == before - 20
    again = await api.post(f"{CLUB}/deposits/release", {**move, "hold": held["reference"]})
    assert again.body["errors"][0]["code"] == "hold_over"
    await assert_books_hold(api.engine.database)


async def test_nobody_acts_for_a_member_but_the_demos_console(api: Api) -> None:
    async with browsing(api.address) as browser:
        await enrol(api, browser)
        answer = await browser.get("/club/companies?member=mb_auroraadmin")
        assert answer.status == 403


async def test_status_and_metrics_tell_of_networks_payouts_and_writers(api: Api) -> None:
    status = (await api.get(f"{CLUB}/status")).body
    assert status["watchers"][0]["network"] == "tron"
    assert len(status["watchers"][0]["nodes"]) == 2
    assert {"watcher:tron", "signer:hw_aurora_tron"} <= {each["name"] for each in status["actors"]}
    metrics = (await api.get("/metrics")).body.decode()
    for name in ("trellis_payout_tasks", "trellis_chain_block", "trellis_node_failures", "trellis_freezes"):
        assert name in metrics
    health = (await api.get("/healthz")).body
    assert "watcher:tron" in {each["name"] for each in health["components"]}


async def test_without_a_club_its_addresses_say_how_to_have_one(api: Api) -> None:
    club, api.engine.club = api.engine.club, None
    try:
        async with (
            serving(api.engine) as (address, _),
            api.http.get(f"{address}{CLUB}/companies", headers={"Authorization": f"Bearer {TOKEN}"}) as response,
        ):
            problem = await response.json(content_type=None)
    finally:
        api.engine.club = club
    assert response.status == 409
    assert "TRELLIS_CLUB" in problem["detail"]


async def test_an_unpaid_deal_can_be_called_off_by_who_is_to_pay(api: Api) -> None:
    deal = await make_deal(api, "cirrus", "dynamo", "40")
    path = f"{CLUB}/deals/{deal['id']}/cancel"
    payee = await api.post(f"{path}?member=mb_dynamotrader", {"company": "co_dynamo"})
    assert payee.body["errors"][0]["code"] == "not_yours"
    cancelled = await api.post(f"{path}?member=mb_cirrustrader", {"company": "co_cirrus"})
    assert cancelled.status == 200, cancelled.body
    assert cancelled.body["status"] == "cancelled"


async def _deposit(api: Api) -> Decimal:
    company = (await api.get(f"{CLUB}/companies/co_dynamo")).body
    return next(Decimal(each["deposit"]) for each in company["balances"] if each["asset"] == USDT)
