"""The plan of a close: who is paid first, how far the money goes, what is carried."""

import pytest

from engine.ids import CompanyId, Instant, SettlementId, TrustSessionId
from engine.money import AssetId
from engine.settlement.eod import (
    CarriedBecause,
    Link,
    SettlementStatus,
    discharged,
    first_status,
    plan,
    purses,
    settlement_id,
)
from engine.settlement.netting import Net

USDT, USDC = AssetId("tron:USDT"), AssetId("tron:USDC")
P = CompanyId("co_p")


def net(name: str, units: int, *, payer: CompanyId = P, asset: AssetId = USDT, since: int = 9) -> Net:
    return Net(
        TrustSessionId(f"tp_{name}:2025-11-22"),
        payer,
        CompanyId(f"co_{name}"),
        asset,
        units,
        0,
        None,
        Instant(since),
    )


def paid(nets: list[Net], funds: int, **barred: CarriedBecause) -> dict[str, tuple[int, int]]:
    """Give what each payee gets and what is carried."""
    unpayable = {settlement_id(TrustSessionId(f"tp_{name}:2025-11-22"), USDT): why for name, why in barred.items()}
    made = plan(nets, {(P, USDT): funds}, unpayable)
    return {one.net.payee.removeprefix("co_"): (one.paid, one.carried) for one in made.settlements}


def test_who_has_enough_pays_all() -> None:
    assert paid([net("a", 5), net("b", 7)], 12) == {"b": (7, 0), "a": (5, 0)}


@pytest.mark.parametrize(
    ("funds", "expected"), [(11, (11, 1)), (12, (12, 0)), (13, (12, 0)), (1, (1, 11)), (0, (0, 12))]
)
def test_who_is_short_pays_what_is_there(funds: int, expected: tuple[int, int]) -> None:
    assert paid([net("a", 12)], funds) == {"a": expected}


def test_the_oldest_debt_comes_first_and_then_the_larger() -> None:
    nets = [net("small", 3), net("large", 8), net("old", 5, since=1)]
    assert list(paid(nets, 14).items()) == [("old", (5, 0)), ("large", (8, 0)), ("small", (1, 2))]


def test_equal_debts_have_a_fixed_order() -> None:
    nets = [net("a", 3), net("b", 3)]
    assert paid(nets, 3) == paid(nets[::-1], 3) == {"a": (3, 0), "b": (0, 3)}


def test_a_debt_that_cannot_be_paid_leaves_its_money_to_the_next() -> None:
    assert paid([net("a", 8), net("b", 5)], 8, a=CarriedBecause.NO_WALLET) == {"a": (0, 8), "b": (5, 0)}


def test_funds_of_one_asset_or_company_pay_nothing_of_another() -> None:
    other = CompanyId("co_other")
    nets = [net("a", 5), net("b", 5, asset=USDC), net("c", 5, payer=other)]
    made = plan(nets, {(P, USDT): 100}, {})
    assert {one.net.payee: one.paid for one in made.settlements} == {"co_a": 5, "co_b": 0, "co_c": 0}
    assert purses(nets) == {(P, USDT), (P, USDC), (other, USDT)}


def test_every_reason_is_told() -> None:
    nets = [net("none", 0), net("full", 1, since=1), net("short", 5), net("barred", 2)]
    barred = {settlement_id(one.session, USDT): CarriedBecause.NO_WALLET for one in (nets[0], nets[3])}
    made = {one.net.payee: one for one in plan(nets, {(P, USDT): 3}, barred).settlements}
    assert {name: one.because for name, one in made.items()} == {
        "co_none": CarriedBecause.NOTHING,
        "co_full": CarriedBecause.NOTHING,
        "co_short": CarriedBecause.SHORT,
        "co_barred": CarriedBecause.NO_WALLET,
    }
    assert {name: first_status(one) for name, one in made.items()} == {
        "co_none": SettlementStatus.SETTLED,
        "co_full": SettlementStatus.QUEUED,
        "co_short": SettlementStatus.QUEUED,
        "co_barred": SettlementStatus.CARRIED,
    }


def test_a_settlement_has_one_name() -> None:
    assert settlement_id(TrustSessionId("tp_x:2025-11-22"), USDT) == "se_x:2025-11-22:tron-USDT"


@pytest.mark.parametrize(
    ("chain", "done"),
    [
        pytest.param("settled 0", "1", id="paid"),
        pytest.param("queued 0", "", id="on its way"),
        pytest.param("settled 5", "", id="its rest is not netted yet"),
        pytest.param("carried 5", "", id="nothing is paid"),
        pytest.param("settled 5, settled 0", "12", id="and so is its rest"),
        pytest.param("carried 5, carried 5, settled 0", "123", id="paid at last"),
        pytest.param("settled 5, queued 0", "", id="its rest is on its way"),
        pytest.param("queued 5, settled 0", "2", id="its rest was quicker"),
        pytest.param("carried 5, queued 3, settled 0", "3", id="the middle is on its way"),
        pytest.param("settled 5, settled 3", "", id="a rest of a rest"),
    ],
)
def test_a_day_is_discharged_when_nothing_of_it_is_left(chain: str, done: str) -> None:
    links = []
    for place, link in enumerate(chain.split(", "), 1):
        status, carried = link.split()
        links.append(Link(SettlementId(str(place)), SettlementStatus(status), int(carried)))
    assert set(discharged(links)) == set(done)
