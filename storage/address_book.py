"""Where companies may be paid: adding, proving, cooling off, revoking. A row is a version and keeps its address.

It decides nothing about standing (`engine.payments.allowlist` does); it sees to it that an address of a company
has one current row, and that whatever changes is written with who did it.
"""

from collections.abc import Sequence
from typing import Any

import asyncpg
import msgspec

from engine.errors import Refusal
from engine.ids import CompanyId, Instant, MemberId, WalletId
from engine.money import AssetId, Network
from engine.payments.allowlist import (
    AllowedWallet,
    AllowListPolicy,
    Standing,
    challenge_units,
    refuse_label,
    standing,
)
from storage import audit, commands, outbox
from storage.database import Connection, Database
from storage.events import wake_signers
from storage.rows import columns, to_row, to_rows

_COLUMNS = columns(AllowedWallet)
_MAY_CHANGE = ("ADMIN", "APPROVER")


class NewWallet(msgspec.Struct, frozen=True):
    """An address to be proved. The caller has checked that it is one of the network's."""

    id: WalletId
    company_id: CompanyId
    network: Network
    token: AssetId
    address: str
    label: str = ""


async def active_wallet(connection: Connection, wallet: WalletId, at_ms: Instant) -> AllowedWallet | None:
    """Give a row of the list if it may be paid at this moment; None for any other."""
    record = await connection.fetchrow(f"SELECT {_COLUMNS} FROM wallet WHERE id = $1", wallet)
    found = None if record is None else to_row(record, AllowedWallet)
    return found if found is not None and standing(found, at_ms) is Standing.ACTIVE else None


async def challenges(connection: Connection, companies: Sequence[CompanyId], now: Instant) -> list[AllowedWallet]:
    """List the addresses of companies that wait for their micro-transfer, oldest first, locked until the commit."""
    records = await connection.fetch(
        f"""
        SELECT {_COLUMNS} FROM wallet
        WHERE company_id = ANY ($1) AND NOT verified AND revoked_at_ms IS NULL AND challenge_until_ms >= $2
        ORDER BY created_at_ms, id FOR UPDATE
        """,
        list(companies),
        now,
    )
    return to_rows(records, AllowedWallet)


async def prove(
    connection: Connection, wallet: WalletId, at_ms: Instant, policy: AllowListPolicy | None = None
) -> bool:
    """Note that the micro-transfer has come: the cooling-off begins. False when there is nothing to prove."""
    policy = policy or AllowListPolicy()
    active_from_ms = at_ms + policy.cooling_off_ms
    company = await connection.fetchval(
        "UPDATE wallet SET verified = true, verified_at_ms = $2, active_from_ms = $3 "
        "WHERE id = $1 AND NOT verified AND revoked_at_ms IS NULL RETURNING company_id",
        wallet,
        at_ms,
        active_from_ms,
    )
    if company is None:
        return False
    facts = {"company": company, "active_from_ms": active_from_ms}
    await outbox.write(connection, [outbox.NewEvent("wallet.verified", wallet, facts)])
    await audit.append(connection, [audit.NewEntry("engine", "wallet.verify", f"wallet:{wallet}", None, facts)])
    return True


