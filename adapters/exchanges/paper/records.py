"""The venue's memory: accounts, numbers given out, and the changes of the command being carried out.

Everything that alters a record says so here; `commit` first writes the changed records to the journal in one
piece and then tells the listeners, so that nothing a client ever hears about can be lost with the process.
"""

import secrets
import uuid
from collections.abc import Callable, Iterable

from engine.trading.instrument import Market

from .journal import Journal
from .model import (
    HISTORY_KEPT,
    Account,
    ClosedPnl,
    Execution,
    Order,
    Position,
    Record,
    Till,
    UsedLinks,
    Wallet,
)

LINKS_PER_RECORD = 1_000

Listener = Callable[[Account, "Changes"], None]


class Changes:
    """What one command did to one account."""

    def __init__(self) -> None:
        self.orders: dict[str, Order] = {}
        self.executions: list[Execution] = []
        self.positions: dict[str, Position] = {}
        self.closed: dict[str, ClosedPnl] = {}
        self.wallet = False

    def records(self, account: Account) -> Iterable[Record]:
        """List the changed records, for the journal."""
        yield from self.orders.values()
        yield from self.executions
        yield from self.positions.values()
        yield from self.closed.values()
        if self.wallet:
            yield account.wallet


class Records:
    """All accounts and the till, with the journal behind them."""

    def __init__(self, journal: Journal | None, clock: Callable[[], int]) -> None:
        self.now_ms = clock
        self.accounts: dict[int, Account] = {}
        self.by_key: dict[str, Account] = {}
        self.till = Till()
        self.listeners: list[Listener] = []
        self._journal = journal
        self._changes: dict[int, Changes] = {}
        self._till_changed = False
        self._seq = 0
        self._last_order_id = 0
        # Ids of executions: random per boot, counted within it, so that two boots never give the same one.
        self._boot = secrets.token_hex(8)

    # ------------------------------------------------------------------ numbers

    def next_seq(self) -> int:
        """Give the next number of the one sequence that orders everything; cursors are made of it."""
        self._seq += 1
        return self._seq

    def new_order_id(self, market: Market) -> str:
        """Give a new order id: digits on spot, a UUID on linear, as the venue does."""
        if market is Market.LINEAR:
            return str(uuid.uuid4())
        self._last_order_id = max(self._last_order_id + 1, self.now_ms() * 10**6)
        return str(self._last_order_id)

    def new_execution_id(self, seq: int) -> str:
        """Give a new execution id, in the shape of a UUID."""
        tail = f"{seq:016x}"
        boot = self._boot
        return f"{boot[:8]}-{boot[8:12]}-{boot[12:]}-{tail[:4]}-{tail[4:]}"

    # ------------------------------------------------------------------ accounts

    def open_account(self, wallet: Wallet) -> Account:
        """Take in an account; its key must be new."""
        if wallet.key in self.by_key:
            raise ValueError(f"the key {wallet.key} is taken")
        account = self.accounts[wallet.uid] = Account(wallet)
        self.by_key[wallet.key] = account
        self.touch_wallet(account)
        return account

    # ------------------------------------------------------------------ changes

    def touch_order(self, account: Account, order: Order) -> None:
        """Note that an order changed."""
        order.updated_ms = self.now_ms()
        self._of(account).orders[order.order_id] = order

    def touch_position(self, account: Account, position: Position) -> None:
        """Note that a position changed."""
        position.updated_ms = self.now_ms()
        position.seq = self._seq
        self._of(account).positions[position.symbol] = position

    def touch_wallet(self, account: Account) -> None:
        """Note that a balance, a lock or a setting of the account changed."""
        account.wallet.updated_ms = self.now_ms()
        self._of(account).wallet = True

    def touch_till(self) -> None:
        """Note that the venue's own books changed."""
        self._till_changed = True

    def add_execution(self, account: Account, execution: Execution) -> None:
        """Note a new execution."""
        account.executions.append(execution)
        self._of(account).executions.append(execution)

    def touch_closed(self, account: Account, closed: ClosedPnl) -> None:
        """Note profit realised by an order."""
        account.closed[closed.order_id] = closed
        if len(account.closed) > HISTORY_KEPT:
            del account.closed[next(iter(account.closed))]
        self._of(account).closed[closed.order_id] = closed

    def commit(self) -> None:
        """Write the changes to the journal, then tell the listeners. One command, one piece."""
        if not self._changes and not self._till_changed:
            return
        changes, self._changes = self._changes, {}
        if self._journal is not None:
            records = [record for uid, each in changes.items() for record in each.records(self.accounts[uid])]
            if self._till_changed:
                records.append(self.till)
            self._journal.append(records)
            if self._journal.is_overgrown:
                self._journal.compact(self.snapshot())
        self._till_changed = False
        for uid, each in changes.items():
            account = self.accounts[uid]
            for listener in self.listeners:
                listener(account, each)

    def _of(self, account: Account) -> Changes:
        changes = self._changes.get(account.uid)
        if changes is None:
            changes = self._changes[account.uid] = Changes()
        return changes

    # ------------------------------------------------------------------ restoring

    def restore(self, records: Iterable[Record]) -> None:
        """Rebuild the memory from the journal's records, oldest first; later versions replace earlier ones."""
        orders: dict[str, Order] = {}
        for record in records:
            match record:
                case Wallet():
                    self._restore_wallet(record)
                case Order():
                    orders[record.order_id] = record
                    self._seq = max(self._seq, record.seq)
                case Execution():
                    self._restore_execution(record)
                    self._seq = max(self._seq, record.seq)
                case ClosedPnl():
                    self.accounts[record.uid].closed[record.order_id] = record
                    self._seq = max(self._seq, record.seq)
                case Position():
                    self.accounts[record.uid].positions[record.symbol] = record
                case Till():
                    self.till = record
                case UsedLinks():
                    self.accounts[record.uid].by_link.update(record.orders)
        for order in orders.values():
            self.accounts[order.uid].remember(order)
            if order.market is Market.SPOT:
                self._last_order_id = max(self._last_order_id, int(order.order_id))

    def _restore_wallet(self, wallet: Wallet) -> None:
        account = self.accounts.get(wallet.uid)
        if account is None:
            account = self.accounts[wallet.uid] = Account(wallet)
        account.wallet = wallet
        self.by_key[wallet.key] = account

    def _restore_execution(self, execution: Execution) -> None:
        executions = self.accounts[execution.uid].executions
        # One that happened during a snapshot stands in it, and among the lines that were appended meanwhile.
        if not executions or execution.seq > executions[-1].seq:
            executions.append(execution)

    def snapshot(self) -> Iterable[Record]:
        """List every record worth keeping, in an order that `restore` accepts; they may change between two."""
        yield self.till
        for account in tuple(self.accounts.values()):
            # Links and rows of the same moment: no order may leave the rows after the links were listed.
            links, orders = account.forgotten_links(), tuple(account.by_id.values())
            yield account.wallet
            for start in range(0, len(links), LINKS_PER_RECORD):
                yield UsedLinks(uid=account.uid, orders=dict(links[start : start + LINKS_PER_RECORD]))
            yield from tuple(account.positions.values())
            yield from orders
            yield from tuple(account.executions)
            yield from tuple(account.closed.values())
