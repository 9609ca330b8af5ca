"""Exchange accounts: which venue, which of its worlds, and where the key is. Never a key in the clear."""

from enum import StrEnum
from typing import Any

import msgspec

from engine.ids import AccountId, Instant, UserId
from storage import audit
from storage.database import Connection, Database
from storage.rows import AlreadyExistsDifferently, columns, to_row


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


_COLUMNS = columns(AccountRow)


async def add_account(connection: Connection, new: NewAccount) -> bool:
    """Add an account in the caller's transaction; False when the very same one is there already.

    Raises `AlreadyExistsDifferently` when the id belongs to another account.
    """
    sealed = new.sealed_key
    added = await connection.fetchval(
        """
        INSERT INTO exchange_accounts
            (id, owner, exchange, environment, label, key_reference, sealed_key, sealing_key_id)
        VALUES ($1, $2, $3, $4, $5, $6, $7, $8)
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
    )
    if added:
        return True
    stored = await connection.fetchrow(
        "SELECT owner, exchange, environment, key_reference, sealed_key FROM exchange_accounts WHERE id = $1",
        new.id,
    )
    assert stored is not None
    same = (new.owner, new.exchange, new.environment, new.key_reference, sealed.ciphertext if sealed else None)
    if tuple(stored) != same:
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

    async def sealed_key(self, account: AccountId) -> SealedKey | None:
        """Read the sealed key, for the one process that is about to open it."""
        record = await self._database.row(
            "SELECT sealed_key, sealing_key_id FROM exchange_accounts WHERE id = $1 AND sealed_key IS NOT NULL",
            account,
        )
        return None if record is None else SealedKey(record["sealed_key"], record["sealing_key_id"])


def _audited(new: NewAccount) -> dict[str, Any]:
    return {
        "owner": new.owner,
        "exchange": new.exchange,
        "environment": new.environment,
        "label": new.label,
        "key_reference": new.key_reference,
        "sealing_key_id": new.sealed_key.sealing_key_id if new.sealed_key else None,
    }
