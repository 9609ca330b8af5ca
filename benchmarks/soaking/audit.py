"""Compares what the bots have written down with the venue's own books, to the last order and the last unit.

The venue's side is its dump, asked over the operator's door; ours is the database alone, as after a crash: states
restored from the journal, and the tables of orders and executions. It looks, and changes nothing.
"""

from collections import Counter
from collections.abc import Awaitable, Callable, Iterable
from decimal import Decimal
from functools import partial
from typing import Any, TypeVar

import msgspec

from actors.grid_bot import restore
from benchmarks.soaking.fleet import MONEY, SYMBOL, Member
from benchmarks.soaking.processes import VenueProcess
from engine.grid.orders import link_prefix
from engine.grid.resync import named_slots
from engine.grid.slots import name_of
from engine.grid.state import BotStatus, GridState, OrderPhase, decode_state
from engine.ids import AccountId
from engine.trading.instrument import AMOUNT_DECIMALS
from storage.database import Database
from storage.executions import Executions
from storage.journal import Journal
from storage.orders import Orders
from storage.paging import PAGE_ROWS_MAX, Page

T = TypeVar("T", bound=msgspec.Struct)

SIDES = {"Buy": "buy", "Sell": "sell"}


class OpenOrder(msgspec.Struct, frozen=True):
    """One open order as either side sees it."""

    side: str
    price: Decimal
    quantity: Decimal
    filled: Decimal


class Findings(msgspec.Struct):
    """What does not agree; all lists are empty after a clean soak."""

    lost: list[str] = []
    """Orders that a bot believes live and the venue has not, or the other way round, or that differ."""
    executions: list[str] = []
    """Executions of the venue that our table has not, has differently, or that only our table has."""
    money: list[str] = []
    """Balances and positions that differ from the sum of the bots' ledgers."""
    bots: list[str] = []
    """Bots that do not run, and orders whose fate a bot does not know yet."""

    def all(self) -> list[str]:
        """List everything."""
        return [*self.lost, *self.executions, *self.money, *self.bots]


class Audit:
    """The auditor of one fleet."""

    def __init__(self, database: Database, venue: VenueProcess, members: Iterable[Member]) -> None:
        self._journal = Journal(database)
        self._orders = Orders(database)
        self._executions = Executions(database)
        self._venue = venue
        self._accounts: dict[AccountId, list[Member]] = {}
        for member in members:
            self._accounts.setdefault(member.account, []).append(member)

    async def look(self) -> Findings:
        """Compare everything once."""
        findings = Findings()
        for account, members in self._accounts.items():
            book = await self._venue.get(f"/paper/accounts/paper-{account}")
            states = {}
            for member in members:
                state = await self._state(member)
                if state is None:
                    findings.bots.append(f"{member.bot} has written nothing")
                    continue
                states[member.bot] = state
                _compare_status(findings, state)
                _compare_orders(findings, state, book["openOrders"])
                await self._compare_table(findings, member, state)
                await self._compare_executions(findings, member, book["executions"])
            _find_strangers(findings, account, members, book["openOrders"])
            _compare_money(findings, account, list(states.values()), book)
        return findings

    async def counts(self) -> dict[str, int]:
        """Count what the bots have done, by their tables, and what the venue has seen."""
        counts: Counter[str] = Counter()
        for bot in [member.bot for members in self._accounts.values() for member in members]:
            counts["orders"] += len(await _all(partial(self._orders.page, bot)))
            counts["fills"] += len(await _all(partial(self._executions.page, bot)))
            counts["round trips"] += len(await _all(partial(self._executions.round_trips, bot)))
            counts["funding payments"] += len(await _all(partial(self._executions.funding, bot)))
            counts["journal entries"] += (await self._journal.load(bot)).last_seq
        books = [await self._venue.get(f"/paper/accounts/paper-{account}") for account in self._accounts]
        counts["orders at the venue"] = sum(book["linkIds"] for book in books)
        counts["open orders at the end"] = sum(len(book["openOrders"]) for book in books)
        return dict(counts)

    async def _state(self, member: Member) -> GridState | None:
        recovery = await self._journal.load(member.bot)
        if recovery.snapshot is None:
            return None
        return restore(recovery, decode_state(recovery.snapshot.state))

    async def _compare_table(self, findings: Findings, member: Member, state: GridState) -> None:
        """Check that the table of orders, which people read, says of each order what the state says."""
        table: set[str] = {row.link_id for row in await self._orders.live(member.bot)}
        believed = set(_believed(state))
        findings.lost += [f"{link} is live in the table only" for link in sorted(table - believed)]
        findings.lost += [f"{link} is missing in the table" for link in sorted(believed - table)]

    async def _compare_executions(self, findings: Findings, member: Member, dump: list[dict[str, Any]]) -> None:
        prefix = link_prefix(member.bot)
        theirs = {
            row["execId"]: (
                row["orderLinkId"],
                SIDES[row["side"]],
                Decimal(row["execPrice"]),
                Decimal(row["execQty"]),
                Decimal(row["execFee"]),
                row["feeCurrency"],
            )
            for row in dump
            if row["orderLinkId"].startswith(prefix)
        }
        ours = {
            row.exec_id: (row.link_id, row.side.value, row.price, row.quantity, row.fee, row.fee_asset)
            for row in await _all(partial(self._executions.page, member.bot))
        }
        _compare_rows(findings, member, theirs, ours)
        if member.config.market.value != "linear":
            return
        funding = {
            row["execId"]: Decimal(row["execFee"])
            for row in dump
            if row["execType"] == "Funding" and row["symbol"] == SYMBOL
        }
        paid = {row.exec_id: row.amount for row in await _all(partial(self._executions.funding, member.bot))}
        _compare_rows(findings, member, funding, paid)


