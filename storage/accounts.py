"""Exchange accounts: which venue, which of its worlds, and where the key is. Never a key in the clear.

An account is never deleted, because its bots' history names it: a removed one is retired and loses its key.
"""

from enum import StrEnum
from typing import Any

import msgspec

from engine.ids import AccountId, BotId, Instant, UserId
from engine.ports import KeyPermissions
from storage import audit
from storage.database import Connection, Database
from storage.rows import AlreadyExistsDifferently, columns, to_row, to_rows


class Environment(StrEnum):
    """The world in which an account's money lives."""

    PAPER = "paper"
    """Our own venue on loopback: no key, no money."""
    DEMO = "demo"
    TESTNET = "testnet"
    LIVE = "live"


class SealedKey(msgspec.Struct, frozen=True):
    """An API key, encrypted, and the name of the key that opens it."""

    ciphertext: bytes
    sealing_key_id: str

    def __repr__(self) -> str:
        return f"SealedKey(***, sealing_key_id={self.sealing_key_id!r})"


class AccountInUse(Exception):
    """Bots of the account still trade; `bots` names them."""

    def __init__(self, account: AccountId, bots: list[BotId]) -> None:
        super().__init__(f"account {account} is used by {len(bots)} bots that have not ended: {', '.join(bots)}")
        self.bots = bots


class NewAccount(msgspec.Struct, frozen=True):
    """An account to be added: with a sealed key, or a reference to where the key is kept, or (paper) neither."""

    id: AccountId
    owner: UserId
    exchange: str
    environment: Environment
    label: str
    key_reference: str | None = None
    """For example `env:TRELLIS_BYBIT` or `file:bybit.sealed`."""
    sealed_key: SealedKey | None = None
    key_hint: str = ""
    """The last characters of the key, by which its owner knows it."""
    permissions: KeyPermissions | None = None
    """What the venue said that the key may do."""
    checked_at_ms: Instant | None = None


class AccountRow(msgspec.Struct, frozen=True):
    """An account as stored, without the sealed key itself."""

    id: AccountId
    owner: UserId
    exchange: str
    environment: Environment
    label: str
    key_reference: str | None
    sealing_key_id: str | None
    created_at_ms: Instant
    retired_at_ms: Instant | None
    key_hint: str
    permissions: KeyPermissions | None
    checked_at_ms: Instant | None


_COLUMNS = columns(AccountRow)


async def add_account(connection: Connection, new: NewAccount) -> bool:
    """Add an account in the caller's transaction; False when the very same one is there already.

    Raises `AlreadyExistsDifferently` when the id belongs to another account.
    """
    sealed = new.sealed_key
    added = await connection.fetchval(
        """
        INSERT INTO exchange_accounts
            (id, owner, exchange, environment, label, key_reference, sealed_key, sealing_key_id,
             key_hint, permissions, checked_at_ms)
        VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11)
        ON CONFLICT (id) DO NOTHING RETURNING true
        """,
        new.id,
        new.owner,
        new.exchange,
        new.environment,
        new.label,
        new.key_reference,
        sealed.ciphertext if sealed else None,
        sealed.sealing_key_id if sealed else None,
        new.key_hint,
        new.permissions,
        new.checked_at_ms,
    )
    if added:
        return True
    stored = await connection.fetchrow(
        "SELECT owner, exchange, environment, key_reference, key_hint FROM exchange_accounts WHERE id = $1",
        new.id,
    )
    assert stored is not None
    # Not the sealed key itself: no two sealings of one key are the same.
    if tuple(stored) != (new.owner, new.exchange, new.environment, new.key_reference, new.key_hint):
        raise AlreadyExistsDifferently(f"account {new.id} exists with other content")
    return False


