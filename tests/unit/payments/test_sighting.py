"""What in a block concerns us: the rows of its log that are kept, and those that only want to be."""

import msgspec
import pytest

from engine.ids import CompanyId, HotWalletId, Instant, TxId
from engine.money import Network
from engine.payments.chain import Block, BlockRef, Receipt, TokenTransfer
from engine.payments.sighting import Departure, Fee, Sighting, WatchedWallet, WatchList, sift
from tests.unit.payments.arrivals import TRX, USDC, USDT, arrival

REF = BlockRef(70, "b70", "b69", Instant(1_000_000))
TX = TxId(f"{1:064x}")
OURS = WatchedWallet(HotWalletId("hw_payer"), CompanyId("co_payer"), "TOurs")
ALSO_OURS = WatchedWallet(HotWalletId("hw_other"), CompanyId("co_other"), "TAlsoOurs")
LIST = WatchList.of(Network.TRON, [OURS, ALSO_OURS], [USDT, USDC, TRX])


def moved(
    sender: str, recipient: str, units: int = 5, contract: str = "TUsdt", log_index: int = 0
) -> TokenTransfer:
    return TokenTransfer(TX, log_index, contract, sender, recipient, units)


def receipt(tx_id: TxId = TX, *, succeeded: bool = True, fee: int = 0, payer: str = "") -> Receipt:
    return Receipt(tx_id, succeeded, "SUCCESS" if succeeded else "OUT_OF_ENERGY", fee, payer)


def seen(*transfers: TokenTransfer, receipts: tuple[Receipt, ...] = (receipt(),)) -> Sighting:
    return sift(Block(REF, transfers, receipts), LIST)


# ---------------------------------------------------------------------- arrivals and departures


def test_a_transfer_to_an_address_of_ours_arrives_at_the_company_whose_address_it_is() -> None:
    sighting = seen(moved("TAnybody", "TOurs", units=5_000_000, log_index=3))
    assert sighting == Sighting(REF, (arrival(5_000_000, log_index=3),))
    assert sighting.arrivals[0].id == f"tron:{TX}:3"


def test_a_transfer_from_an_address_of_ours_departs() -> None:
    sighting = seen(moved("TAlsoOurs", "TThere", units=7, contract="TUsdc", log_index=2))
    assert sighting == Sighting(REF, departures=(Departure(TX, 2, ALSO_OURS.id, USDC, "TThere", 7),))


def test_between_two_addresses_of_ours_a_transfer_departs_and_arrives() -> None:
    sighting = seen(moved("TOurs", "TAlsoOurs", units=9))
    (came,), (left,) = sighting.arrivals, sighting.departures
    assert (came.hot_wallet, came.company, came.sender, came.units) == (ALSO_OURS.id, "co_other", "TOurs", 9)
    assert (left.hot_wallet, left.recipient, left.units) == (OURS.id, "TAlsoOurs", 9)


def test_the_networks_own_coin_comes_and_goes_without_a_contract() -> None:
    sighting = seen(moved("TAnybody", "TOurs", contract=""), moved("TOurs", "TThere", contract="", log_index=1))
    assert [each.asset for each in sighting.arrivals] == [TRX]
    assert [each.asset for each in sighting.departures] == [TRX]


@pytest.mark.parametrize("units", [0, -1])
@pytest.mark.parametrize(("sender", "recipient"), [("TAnybody", "TOurs"), ("TOurs", "TThere")])
def test_a_transfer_of_nothing_is_an_advertisement(units: int, sender: str, recipient: str) -> None:
    assert seen(moved(sender, recipient, units)) == Sighting(REF)


def test_of_a_token_nobody_listed_arrivals_are_kept_and_departures_are_not() -> None:
    sighting = seen(
        moved("TAnybody", "TOurs", contract="TFake"), moved("TOurs", "TThere", contract="TFake", log_index=1)
    )
    assert [(each.asset, each.contract) for each in sighting.arrivals] == [(None, "TFake")]
    assert sighting.departures == ()


def test_strangers_among_themselves_are_nobodys_business_here() -> None:
    assert seen(moved("TAnybody", "TThere"), receipts=(receipt(fee=7, payer="TAnybody"),)) == Sighting(REF)


def test_what_a_failed_transaction_claims_has_not_moved_and_its_fee_is_burned_all_the_same() -> None:
    sighting = seen(
        moved("TAnybody", "TOurs"),
        moved("TOurs", "TThere", log_index=1),
        receipts=(receipt(succeeded=False, fee=100, payer="TOurs"),),
    )
    assert sighting == Sighting(REF, fees=(Fee(TX, TX, OURS.id, 100),))


def test_another_transactions_failure_takes_nothing_away() -> None:
    sighting = seen(moved("TAnybody", "TOurs"), receipts=(receipt(TxId("f" * 64), succeeded=False), receipt()))
    assert len(sighting.arrivals) == 1


def test_the_log_keeps_its_order() -> None:
    rows = [moved("TAnybody", "TOurs", units=units, log_index=at) for at, units in enumerate((3, 1, 2))]
    assert [each.units for each in seen(*rows).arrivals] == [3, 1, 2]


# ---------------------------------------------------------------------- fees


@pytest.mark.parametrize(
    ("fee", "payer", "kept"),
    [
        (13_844_850, "TOurs", [("hw_payer", 13_844_850)]),
        (1, "TAlsoOurs", [("hw_other", 1)]),
        (0, "TOurs", []),
        (100, "TAnybody", []),
        (100, "", []),
    ],
)
def test_a_fee_counts_when_an_address_of_ours_has_paid_it(
    fee: int, payer: str, kept: list[tuple[str, int]]
) -> None:
    fees = seen(receipts=(receipt(fee=fee, payer=payer),)).fees
    assert [(each.hot_wallet, each.units) for each in fees] == kept
    assert {(each.id, each.tx_id) for each in fees} == ({(TX, TX)} if kept else set())


# ---------------------------------------------------------------------- the list, and whether a block matters


@pytest.mark.parametrize(
    ("sighting", "concerns_us"),
    [
        (seen(), False),
        (seen(moved("TAnybody", "TOurs")), True),
        (seen(moved("TOurs", "TThere")), True),
        (seen(receipts=(receipt(fee=1, payer="TOurs"),)), True),
    ],
    ids=["nothing", "an arrival", "a departure", "a fee"],
)
def test_a_block_concerns_us_when_anything_in_it_does(sighting: Sighting, concerns_us: bool) -> None:
    assert bool(sighting) is concerns_us


def test_assets_of_other_networks_are_not_watched_for() -> None:
    elsewhere = msgspec.structs.replace(USDC, network="ton")
    listed = WatchList.of(Network.TRON, [OURS], [USDT, elsewhere])
    assert listed.assets == {"TUsdt": USDT}
    assert listed.wallets == {"TOurs": OURS}


def test_the_coin_is_known_when_it_is_listed() -> None:
    assert LIST.coin == TRX
    assert WatchList.of(Network.TRON, [], [USDT]).coin is None
