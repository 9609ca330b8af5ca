"""How bots look: each live one's own account of itself, and the last written state of every other.

It decides nothing and changes nothing. A list asks the supervisor once for all its bots, and remembers what it
worked out of the journals of those that do not run: these say the same until somebody writes again.
"""

import asyncio
from collections import OrderedDict
from collections.abc import Sequence
from contextlib import suppress
from decimal import Decimal
from typing import Any

import msgspec
from ray.exceptions import RayError

from actors import wiring
from actors.grid_bot import BotSnapshot, restore
from actors.messages import decode
from engine.grid.config import GridConfig
from engine.grid.explain import LevelView, explain
from engine.grid.pnl import ProfitReport, report
from engine.grid.state import BotStatus, decode_state
from engine.ids import AccountId, BotId, Instant, UserId
from storage.accounts import AccountRow, Accounts, Environment
from storage.bots import BotRow, Bots, DesiredState
from storage.database import Database
from storage.journal import Journal

LIVE_LIMIT_S = 3.0
REMEMBERED_MAX = 1_024


class UnknownBot(LookupError):
    """No bot has this id."""


class BotFacts(msgspec.Struct, frozen=True, kw_only=True):
    """What every screen says about a bot. The API gives it to other people's programs: add fields, change none."""

    id: BotId
    owner: UserId
    name: str
    account: AccountId
    exchange: str
    environment: str
    """Whose money: paper, demo, testnet or live."""
    config: GridConfig
    base: str
    quote: str
    """The coins of its pair; empty where nobody knew when it was created."""
    desired: str
    """What its owner wants."""
    status: str
    """What it says of itself."""
    status_reason: str
    feed: str
    """What its prices are."""
    placement: str
    price: Decimal | None
    profit: ProfitReport | None
    live: bool
    """False: its process did not answer, and this is the last written state."""
    as_of_ms: Instant
    created_ms: Instant
    archived_ms: Instant | None


class BotView(BotFacts, frozen=True, kw_only=True):
    """A bot as its desk sees it."""

    levels: list[LevelView]
    journal_lag: int | None
    """Messages that the bot's process has taken in and not written yet; None where it did not answer."""


class _Written(msgspec.Struct, frozen=True):
    """What a journal says up to an entry."""

    seq: int
    as_of_ms: Instant
    profit: ProfitReport | None
    levels: list[LevelView]


