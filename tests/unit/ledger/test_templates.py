"""The named movements: which accounts they debit and credit, under which ids, and what they refuse to be."""

import pytest

from engine.ids import CompanyId, DealId, HotWalletId, Instant, PayoutTaskId, SettlementId, TransferId
from engine.ledger import accounts, templates
from engine.ledger.accounts import Account, Normal
from engine.ledger.balances import Balance
from engine.ledger.postings import Phase, Posted, Posting, Transfer
from engine.money import AssetId

USDT, TRX = AssetId("tron:USDT"), AssetId("tron:TRX")
HOT, COMPANY, DEAL = HotWalletId("hw_a"), CompanyId("co_a"), DealId("de_1")
SETTLEMENT, TASK = SettlementId("se_1"), PayoutTaskId("po_1.1")
AT = Instant(1_700_000_000_000)

WALLET, FUNDS, DEPOSIT = (
    accounts.wallet(HOT, USDT),
    accounts.funds(COMPANY, USDT),
    accounts.deposit(COMPANY, USDT),
)
CLEARING = accounts.clearing(DEAL, USDT)
SUSPENSE = accounts.suspense(HOT, USDT)

MOVEMENTS = {
    "owner_put_in": (templates.owner_put_in(HOT, USDT, 5, "r", AT), WALLET, accounts.owner(USDT)),
    "incoming_to_deal": (templates.incoming_to_deal(HOT, DEAL, USDT, 5, 0, "r", AT), WALLET, CLEARING),
    "incoming_to_funds": (templates.incoming_to_funds(HOT, COMPANY, USDT, 5, "r", AT), WALLET, FUNDS),
    "incoming_to_suspense": (templates.incoming_to_suspense(HOT, USDT, 5, "r", AT), WALLET, SUSPENSE),
    "incoming_to_tolerance": (
        templates.incoming_to_tolerance(HOT, USDT, 5, "r", AT),
        WALLET,
        accounts.tolerance(USDT),
    ),
    "suspense_to_deal": (templates.suspense_to_deal(HOT, DEAL, USDT, 5, "r", AT), SUSPENSE, CLEARING),
    "suspense_to_funds": (templates.suspense_to_funds(HOT, COMPANY, USDT, 5, "r", AT), SUSPENSE, FUNDS),
    "claim": (templates.claim(HOT, COMPANY, USDT, 5, "r", AT), accounts.claims(COMPANY, USDT), WALLET),
    "fund": (templates.fund(COMPANY, USDT, 5, "r", AT), FUNDS, DEPOSIT),
    "hold_open": (templates.hold_open(COMPANY, USDT, 5, "r", AT), DEPOSIT, accounts.penalties(USDT)),
    "penalty": (templates.penalty(COMPANY, USDT, 5, "r", AT), DEPOSIT, accounts.penalties(USDT)),
    "reserve_trust": (
        templates.reserve_trust(COMPANY, USDT, 5, "r", AT),
        DEPOSIT,
        accounts.reserve(COMPANY, USDT),
    ),
    "reserve_release": (
        templates.reserve_release(COMPANY, USDT, 5, "r", AT),
        accounts.reserve(COMPANY, USDT),
        DEPOSIT,
    ),
    "clearing_returned": (
        templates.clearing_returned(DEAL, COMPANY, USDT, 5, "r", AT),
        CLEARING,
        FUNDS,
    ),
    "proved_loss": (templates.proved_loss(HOT, USDT, 5, "r", AT), accounts.losses(USDT), WALLET),
    "network_fee": (
        templates.network_fee(HOT, TRX, 5, "r", AT),
        accounts.network_fees(TRX),
        accounts.wallet(HOT, TRX),
    ),
}


@pytest.mark.parametrize("kind", MOVEMENTS)
def test_a_movement_debits_and_credits_what_its_name_says_under_an_id_of_its_own(kind: str) -> None:
    (transfer,), debit, credit = MOVEMENTS[kind]
    assert (transfer.id, transfer.kind) == (f"{kind}:r", kind)
    assert (transfer.debit, transfer.credit, transfer.units) == (debit, credit, 5)
    assert (transfer.reference, transfer.at_ms) == ("r", AT)


def test_the_types_of_the_seeds_are_all_movements() -> None:
    assert {*templates.DEPOSIT_TYPES} <= {name for name in dir(templates) if not name.startswith("_")}


def test_what_came_beyond_a_deal_goes_to_tolerance_with_it_or_not_at_all() -> None:
    for_deal, surplus = templates.incoming_to_deal(HOT, DEAL, USDT, 100, 3, "r", AT)
    assert (for_deal.units, surplus.units) == (100, 3)
    assert surplus.credit == accounts.tolerance(USDT)
    assert for_deal.group == surplus.group != ""