async def _all(turn: Callable[..., Awaitable[Page[T]]]) -> list[T]:
    """Turn pages to the last one."""
    page = await turn(limit=PAGE_ROWS_MAX)
    rows = list(page.items)
    while page.next_cursor is not None:
        page = await turn(limit=PAGE_ROWS_MAX, cursor=page.next_cursor)
        rows += page.items
    return rows


def duplicates(book: dict[str, list[dict[str, Any]]]) -> list[str]:
    """List the places (bot, level, side) at which the venue's book has more than one order open at one moment."""
    places: Counter[tuple[str, str, str]] = Counter()
    for rows in book.values():
        for row in rows:
            bot, level, _, side = row["orderLinkId"].split("_")
            places[bot, level, side] += 1
    return [
        f"{bot} level {level} {side}: {count} open" for (bot, level, side), count in places.items() if count > 1
    ]


def _believed(state: GridState) -> dict[str, tuple[OpenOrder, OrderPhase]]:
    """List the orders that a bot believes to be at the venue."""
    instrument = state.instrument
    return {
        name_of(state, slot, level): (
            OpenOrder(
                side=slot.side.value,
                price=instrument.price(slot.ticks),
                quantity=instrument.quantity(slot.lots),
                filled=instrument.quantity(slot.filled),
            ),
            slot.phase,
        )
        for slot, level in named_slots(state)
        if not slot.is_empty
    }


def _compare_status(findings: Findings, state: GridState) -> None:
    if state.status is not BotStatus.RUNNING or state.syncing:
        findings.bots.append(f"{state.bot} is {state.status} ({state.status_reason}), syncing: {state.syncing}")
    if state.stray_executions:
        findings.bots.append(f"{state.bot} met {state.stray_executions} executions that no level knows")


def _compare_orders(findings: Findings, state: GridState, dump: list[dict[str, Any]]) -> None:
    prefix = link_prefix(state.bot)
    theirs = {
        row["orderLinkId"]: OpenOrder(
            side=SIDES[row["side"]],
            price=Decimal(row["price"]),
            quantity=Decimal(row["qty"]),
            filled=Decimal(row["cumExecQty"]),
        )
        for row in dump
        if row["orderLinkId"].startswith(prefix)
    }
    ours = _believed(state)
    for link in sorted({*theirs, *ours}):
        if link not in ours:
            findings.lost.append(f"{link} is open at the venue and unknown to its bot")
        elif ours[link][1] is not OrderPhase.LIVE:
            findings.bots.append(f"{link} is {ours[link][1]}")
        elif link not in theirs:
            findings.lost.append(f"{link} is live for its bot and not open at the venue")
        elif ours[link][0] != theirs[link]:
            findings.lost.append(f"{link}: {ours[link][0]} here, {theirs[link]} at the venue")


def _find_strangers(
    findings: Findings, account: AccountId, members: list[Member], dump: list[dict[str, Any]]
) -> None:
    prefixes = tuple(link_prefix(member.bot) for member in members)
    for row in dump:
        if not row["orderLinkId"].startswith(prefixes):
            findings.lost.append(f"{account}: {row['orderLinkId'] or row['orderId']} belongs to no bot")


def _compare_rows(findings: Findings, member: Member, theirs: dict[Any, Any], ours: dict[Any, Any]) -> None:
    for exec_id in {*theirs, *ours}:
        if exec_id not in ours:
            findings.executions.append(f"{member.bot} never booked {exec_id}: {theirs[exec_id]}")
        elif exec_id not in theirs:
            findings.executions.append(f"{member.bot} booked {exec_id}, unknown to the venue: {ours[exec_id]}")
        elif ours[exec_id] != theirs[exec_id]:
            findings.executions.append(
                f"{member.bot} booked {exec_id} as {ours[exec_id]}, it was {theirs[exec_id]}"
            )


def _compare_money(findings: Findings, account: AccountId, states: list[GridState], book: dict[str, Any]) -> None:
    """Compare the wallet's change with the sum of the ledgers, exactly.

    A ledger books a perpetual as if it were bought and sold; the venue moves money only when a position is closed.
    Between the two lies what the open position cost, which the venue keeps exactly as well.
    """
    cash = sum((_amount(state.ledger.cash_units) for state in states), Decimal(0))
    base = sum((_amount(state.ledger.base_units) for state in states if state.is_spot), Decimal(0))
    held = sum((_amount(state.ledger.base_units) for state in states if not state.is_spot), Decimal(0))
    position, cost = Decimal(0), Decimal(0)
    for row in book["positions"]:
        sign = {"Buy": 1, "Sell": -1, "": 0}[row["side"]]
        position += sign * Decimal(row["size"])
        cost += sign * Decimal(row["positionValue"])
    balances = {coin: Decimal(amount) for coin, amount in book["balances"].items()}
    for what, ours, theirs in (
        ("USDT", cash + cost, balances["USDT"] - Decimal(MONEY["USDT"])),
        ("BTC", base, balances["BTC"] - Decimal(MONEY["BTC"])),
        ("BTCUSDT position", held, position),
    ):
        if ours != theirs:
            findings.money.append(f"{account} {what}: the bots say {ours:f}, the venue {theirs:f}")
    for state in states:
        if state.ledger.other_fees:
            findings.money.append(f"{state.bot} paid fees in a third coin: {state.ledger.other_fees}")


def _amount(units: int) -> Decimal:
    return Decimal(units).scaleb(-AMOUNT_DECIMALS)