class Views:
    """One per desk."""

    def __init__(self, database: Database, plan: "wiring.Plan", supervisor: Any, feed_name: str) -> None:
        self._plan = plan
        self._supervisor = supervisor
        self._feed = feed_name
        self._bots = Bots(database)
        self._accounts = Accounts(database)
        self._journal = Journal(database)
        self._account_rows: dict[AccountId, AccountRow] = {}
        self._written: OrderedDict[BotId, _Written] = OrderedDict()

    async def one(self, bot: BotId) -> BotView:
        """Describe one bot; raise `UnknownBot`."""
        row = await self._bots.get(bot)
        if row is None:
            raise UnknownBot(bot)
        return (await self._describe([row]))[0]

    async def of(
        self, owner: UserId | None, *, archived: bool | None = None, limit: int | None = None
    ) -> list[BotView]:
        """Describe an owner's bots (None: everybody's), newest first; only those archived, or not, if said."""
        rows: list[BotRow] = []
        cursor = None
        while True:
            page = await self._bots.page(owner=owner, archived=archived, cursor=cursor, limit=limit or 200)
            rows += page.items
            cursor = page.next_cursor
            if cursor is None or limit is not None:
                return await self._describe(rows)

    async def _describe(self, rows: Sequence[BotRow]) -> list[BotView]:
        live = await self._live([row.id for row in rows])
        silent = [row for row in rows if row.id not in live]
        seqs = await self._journal.last_seqs([row.id for row in silent]) if silent else {}
        written = await asyncio.gather(*(self._last_written(row, seqs.get(row.id, 0)) for row in silent))
        waits = await asyncio.gather(*map(self._why_not_running, silent))
        said = {row.id: (told, why) for row, told, why in zip(silent, written, waits, strict=True)}
        accounts = {row.account: await self._account(row.account) for row in rows}
        views = []
        for row in rows:
            account = accounts[row.account]
            if row.id in live:
                views.append(self._of_live(row, account, live[row.id]))
            else:
                views.append(self._of_written(row, account, *said[row.id]))
        return views

    def _of_live(self, row: BotRow, account: AccountRow, told: BotSnapshot) -> BotView:
        return self._view(
            row,
            account,
            status=told.status.value,
            status_reason=told.status_reason,
            profit=told.profit,
            levels=told.levels,
            live=True,
            journal_lag=told.journal_lag,
            as_of_ms=told.as_of_ms,
        )

    def _of_written(self, row: BotRow, account: AccountRow, written: _Written, waits: str) -> BotView:
        return self._view(
            row,
            account,
            status=row.status,
            status_reason=waits or row.status_reason,
            profit=written.profit,
            levels=written.levels,
            live=False,
            journal_lag=None,
            as_of_ms=row.updated_at_ms,
        )

    def _view(self, row: BotRow, account: AccountRow, *, profit: ProfitReport | None, **told: Any) -> BotView:
        is_paper = account.environment is Environment.PAPER
        return BotView(
            id=row.id,
            owner=row.owner,
            name=row.name,
            account=row.account,
            exchange=account.exchange,
            environment=account.environment.value,
            config=msgspec.convert(row.config, GridConfig),
            base=row.base,
            quote=row.quote,
            desired=row.desired_state.value,
            feed=self._feed if is_paper else f"{account.exchange} {account.environment}",
            placement="dedicated" if self._plan.bots_per_host == 1 else f"pooled({self._plan.bots_per_host})",
            price=profit.mark_price if profit is not None and profit.mark_price else None,
            profit=profit,
            created_ms=row.created_at_ms,
            archived_ms=row.archived_at_ms,
            **told,
        )

    # ------------------------------------------------------------------ where it comes from

    async def _live(self, bots: list[BotId]) -> dict[BotId, BotSnapshot]:
        with suppress(RayError, TimeoutError):
            async with asyncio.timeout(LIVE_LIMIT_S):
                answers = await self._supervisor.snapshots.remote(bots)
                return {BotId(bot): decode(answer, BotSnapshot) for bot, answer in answers.items()}
        return {}

    async def _why_not_running(self, row: BotRow) -> str:
        is_over = (
            row.status in (BotStatus.NEW, BotStatus.STOPPED) and row.desired_state is not DesiredState.RUNNING
        )
        if is_over:
            return ""
        with suppress(RayError, TimeoutError):
            async with asyncio.timeout(LIVE_LIMIT_S):
                words: str = await self._supervisor.why_not_running.remote(row.id)
                return words
        return ""

    async def _account(self, account: AccountId) -> AccountRow:
        # Where an account is and whose money it holds never change.
        if account not in self._account_rows:
            row = await self._accounts.get(account)
            assert row is not None, f"a bot's account {account} has no row"
            self._account_rows[account] = row
        return self._account_rows[account]

    async def _last_written(self, row: BotRow, seq: int) -> _Written:
        known = self._written.get(row.id)
        if known is None or (known.seq, known.as_of_ms) != (seq, row.updated_at_ms):
            known = await self._read_journal(row, seq)
        self._written[row.id] = known
        self._written.move_to_end(row.id)
        if len(self._written) > REMEMBERED_MAX:
            self._written.popitem(last=False)
        return known

    async def _read_journal(self, row: BotRow, seq: int) -> _Written:
        recovery = await self._journal.load(row.id) if seq else None
        if recovery is None or recovery.snapshot is None:
            return _Written(seq, row.updated_at_ms, None, [])
        state = restore(recovery, decode_state(recovery.snapshot.state))
        as_of_ms = row.updated_at_ms
        return _Written(seq, as_of_ms, report(state, state.last_ticks, as_of_ms), explain(state, as_of_ms))