@pytest.mark.parametrize(("units", "grows"), [(5, True), (-5, False)])
def test_an_adjustment_goes_up_and_down_against_the_operator(units: int, grows: bool) -> None:
    (transfer,) = templates.adjustment(COMPANY, USDT, units, "r", AT)
    assert transfer.units == 5
    assert (transfer.credit if grows else transfer.debit) == DEPOSIT


def test_the_ends_of_a_hold_name_it() -> None:
    (hold,) = templates.hold_open(COMPANY, USDT, 5, "r", AT, Instant(AT + 1))
    (release,) = templates.hold_release(COMPANY, USDT, "r", AT)
    (penalty,) = templates.penalty(COMPANY, USDT, 2, "r", AT)
    assert (hold.phase, hold.expires_at_ms) == (Phase.PENDING, AT + 1)
    assert (release.phase, penalty.phase) == (Phase.VOID, Phase.POST)
    assert release.resolves == penalty.resolves == hold.id


@pytest.mark.parametrize("source", [CLEARING, FUNDS, SUSPENSE])
def test_a_payout_is_held_paid_and_released_between_its_source_and_its_wallet(source: Account) -> None:
    (held,) = templates.payout_held(source, HOT, TASK, USDT, 5, AT)
    (paid,) = templates.payout_paid(source, HOT, TASK, USDT, AT)
    (released,) = templates.payout_released(source, HOT, TASK, USDT, AT)
    assert {(each.debit.code, each.credit.code) for each in (held, paid, released)} == {(source.code, WALLET.code)}
    assert paid.resolves == released.resolves == held.id == "payout_held:po_1.1"
    assert (paid.units, paid.phase, released.phase) == (0, Phase.POST, Phase.VOID)


def test_a_settlement_is_funded_under_its_own_id() -> None:
    (transfer,) = templates.settlement_funded(COMPANY, SETTLEMENT, USDT, 5, AT)
    assert (transfer.id, transfer.credit.code) == ("settlement_funded:se_1", "clearing:se_1:tron:USDT")


def test_a_vanished_transfer_is_taken_back_from_each_place_once() -> None:
    ids = {
        transfer.id
        for source in (CLEARING, accounts.tolerance(USDT))
        for transfer in templates.incoming_reversed(HOT, source, USDT, 5, "r", AT)
    }
    assert ids == {"incoming_reversed:r:clearing:de_1:tron:USDT", "incoming_reversed:r:tolerance:tron:USDT"}


def test_a_reversal_moves_the_same_units_the_other_way() -> None:
    (fund,) = templates.fund(COMPANY, USDT, 5, "r", AT)
    (back,) = templates.reversal(fund, Instant(AT + 1))
    assert (back.id, back.kind) == ("reversal:fund:r", "reversal")
    assert (back.debit, back.credit, back.units) == (fund.credit, fund.debit, 5)


def test_a_hold_is_not_reversed() -> None:
    (hold,) = templates.hold_open(COMPANY, USDT, 5, "r", AT)
    with pytest.raises(ValueError, match="only what is posted"):
        templates.reversal(hold, AT)


@pytest.mark.parametrize(
    "senseless",
    [
        {"phase": Phase.POST},
        {"phase": Phase.VOID},
        {"phase": Phase.POSTED, "resolves": TransferId("a")},
        {"phase": Phase.POSTED, "expires_at_ms": AT},
    ],
)
def test_a_transfer_that_means_nothing_is_not_made(senseless: dict[str, object]) -> None:
    with pytest.raises(ValueError, match="x:"):
        Transfer(TransferId("x"), "k", FUNDS, DEPOSIT, 1, "r", AT, **senseless)  # type: ignore[arg-type]  # a table


def test_only_what_is_in_the_ledger_is_an_ok() -> None:
    fine = {result for result in Posting if Posted(TransferId("x"), result).ok}
    assert fine == {Posting.OK, Posting.EXISTS}


def test_what_is_held_is_not_available() -> None:
    assert Balance(10, 3).available == 7


def test_money_that_must_be_there_has_a_floor_and_what_may_be_owed_has_none() -> None:
    floored = (WALLET, FUNDS, DEPOSIT, accounts.reserve(COMPANY, USDT), CLEARING, SUSPENSE)
    assert {account.floor for account in floored} == {0}
    free = (
        accounts.tolerance(USDT),
        accounts.penalties(USDT),
        accounts.network_fees(TRX),
        accounts.owner(USDT),
        accounts.claims(COMPANY, USDT),
        accounts.losses(USDT),
    )
    assert {account.floor for account in free} == {None}
    assert [account.code.partition(":")[0] for account in (*floored, *free) if account.normal is Normal.DEBIT] == [
        "wallet",
        "network_fees",
        "claims",
        "losses",
    ]
