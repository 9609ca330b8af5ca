"""Bots as rows: what the owner wants of each, and what each says of itself.

The owner's wish (`desired_state`) is written under an optimistic version; the bot's own word (`status`) under its
lease. Neither overwrites the other, and what a config means is the engine's business.
"""

from collections.abc import Callable
from enum import StrEnum
from typing import Any

import msgspec

from engine.ids import AccountId, BotId, Instant, UserId
from storage import audit
from storage.database import Connection, Database
from storage.events import notify_bot
from storage.leases import bot_lease, guard
from storage.paging import BY_CREATION, Page, read_page
from storage.rows import AlreadyExistsDifferently, columns, to_row, to_rows


class DesiredState(StrEnum):
    """What the owner wants."""

    RUNNING = "running"
    PAUSED = "paused"
    STOPPED_KEEPING = "stopped_keeping"
    """Cancel every order and end; the position stays."""
    STOPPED_SELLING = "stopped_selling"
    """Cancel every order, close the position at market and end."""
    EMERGENCY_STOPPED = "emergency_stopped"
    """Cancel every order at once, whatever else fails; the position stays."""


class VersionConflict(Exception):
    """The row has changed since it was read: read it again and decide again."""


class BotInUse(Exception):
    """The bot still trades, or shall: only one that has ended can be archived."""


class BotArchived(Exception):
    """The bot is archived: it is history, and does not start again."""


class AccountRemoved(Exception):
    """The bot's exchange account was removed, and its key with it."""


class NewBot(msgspec.Struct, frozen=True):
    """A bot to be created. `config` is stored as JSON and read by the engine."""

    id: BotId
    owner: UserId
    account: AccountId
    name: str
    config: Any
    desired_state: DesiredState = DesiredState.RUNNING
    base: str = ""
    quote: str = ""
    """The coins of its pair, as the exchange names them."""


class BotRow(msgspec.Struct, frozen=True):
    """A bot as stored. `config` is plain JSON data."""

    id: BotId
    owner: UserId
    account: AccountId
    name: str
    config: dict[str, Any]
    desired_state: DesiredState
    status: str
    status_reason: str
    version: int
    carried_out: int
    """The version of the wish that the bot has carried out; behind `version` while it has not."""
    created_at_ms: Instant
    updated_at_ms: Instant
    base: str
    quote: str
    archived_at_ms: Instant | None


_COLUMNS = columns(BotRow)
FIRST_STATUS = "new"


