"""The soak in its short form, and the proof that its auditor would notice."""

from pathlib import Path
from typing import Any

from rich.console import Console

from benchmarks.soak import Plan, show, soak
from benchmarks.soaking.audit import Audit, duplicates
from benchmarks.soaking.fleet import MONEY, fleet
from storage.database import Database

SHORT = Plan(
    bots=4,
    hosts=2,
    market_minutes=2.5,
    speed=15.0,
    fault_every_s=0.3,
    kill_every_s=2.0,
    kills=("host", "postgres"),
)


async def test_a_short_soak_loses_no_order_doubles_none_and_agrees_with_the_venue_to_the_last_unit(
    folder: Path,
) -> None:
    console = Console(record=True, width=140)
    report = await soak(SHORT, folder, console)
    show(report, console)
    assert report.is_clean, console.export_text()
    assert report.market_s >= SHORT.market_minutes * 60
    assert report.counts["fills"] > 0
    assert report.counts["open orders at the end"] > 0
    assert sum(report.faults.values()) > 5
    assert sum(report.kills.values()) >= 1


def test_the_same_number_of_bots_is_the_same_fleet_and_an_account_has_one_perpetual_at_most() -> None:
    assert fleet(20) == fleet(20)
    linear = [member.account for member in fleet(20) if member.config.market.value == "linear"]
    assert len(linear) == len(set(linear)) == 10
    assert len({member.bot for member in fleet(100)}) == 100


def test_two_orders_at_one_place_are_found_whatever_their_generation() -> None:
    book = {"key": [{"orderLinkId": link} for link in ("tg-a_1_1_b", "tg-a_1_7_b", "tg-a_1_1_s", "tg-b_1_1_b")]}
    assert duplicates(book) == ["tg-a level 1 b: 2 open"]


class Book:
    """A venue whose dump says what a test wants."""

    def __init__(self, dump: dict[str, Any]) -> None:
        self._dump = dump

    async def get(self, path: str) -> dict[str, Any]:
        """Give the dump of any account."""
        return self._dump


async def test_the_auditor_notices_strange_orders_unbooked_executions_and_missing_money(
    database: Database,
) -> None:
    (member,) = fleet(1)
    stranger = {"orderLinkId": "", "orderId": "1", "side": "Buy", "price": "1", "qty": "1", "cumExecQty": "0"}
    dump = {
        "balances": MONEY | {"USDT": "99999.999999999999999999"},
        "positions": [],
        "openOrders": [stranger],
        "executions": [],
        "linkIds": 0,
    }
    findings = await Audit(database, Book(dump), [member]).look()  # type: ignore[arg-type]
    assert findings.bots == [f"{member.bot} has written nothing"]
    assert findings.lost == [f"{member.account}: 1 belongs to no bot"]
    (difference,) = findings.money
    assert "USDT" in difference
