"""What follows from a verdict: which accounts move, who is paid out of it, what the world is told."""

import msgspec
import pytest

from engine.ids import CompanyId, DealId, HotWalletId, Instant, TxId, WalletId
from engine.ledger import accounts
from engine.ledger.accounts import Account
from engine.ledger.postings import Phase
from engine.payments.incoming import IncomingStatus, MatchingPolicy, Place, Reason, Verdict, incoming_id, match
from engine.payments.payout import Purpose
from engine.payments.request import NewPayout
from engine.payments.sighting import Fee
from engine.settlement import pass_through
from engine.settlement.deals import DealStatus
from engine.settlement.pass_through import Consequences, follow
from tests.unit.payments.arrivals import (
    BLOCK_TIME,
    HOT,
    PAYER,
    TRX,
    USDT,
    arrival,
    deal,
    expecting,
    proved_wallet,
    unproved_wallet,
)

NOW = Instant(BLOCK_TIME + 57_000)
WALLET = accounts.wallet(HOT, USDT.id)
CLEARING, TOLERANCE = accounts.clearing(DealId("de_1"), USDT.id), accounts.tolerance(USDT.id)
FUNDS, SUSPENSE = accounts.funds(PAYER, USDT.id), accounts.suspense(HOT, USDT.id)
POLICY = MatchingPolicy()

OPEN = deal("de_1", 100_000_000)
OVER = deal("de_1", 100_000_000, status=DealStatus.EXPIRED)
SENDER = proved_wallet("wa_own", "TPayer")
CHALLENGED = unproved_wallet("wa_new", "TPayer", units=34_567)

VERDICTS = {
    "exact": match([arrival(100_000_000)], expecting(OPEN), POLICY, BLOCK_TIME),
    "a little over": match([arrival(100_100_000)], expecting(OPEN), POLICY, BLOCK_TIME),
    "a little under": match([arrival(99_900_000)], expecting(OPEN), POLICY, BLOCK_TIME),
    "far under": match([arrival(50_000_000)], expecting(OPEN), POLICY, BLOCK_TIME),
    "unasked": match([arrival(7_000_000)], expecting(), POLICY, BLOCK_TIME),
    "dust": match([arrival(9_999)], expecting(), POLICY, BLOCK_TIME),
    "fee coin": match([arrival(5_000_000, asset=TRX)], expecting(), POLICY, BLOCK_TIME),
    "proof": match([arrival(34_567, sender="TPayer")], expecting(wallets=[CHALLENGED]), POLICY, BLOCK_TIME),
    "late": match([arrival(100_000_000, sender="TPayer")], expecting(OVER, wallets=[SENDER]), POLICY, BLOCK_TIME),
    "late, nobody": match([arrival(100_000_000)], expecting(OVER), POLICY, BLOCK_TIME),
    "wrong token": match([arrival(7_000_000, asset=None)], expecting(), POLICY, BLOCK_TIME),
}


def then(name: str, **vanished: int) -> Consequences:
    return follow(VERDICTS[name], {DealId(name): times for name, times in vanished.items()}, NOW)


# ---------------------------------------------------------------------- the books


@pytest.mark.parametrize(
    ("name", "booked"),
    [
        ("exact", [(WALLET, CLEARING, 100_000_000)]),
        ("a little over", [(WALLET, CLEARING, 100_000_000), (WALLET, TOLERANCE, 100_000)]),
        ("a little under", [(WALLET, CLEARING, 99_900_000)]),
        ("far under", [(WALLET, SUSPENSE, 50_000_000)]),
        ("unasked", [(WALLET, FUNDS, 7_000_000)]),
        ("dust", [(WALLET, TOLERANCE, 9_999)]),
        ("fee coin", [(accounts.wallet(HOT, TRX.id), accounts.owner(TRX.id), 5_000_000)]),
        ("proof", [(WALLET, FUNDS, 34_567)]),
        ("late", [(WALLET, SUSPENSE, 100_000_000)]),
        ("late, nobody", [(WALLET, SUSPENSE, 100_000_000)]),
        ("wrong token", []),
    ],
)
def test_what_came_in_is_booked_to_whom_it_belongs(name: str, booked: list[tuple[Account, Account, int]]) -> None:
    transfers = then(name).transfers
    assert [(each.debit, each.credit, each.units) for each in transfers] == booked