class Bots:
    """The table of bots."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def create(self, new: NewBot, actor: str) -> BotRow:
        """Insert a bot with its audit entry. The same id with the same content gives the bot that exists.

        Raises `AccountRemoved` for a new bot on an account that is out of use.
        """

        async def insert(connection: Connection) -> BotRow:
            record = await connection.fetchrow(
                f"""
                INSERT INTO bots (id, owner, account, name, config, desired_state, base, quote, status)
                VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9)
                ON CONFLICT (id) DO NOTHING
                RETURNING {_COLUMNS}
                """,
                *msgspec.structs.astuple(new),
                FIRST_STATUS,
            )
            if record is None:
                return await self._same_as_stored(connection, new)
            await _require_account(connection, new.account)
            row = to_row(record, BotRow)
            entry = audit.NewEntry(actor, "bot.create", f"bot:{new.id}", after=_audited(row))
            await audit.append(connection, [entry])
            await notify_bot(connection, new.id)
            return row

        return await self._database.repeat(insert)

    async def get(self, bot: BotId) -> BotRow | None:
        """Find one bot."""
        record = await self._database.row(f"SELECT {_COLUMNS} FROM bots WHERE id = $1", bot)
        return None if record is None else to_row(record, BotRow)

    async def page(
        self,
        *,
        owner: UserId | None = None,
        desired_states: list[DesiredState] | None = None,
        statuses: list[str] | None = None,
        archived: bool | None = None,
        cursor: str | None = None,
        limit: int = 50,
    ) -> Page[BotRow]:
        """List bots, newest first, filtered by whatever is given."""
        asked = {
            "owner = {}": owner,
            "desired_state = ANY ({})": desired_states,
            "status = ANY ({})": statuses,
            "(archived_at_ms IS NOT NULL) = {}": archived,
        }
        return await read_page(
            self._database, f"SELECT {_COLUMNS} FROM bots", asked, BY_CREATION, BotRow, cursor, limit
        )

    async def needing_a_process(self, owner: UserId | None = None) -> list[BotRow]:
        """List every bot (of an owner) that must run somewhere: what the supervisor compares with.

        That is a bot that shall run, one that has not ended, and one whose owner wants something new of what it
        still holds. A bot that no process ever took up has no lease and holds nothing; one that was taken up may
        have orders out before its row says so.
        """
        records = await self._database.rows(
            f"""
            SELECT {_COLUMNS} FROM bots
            WHERE (desired_state = $1
                   OR status NOT IN ('new', 'stopped')
                   OR (version > carried_out AND (
                        status <> 'new' OR EXISTS (SELECT FROM leases WHERE leases.name = 'bot:' || bots.id))))
              AND ($2::text IS NULL OR owner = $2)
            ORDER BY created_at_ms, id
            """,
            DesiredState.RUNNING,
            owner,
        )
        return to_rows(records, BotRow)

    async def set_desired(
        self,
        bot: BotId,
        desired: DesiredState,
        actor: str,
        *,
        version: int | None = None,
        command_id: str | None = None,
    ) -> BotRow:
        """Write the owner's wish with its audit entry.

        Wanting what is already wanted changes nothing; nor does a command that was given before under its id,
        whatever has been wanted since. Raises `VersionConflict` when `version` is given and is not the current
        one, `AlreadyExistsDifferently` when the id belongs to another command, `BotArchived` or `AccountRemoved`
        for a start that cannot be, KeyError for an unknown bot.
        """
        command = f"bot.want_{desired}"

        async def update(connection: Connection) -> BotRow:
            before = await self._locked(connection, bot)
            if command_id is not None and not await _is_new(connection, bot, actor, command_id, command):
                return before
            if before.desired_state is desired:
                return before
            if desired is DesiredState.RUNNING:
                if before.archived_at_ms is not None:
                    raise BotArchived(f"bot {bot} is archived")
                await _require_account(connection, before.account)
            if version is not None and before.version != version:
                raise VersionConflict(f"bot {bot} is at version {before.version}, not {version}")
            record = await connection.fetchrow(
                f"UPDATE bots SET desired_state = $2, version = version + 1, updated_at_ms = now_ms() "
                f"WHERE id = $1 RETURNING {_COLUMNS}",
                bot,
                desired,
            )
            assert record is not None
            after = to_row(record, BotRow)
            entry = audit.NewEntry(actor, command, f"bot:{bot}", _audited(before), _audited(after))
            await audit.append(connection, [entry])
            await notify_bot(connection, bot)
            return after

        return await self._database.repeat(update)

    async def rename(self, bot: BotId, name: str, actor: str) -> BotRow:
        """Give a bot another name, with its audit entry; raise KeyError for an unknown one."""
        return await self._change(bot, "bot.rename", actor, "name = $2", name)

    async def archive(self, bot: BotId, actor: str) -> BotRow:
        """Put a bot that has ended out of sight; its history stays. Raise `BotInUse` while it has not ended."""

        def check(before: BotRow) -> None:
            over = before.status in (FIRST_STATUS, "stopped") and before.desired_state is not DesiredState.RUNNING
            if not over or (before.status != FIRST_STATUS and before.carried_out < before.version):
                raise BotInUse(f"bot {bot} has not ended: it is {before.status}")

        archived = "archived_at_ms = coalesce(archived_at_ms, now_ms())"
        return await self._change(bot, "bot.archive", actor, archived, check=check)

    async def _change(
        self,
        bot: BotId,
        command: str,
        actor: str,
        change: str,
        *values: Any,
        check: Callable[[BotRow], None] = lambda before: None,
    ) -> BotRow:

        async def update(connection: Connection) -> BotRow:
            before = await self._locked(connection, bot)
            check(before)
            record = await connection.fetchrow(
                f"UPDATE bots SET {change} WHERE id = $1 RETURNING {_COLUMNS}", bot, *values
            )
            assert record is not None
            after = to_row(record, BotRow)
            if after != before:
                entry = audit.NewEntry(actor, command, f"bot:{bot}", _audited(before), _audited(after))
                await audit.append(connection, [entry])
                await notify_bot(connection, bot)
            return after

        return await self._database.repeat(update)

    async def set_status(
        self, bot: BotId, epoch: int, status: str, reason: str = "", *, carried_out: int = 0
    ) -> None:
        """Write the bot's own word, under its lease; raise `StaleEpoch` when the lease is over."""

        async def update(connection: Connection) -> None:
            await guard(connection, bot_lease(bot), epoch)
            await connection.execute(
                "UPDATE bots SET status = $2, status_reason = $3, carried_out = greatest(carried_out, $4), "
                "updated_at_ms = now_ms() WHERE id = $1",
                bot,
                status,
                reason,
                carried_out,
            )
            await notify_bot(connection, bot)

        await self._database.repeat(update)

    async def _locked(self, connection: Connection, bot: BotId) -> BotRow:
        record = await connection.fetchrow(f"SELECT {_COLUMNS} FROM bots WHERE id = $1 FOR NO KEY UPDATE", bot)
        if record is None:
            raise KeyError(bot)
        return to_row(record, BotRow)

    async def _same_as_stored(self, connection: Connection, new: NewBot) -> BotRow:
        stored = await self._locked(connection, new.id)
        wanted = (new.owner, new.account, new.name, msgspec.json.decode(msgspec.json.encode(new.config)))
        if (stored.owner, stored.account, stored.name, stored.config) != wanted:
            raise AlreadyExistsDifferently(f"bot {new.id} exists with other content")
        return stored


async def _require_account(connection: Connection, account: AccountId) -> None:
    """Let an account be removed before this transaction or after it, not beside it."""
    retired_at_ms = await connection.fetchval(
        "SELECT retired_at_ms FROM exchange_accounts WHERE id = $1 FOR KEY SHARE", account
    )
    if retired_at_ms is not None:
        raise AccountRemoved(f"the exchange account {account} was removed")


async def _is_new(connection: Connection, bot: BotId, actor: str, command_id: str, command: str) -> bool:
    """Note a command in the transaction of its effect; False if it is there already."""
    target = f"bot:{bot}"
    done = await connection.execute(
        "INSERT INTO commands (target, actor, command_id, command) VALUES ($1, $2, $3, $4) ON CONFLICT DO NOTHING",
        target,
        actor,
        command_id,
        command,
    )
    if done == "INSERT 0 1":
        return True
    known = await connection.fetchval(
        "SELECT command FROM commands WHERE target = $1 AND actor = $2 AND command_id = $3",
        target,
        actor,
        command_id,
    )
    if known != command:
        raise AlreadyExistsDifferently(f"the command {command_id} to bot {bot} was {known} before, not {command}")
    return False


def _audited(row: BotRow) -> dict[str, Any]:
    facts = {"desired_state": row.desired_state, "version": row.version, "name": row.name, "config": row.config}
    # Left out where it is not: entries that were written before bots could be archived read the same.
    return facts | ({"archived_at_ms": row.archived_at_ms} if row.archived_at_ms is not None else {})
