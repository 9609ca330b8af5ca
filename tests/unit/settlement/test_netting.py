"""What remains of a day: bilateral, per asset, with yesterday's rest."""

import pytest

from engine.ids import CompanyId, DealId, Instant, MemberId, OfferId, SettlementId, TrustSessionId
from engine.money import AssetId, Network, UsdMicros
from engine.settlement.deals import Deal, DealStatus, Mode
from engine.settlement.netting import Carried, Net, net, positions

A, B, C = (CompanyId(f"co_{name}") for name in "abc")
USDT, USDC = AssetId("tron:USDT"), AssetId("tron:USDC")
SESSION = TrustSessionId("tp_ab:2025-11-22")
CUTOFF = Instant(1_763_827_200_000)


def deal(payer: CompanyId, payee: CompanyId, units: int, asset: AssetId = USDT) -> Deal:
    return Deal(
        id=DealId("de_1"),
        offer_id=OfferId("of_1"),
        maker_company_id=payer,
        taker_company_id=payee,
        payer_company_id=payer,
        payee_company_id=payee,
        mode=Mode.NETTING,
        network=Network.TRON,
        token=asset,
        amount_token=units,
        exposure_usd=UsdMicros(units),
        headroom_usd=UsdMicros(units),
        wallet_id=None,
        hot_wallet_id=None,
        session_id=SESSION,
        status=DealStatus.IN_SESSION,
        deadline_ms=None,
        accepted_by=MemberId("mb_1"),
        created_at_ms=Instant(0),
    )


def rest(payer: CompanyId, payee: CompanyId, units: int, asset: AssetId = USDT) -> Carried:
    return Carried(SettlementId("se_old"), payer, payee, asset, units, Instant(1))


def netted(*what: Deal | Carried) -> list[Net]:
    deals = [one for one in what if isinstance(one, Deal)]
    carried = [one for one in what if isinstance(one, Carried)]
    return net(SESSION, CUTOFF, deals, carried)


@pytest.mark.parametrize(
    ("what", "payer", "units", "carried_in"),
    [
        pytest.param([deal(A, B, 5)], A, 5, 0, id="one deal"),
        pytest.param([deal(A, B, 5), deal(A, B, 3)], A, 8, 0, id="the same way"),
        pytest.param([deal(A, B, 5), deal(B, A, 3)], A, 2, 0, id="both ways"),
        pytest.param([deal(A, B, 3), deal(B, A, 5)], B, 2, 0, id="the other way"),
        pytest.param([rest(A, B, 4)], A, 4, 4, id="only a rest"),
        pytest.param([rest(A, B, 4), deal(A, B, 3)], A, 7, 4, id="a rest and more"),
        pytest.param([rest(A, B, 4), deal(B, A, 3)], A, 1, 4, id="a rest, set off in part"),
        pytest.param([rest(A, B, 4), deal(B, A, 9)], B, 5, -4, id="a rest, set off and more"),
    ],
)
def test_the_difference_is_owed(what: list[Deal | Carried], payer: CompanyId, units: int, carried_in: int) -> None:
    (one,) = netted(*what)
    assert (one.payer, one.units, one.carried_in) == (payer, units, carried_in)
    assert {one.payer, one.payee} == {A, B}


def test_who_is_quits_owes_nothing_and_the_row_is_there() -> None:
    (one,) = netted(deal(A, B, 5), deal(B, A, 5))
    assert (one.payer, one.payee, one.units) == (A, B, 0)
    (one,) = netted(rest(B, A, 5), deal(A, B, 5))
    assert (one.units, one.carried_from) == (0, "se_old")


def test_a_rest_keeps_its_age_and_a_new_debt_begins_at_the_cutoff() -> None:
    assert netted(rest(A, B, 4), deal(A, B, 3))[0].since_ms == 1
    assert netted(rest(A, B, 4), deal(B, A, 9))[0].since_ms == CUTOFF
    assert netted(deal(A, B, 3))[0].since_ms == CUTOFF


def test_assets_are_not_mixed() -> None:
    by_asset = {one.asset: one for one in netted(deal(A, B, 5), deal(B, A, 3, USDC), rest(A, B, 1, USDC))}
    assert (by_asset[USDT].payer, by_asset[USDT].units) == (A, 5)
    assert (by_asset[USDC].payer, by_asset[USDC].units) == (B, 2)


def test_a_day_of_nothing_nets_to_nothing() -> None:
    assert netted() == []


def test_the_positions_of_all_companies_sum_up_to_nothing() -> None:
    nets = [
        *netted(deal(A, B, 5)),
        *netted(deal(B, C, 7)),
        *netted(deal(C, A, 2), deal(C, A, 1, USDC)),
    ]
    held = positions(nets)
    assert held == {USDT: {A: -3, B: -2, C: 5}, USDC: {A: 1, C: -1}}
    assert {sum(by_company.values()) for by_company in held.values()} == {0}


def test_the_order_of_deals_does_not_matter() -> None:
    deals = [deal(A, B, 5), deal(B, A, 2), deal(A, B, 9, USDC)]
    assert net(SESSION, CUTOFF, deals, []) == net(SESSION, CUTOFF, reversed(deals), [])


def test_amounts_of_eighteen_decimals_stay_exact() -> None:
    (one,) = netted(deal(A, B, 10**30 + 1), deal(B, A, 10**30))
    assert one.units == 1