@pytest.mark.parametrize("name", sorted(VERDICTS.keys() - {"wrong token"}))
def test_all_that_came_is_in_the_books_at_once_and_under_the_arrivals_name(name: str) -> None:
    (verdict,) = VERDICTS[name]
    transfers = then(name).transfers
    assert sum(each.units for each in transfers) == verdict.arrival.units
    assert {(each.reference, each.at_ms, each.phase) for each in transfers} == {
        (verdict.arrival.id, NOW, Phase.POSTED)
    }


def test_a_known_token_that_belongs_nowhere_is_in_no_books() -> None:
    nowhere = Verdict(arrival(5), IncomingStatus.SUSPENSE, Reason.WRONG_TOKEN, Place.NOWHERE, 5)
    assert pass_through.booking(nowhere, NOW) == []


# ---------------------------------------------------------------------- payouts


def test_the_payee_is_paid_what_came_for_the_deal_from_the_address_where_it_is() -> None:
    assert then("exact").payouts == (
        NewPayout(
            id="po_1",
            company_id=PAYER,
            payee_id=CompanyId("co_payee"),
            purpose=Purpose.PASS_THROUGH,
            purpose_id="de_1",
            network=USDT.network,
            token=USDT.id,
            units=100_000_000,
            to_address="TPayeesWallet",
            wallet_id=WalletId("wa_payee"),
            hot_wallet_id=HOT,
            initiator="engine",
            at_ms=NOW,
        ),
    )


@pytest.mark.parametrize(
    ("name", "units"), [("exact", 100_000_000), ("a little over", 100_000_000), ("a little under", 99_900_000)]
)
def test_a_deal_pays_out_just_what_was_booked_for_it(name: str, units: int) -> None:
    done = then(name)
    (payout,) = done.payouts
    to_the_deal = [each.units for each in done.transfers if each.credit == CLEARING]
    assert payout.units == units == sum(to_the_deal)
    assert done.paying == ("de_1",)


@pytest.mark.parametrize(("times", "name"), [(0, "po_1"), (1, "po_1~2"), (2, "po_1~3")])
def test_money_that_vanished_and_came_again_is_another_payout(times: int, name: str) -> None:
    (payout,) = then("exact", de_1=times, de_other=7).payouts
    assert (payout.id, payout.purpose_id) == (name, "de_1")


def test_what_came_late_goes_back_to_the_address_that_sent_it() -> None:
    (verdict,) = VERDICTS["late"]
    done = then("late")
    assert done.payouts == (
        NewPayout(
            id=f"po_refund_{verdict.arrival.id}",
            company_id=PAYER,
            payee_id=PAYER,
            purpose=Purpose.REFUND,
            purpose_id=verdict.arrival.id,
            network=USDT.network,
            token=USDT.id,
            units=100_000_000,
            to_address="TPayer",
            wallet_id=WalletId("wa_own"),
            hot_wallet_id=HOT,
            initiator="engine",
            at_ms=NOW,
        ),
    )
    assert done.paying == ()


def test_two_late_transfers_are_two_refunds() -> None:
    twice = [arrival(100_000_000, sender="TPayer", log_index=index) for index in (0, 1)]
    two = expecting(OVER, deal("de_2", 100_000_000, status=DealStatus.CANCELLED), wallets=[SENDER])
    one, other = follow(match(twice, two, POLICY, BLOCK_TIME), {}, NOW).payouts
    assert one.id != other.id
    assert one.units == other.units == 100_000_000


@pytest.mark.parametrize(
    "name", ["far under", "unasked", "dust", "fee coin", "proof", "late, nobody", "wrong token"]
)
def test_nothing_is_paid_out_for_what_has_no_way(name: str) -> None:
    done = then(name)
    assert (done.payouts, done.paying) == ((), ())