class Accounts:
    """The table of exchange accounts."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def add(self, new: NewAccount, actor: str) -> AccountRow:
        """Add an account with its audit entry. The same id with the same content gives the account that exists."""

        async def insert(connection: Connection) -> None:
            if await add_account(connection, new):
                entry = audit.NewEntry(actor, "account.add", f"account:{new.id}", after=_audited(new))
                await audit.append(connection, [entry])

        await self._database.repeat(insert)
        row = await self.get(new.id)
        assert row is not None
        return row

    async def get(self, account: AccountId) -> AccountRow | None:
        """Find one account."""
        record = await self._database.row(f"SELECT {_COLUMNS} FROM exchange_accounts WHERE id = $1", account)
        return None if record is None else to_row(record, AccountRow)

    async def of_owner(self, owner: UserId | None) -> list[AccountRow]:
        """List an owner's accounts in use (None: everybody's), oldest first."""
        records = await self._database.rows(
            f"SELECT {_COLUMNS} FROM exchange_accounts WHERE ($1::text IS NULL OR owner = $1) "
            "AND retired_at_ms IS NULL ORDER BY created_at_ms, id",
            owner,
        )
        return to_rows(records, AccountRow)

    async def count_retired(self, owner: UserId, environment: Environment) -> int:
        """Count an owner's removed accounts in one world."""
        count: int = await self._database.value(
            "SELECT count(*) FROM exchange_accounts "
            "WHERE owner = $1 AND environment = $2 AND retired_at_ms IS NOT NULL",
            owner,
            environment,
        )
        return count

    async def count_bots(self, accounts: list[AccountId]) -> dict[AccountId, int]:
        """Count the bots of each account that has some, without the archived ones."""
        records = await self._database.rows(
            "SELECT account, count(*) AS bots FROM bots WHERE account = ANY ($1) AND archived_at_ms IS NULL "
            "GROUP BY account",
            accounts,
        )
        return {AccountId(record["account"]): record["bots"] for record in records}

    async def note_check(
        self, account: AccountId, permissions: KeyPermissions, at_ms: Instant, actor: str
    ) -> AccountRow:
        """Write what a check of the key has shown, with its audit entry; raise KeyError for an unknown account."""

        async def update(connection: Connection) -> AccountRow:
            record = await connection.fetchrow(
                f"UPDATE exchange_accounts SET permissions = $2, checked_at_ms = $3 WHERE id = $1 "
                f"RETURNING {_COLUMNS}",
                account,
                permissions,
                at_ms,
            )
            if record is None:
                raise KeyError(account)
            entry = audit.NewEntry(
                actor, "account.check", f"account:{account}", after={"permissions": permissions}
            )
            await audit.append(connection, [entry])
            return to_row(record, AccountRow)

        return await self._database.repeat(update)

    async def retire(self, account: AccountId, actor: str) -> None:
        """Take an account out of use and forget its key, with its audit entry. Saying it again changes nothing.

        Raises `AccountInUse` while a bot of it has not ended, KeyError for an unknown account.
        """

        async def update(connection: Connection) -> None:
            # A bot that is being created waits for this lock, or we for it: its row names the account.
            record = await connection.fetchrow(
                "SELECT retired_at_ms FROM exchange_accounts WHERE id = $1 FOR UPDATE", account
            )
            if record is None:
                raise KeyError(account)
            if record["retired_at_ms"] is not None:
                return
            bots = await connection.fetch(
                "SELECT id FROM bots WHERE account = $1 "
                "AND (desired_state IN ('running', 'paused') OR status NOT IN ('new', 'stopped')) ORDER BY id",
                account,
            )
            if bots:
                raise AccountInUse(account, [BotId(bot["id"]) for bot in bots])
            await connection.execute(
                "UPDATE exchange_accounts SET retired_at_ms = now_ms(), sealed_key = NULL, sealing_key_id = NULL "
                "WHERE id = $1",
                account,
            )
            await audit.append(connection, [audit.NewEntry(actor, "account.remove", f"account:{account}")])

        await self._database.repeat(update)

    async def sealed_key(self, account: AccountId) -> SealedKey | None:
        """Read the sealed key, for the one process that is about to open it."""
        record = await self._database.row(
            "SELECT sealed_key, sealing_key_id FROM exchange_accounts WHERE id = $1 AND sealed_key IS NOT NULL",
            account,
        )
        return None if record is None else SealedKey(record["sealed_key"], record["sealing_key_id"])


def _audited(new: NewAccount) -> dict[str, Any]:
    facts = {
        "owner": new.owner,
        "exchange": new.exchange,
        "environment": new.environment,
        "label": new.label,
        "key_reference": new.key_reference,
        "sealing_key_id": new.sealed_key.sealing_key_id if new.sealed_key else None,
    }
    # Left out where there was no check: entries that were written before keys were checked read the same.
    return facts | (_told(new.permissions) if new.permissions is not None else {})


def _told(permissions: KeyPermissions | None) -> dict[str, Any]:
    return {"permissions": msgspec.to_builtins(permissions)}