class AddressBook:
    """What people do about the allow-list."""

    def __init__(self, database: Database, policy: AllowListPolicy | None = None) -> None:
        self._database = database
        self._policy = policy or AllowListPolicy()

    async def of_company(self, company: CompanyId) -> list[AllowedWallet]:
        """List a company's addresses that are not revoked, oldest first."""
        records = await self._database.rows(
            f"SELECT {_COLUMNS} FROM wallet WHERE company_id = $1 AND revoked_at_ms IS NULL "
            "ORDER BY created_at_ms, id",
            company,
        )
        return to_rows(records, AllowedWallet)

    async def add(
        self, command_id: str, new: NewWallet, actor: MemberId, draw: int, at_ms: Instant
    ) -> AllowedWallet | Refusal:
        """Add an address with the micro-transfer that is to prove it; `draw` is a random number of the caller's.

        The same command again gives the same row. Refused: an address that is in the list already, a member who
        is neither ADMIN nor APPROVER of the company, a label that cannot be shown.
        """

        async def write(connection: Connection) -> AllowedWallet | Refusal:
            refusal = refuse_label(new.label) or await _refuse_actor(connection, new.company_id, actor)
            if refusal is not None:
                return refusal
            command = f"wallet.add {new.network} {new.token} {new.address}"
            if not await commands.is_new(connection, f"wallet:{new.id}", actor, command_id, command, at_ms):
                return await _get(connection, new.id)
            return await self._insert(connection, new, actor, draw, at_ms)

        return await self._database.repeat(write)

    async def revoke(self, command_id: str, wallet: WalletId, actor: MemberId, at_ms: Instant) -> Refusal | None:
        """Take an address out of the list, for ever: no payout is signed to it from now on."""

        async def write(connection: Connection) -> Refusal | None:
            row = await _locked(connection, wallet)
            refusal = _unknown(wallet) if row is None else await _refuse_actor(connection, row.company_id, actor)
            if row is None or refusal is not None:
                return refusal
            is_new = await commands.is_new(
                connection, f"wallet:{wallet}", actor, command_id, "wallet.revoke", at_ms
            )
            if is_new and row.revoked_at_ms is None:
                await connection.execute("UPDATE wallet SET revoked_at_ms = $2 WHERE id = $1", wallet, at_ms)
                await _tell(connection, actor, "wallet.revoke", row, {"revoked_at_ms": at_ms})
            return None

        return await self._database.repeat(write)

    async def rename(
        self, command_id: str, wallet: WalletId, label: str, actor: MemberId, at_ms: Instant
    ) -> Refusal | None:
        """Give an address another name. The name is for people; nothing is paid by it."""

        async def write(connection: Connection) -> Refusal | None:
            row = await _locked(connection, wallet)
            if row is None:
                return _unknown(wallet)
            refusal = refuse_label(label) or await _refuse_actor(connection, row.company_id, actor)
            if refusal is not None:
                return refusal
            command = f"wallet.rename {label}"
            if await commands.is_new(connection, f"wallet:{wallet}", actor, command_id, command, at_ms):
                await connection.execute("UPDATE wallet SET label = $2 WHERE id = $1", wallet, label)
                await _tell(connection, actor, "wallet.rename", row, {"label": label})
            return None

        return await self._database.repeat(write)

    async def _insert(
        self, connection: Connection, new: NewWallet, actor: MemberId, draw: int, at_ms: Instant
    ) -> AllowedWallet | Refusal:
        try:
            async with connection.transaction():
                await connection.execute(
                    """
                    INSERT INTO wallet (id, company_id, network, token, address, label, challenge_units,
                                        challenge_until_ms, added_by, created_at_ms)
                    VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10)
                    """,
                    *msgspec.structs.astuple(new),
                    challenge_units(draw),
                    at_ms + self._policy.challenge_ms,
                    actor,
                    at_ms,
                )
        except asyncpg.UniqueViolationError:
            return Refusal("address_is_listed", "address", f"{new.address} is in the list already")
        row = await _get(connection, new.id)
        await _tell(connection, actor, "wallet.add", row, {"address": new.address, "label": new.label})
        return row


async def _get(connection: Connection, wallet: WalletId) -> AllowedWallet:
    record = await connection.fetchrow(f"SELECT {_COLUMNS} FROM wallet WHERE id = $1", wallet)
    if record is None:
        raise KeyError(f"there is no wallet {wallet}")
    return to_row(record, AllowedWallet)


async def _locked(connection: Connection, wallet: WalletId) -> AllowedWallet | None:
    record = await connection.fetchrow(f"SELECT {_COLUMNS} FROM wallet WHERE id = $1 FOR UPDATE", wallet)
    return None if record is None else to_row(record, AllowedWallet)


async def _refuse_actor(connection: Connection, company: CompanyId, actor: MemberId) -> Refusal | None:
    may = await connection.fetchval(
        "SELECT EXISTS (SELECT FROM company_member WHERE company_id = $1 AND member_id = $2 AND role = ANY ($3))",
        company,
        actor,
        list(_MAY_CHANGE),
    )
    return None if may else Refusal("not_allowed", "member", f"{actor} is neither ADMIN nor APPROVER of {company}")


def _unknown(wallet: WalletId) -> Refusal:
    return Refusal("unknown_wallet", "wallet", f"there is no wallet {wallet}")


async def _tell(
    connection: Connection, actor: MemberId, command: str, row: AllowedWallet, after: dict[str, Any]
) -> None:
    before = {"address": row.address, "label": row.label, "revoked_at_ms": row.revoked_at_ms}
    facts = {"company": row.company_id, **after}
    await outbox.write(connection, [outbox.NewEvent(command, row.id, facts)])
    await wake_signers(connection)
    await audit.append(connection, [audit.NewEntry(actor, command, f"wallet:{row.id}", before, after)])