def test_a_refund_that_names_no_address_is_not_paid() -> None:
    (verdict,) = VERDICTS["late"]
    assert pass_through.payout_for(msgspec.structs.replace(verdict, wallet=None), {}, NOW) is None


# ---------------------------------------------------------------------- addresses, blocks, fees, announcements


@pytest.mark.parametrize("name", VERDICTS)
def test_only_the_micro_transfer_proves_an_address(name: str) -> None:
    assert then(name).proved == (("wa_new",) if name == "proof" else ())


def test_a_block_that_brought_nothing_has_no_consequences() -> None:
    assert follow([], {DealId("de_1"): 1}, NOW) == Consequences()


def test_a_block_keeps_its_own_order() -> None:
    arrivals = [arrival(100_000_000), arrival(7_000_000, log_index=1), arrival(9_999, log_index=2)]
    done = follow(match(arrivals, expecting(OPEN), POLICY, BLOCK_TIME), {}, NOW)
    # While the deal was open 7 would have been "under"; it is unasked, because its deal was paid before it.
    assert [each.credit for each in done.transfers] == [CLEARING, FUNDS, TOLERANCE]
    assert [each.key for each in done.announcements] == [each.id for each in arrivals]
    assert [each.topic for each in done.announcements] == [
        "incoming.credited",
        "incoming.credited",
        "incoming.tolerance",
    ]


def test_a_transfer_that_appears_again_is_booked_and_refunded_under_its_new_name() -> None:
    (verdict,) = VERDICTS["late"]
    first = verdict.arrival
    second = msgspec.structs.replace(first, id=incoming_id(first.network, first.tx_id, first.log_index, 2))
    done = follow([msgspec.structs.replace(verdict, arrival=second)], {}, NOW)
    assert {each.id for each in done.transfers}.isdisjoint({each.id for each in then("late").transfers})
    assert done.payouts[0].id == f"po_refund_{first.id}~2"


@pytest.mark.parametrize(
    ("name", "status", "facts"),
    [
        (
            "a little over",
            "tolerance",
            {"units": "100100000", "surplus_units": "100000", "reason": "tolerance", "matched_to": "de_1"},
        ),
        ("unasked", "credited", {"units": "7000000", "surplus_units": "0", "reason": "unasked", "matched_to": ""}),
        ("late", "refund", {"from_address": "TPayer", "reason": "late", "matched_to": "de_1"}),
        ("proof", "credited", {"reason": "challenge", "matched_to": "wa_new"}),
        ("wrong token", "suspense", {"token": None, "contract": "TUnknown", "units": "7000000"}),
        ("fee coin", "credited", {"token": "tron:TRX", "contract": "", "reason": "fee_coin"}),
    ],
)
def test_the_world_is_told_what_came_and_what_became_of_it(
    name: str, status: str, facts: dict[str, object]
) -> None:
    (verdict,) = VERDICTS[name]
    (told,) = then(name).announcements
    assert (told.topic, told.key) == (f"incoming.{status}", verdict.arrival.id)
    assert told.payload | facts == told.payload
    assert (told.payload["company"], told.payload["hot_wallet"]) == (PAYER, HOT)
    assert (told.payload["network"], told.payload["tx_id"]) == ("tron", verdict.arrival.tx_id)


def test_what_a_transaction_burned_is_booked_once_under_the_name_of_its_fee() -> None:
    fee = Fee("tx_1~2", TxId("tx_1"), HotWalletId("hw_2"), 13_844_850)
    (booked,) = pass_through.fee_booking(fee, TRX, NOW)
    assert (booked.debit, booked.credit) == (
        accounts.network_fees(TRX.id),
        accounts.wallet(HotWalletId("hw_2"), TRX.id),
    )
    assert (booked.id, booked.units, booked.at_ms) == ("network_fee:tx_1~2", 13_844_850, NOW)
