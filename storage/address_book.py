"""Where companies may be paid: adding, proving, cooling off, revoking. A row is a version and keeps its address.

It decides nothing about standing (`engine.payments.allowlist` does); it sees to it that an address of a company
has one current row, and that whatever changes is written with who did it.
"""

from collections.abc import Mapping, Sequence
from typing import Any

import asyncpg
import msgspec

from engine.errors import Refusal
from engine.ids import CompanyId, Instant, WalletId
from engine.money import AssetId, Network
from engine.payments.allowlist import (
    AllowedWallet,
    AllowListPolicy,
    Standing,
    challenge_units,
    refuse_label,
    standing,
)
from storage import audit, ledger, outbox
from storage.club_commands import Command, once
from storage.database import Connection, Database
from storage.events import wake_signers
from storage.rows import columns

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


def allowed_wallet(record: asyncpg.Record | Mapping[str, Any]) -> AllowedWallet:
    """Read a row of the allow-list."""
    facts = {name: record[name] for name in AllowedWallet.__struct_fields__}
    if facts["challenge_units"] is not None:
        facts["challenge_units"] = int(facts["challenge_units"])
    return msgspec.convert(facts, AllowedWallet)


async def active_wallet(connection: Connection, wallet: WalletId, at_ms: Instant) -> AllowedWallet | None:
    """Give a row of the list if it may be paid at this moment; None for any other."""
    record = await connection.fetchrow(f"SELECT {_COLUMNS} FROM wallet WHERE id = $1", wallet)
    found = None if record is None else allowed_wallet(record)
    return found if found is not None and standing(found, at_ms) is Standing.ACTIVE else None


async def challenges(connection: Connection, companies: Sequence[CompanyId], now: Instant) -> list[AllowedWallet]:
    """List companies' addresses that wait for their micro-transfer, oldest first, locked until the commit."""
    records = await connection.fetch(
        f"""
        SELECT {_COLUMNS} FROM wallet
        WHERE company_id = ANY ($1) AND NOT verified AND revoked_at_ms IS NULL AND challenge_until_ms >= $2
        ORDER BY created_at_ms, id FOR UPDATE
        """,
        list(companies),
        now,
    )
    return [allowed_wallet(record) for record in records]


async def prove(connection: Connection, wallet: WalletId, at_ms: Instant) -> bool:
    """Note that the micro-transfer has come: the cooling-off begins. False when there is nothing to prove."""
    record = await connection.fetchrow(
        "UPDATE wallet SET verified = true, verified_at_ms = $2, active_from_ms = $2 + cooling_off_ms "
        "WHERE id = $1 AND NOT verified AND revoked_at_ms IS NULL RETURNING company_id, active_from_ms",
        wallet,
        at_ms,
    )
    if record is None:
        return False
    facts = {"company": record["company_id"], "active_from_ms": record["active_from_ms"]}
    await outbox.write(connection, [outbox.NewEvent("wallet.verified", wallet, facts)])
    await audit.append(connection, [audit.NewEntry("engine", "wallet.verify", f"wallet:{wallet}", None, facts)])
    return True


class AddressBook:
    """What people do about the allow-list."""

    def __init__(self, database: Database, policy: AllowListPolicy | None = None) -> None:
        self._database = database
        self._policy = policy or AllowListPolicy()

    async def owner_of(self, wallet: WalletId) -> CompanyId | None:
        """Tell whose list an address is in."""
        found: CompanyId | None = await self._database.value("SELECT company_id FROM wallet WHERE id = $1", wallet)
        return found

    async def of_company(self, company: CompanyId) -> list[AllowedWallet]:
        """List a company's addresses that are not revoked, oldest first."""
        records = await self._database.rows(
            f"SELECT {_COLUMNS} FROM wallet WHERE company_id = $1 AND revoked_at_ms IS NULL "
            "ORDER BY created_at_ms, id",
            company,
        )
        return [allowed_wallet(record) for record in records]

    async def add(self, new: NewWallet, draw: int, command: Command) -> AllowedWallet | Refusal:
        """Add an address with the micro-transfer that is to prove it; `draw` is a random number of the caller's.

        Refused: `address_is_listed`, `bad_label`, `not_allowed` for a member who is neither ADMIN nor APPROVER of
        the company.
        """

        async def write(connection: Connection) -> AllowedWallet | Refusal:
            async def work() -> AllowedWallet | Refusal:
                refusal = refuse_label(new.label) or await _refuse_actor(connection, new.company_id, command)
                return refusal or await self._insert(connection, new, draw, command)

            async def again() -> AllowedWallet:
                return await _get(connection, new.id)

            return await once(connection, command, "wallet.add", f"wallet:{new.id}", new, work, again)

        return await self._database.repeat(write)

    async def revoke(self, wallet: WalletId, command: Command) -> AllowedWallet | Refusal:
        """Take an address out of the list, for ever: no payout is signed to it from now on."""
        change = (
            "revoked_at_ms = coalesce(revoked_at_ms, $2), "
            "revoked_moment = coalesce(revoked_moment, nextval('club_moment'))"
        )
        return await self._change(wallet, command, "wallet.revoke", change, command.at_ms)

    async def rename(self, wallet: WalletId, label: str, command: Command) -> AllowedWallet | Refusal:
        """Give an address another name. The name is for people; nothing is paid by it."""
        return refuse_label(label) or await self._change(wallet, command, "wallet.rename", "label = $2", label)

    async def _change(
        self, wallet: WalletId, command: Command, name: str, change: str, value: Any
    ) -> AllowedWallet | Refusal:
        async def write(connection: Connection) -> AllowedWallet | Refusal:
            # As a signature does: whichever of the two comes first, the other one sees it.
            await ledger.take_turn(connection)
            before = await _locked(connection, wallet)

            async def work() -> AllowedWallet | Refusal:
                if before is None:
                    return Refusal("unknown_wallet", "wallet", f"there is no wallet {wallet}")
                refusal = await _refuse_actor(connection, before.company_id, command)
                if refusal is not None:
                    return refusal
                await connection.execute(f"UPDATE wallet SET {change} WHERE id = $1", wallet, value)
                after = await _get(connection, wallet)
                await _tell(connection, command.actor, name, before, after)
                return after

            async def again() -> AllowedWallet:
                return await _get(connection, wallet)

            return await once(connection, command, name, f"wallet:{wallet}", {"value": value}, work, again)

        return await self._database.repeat(write)

    async def _insert(
        self, connection: Connection, new: NewWallet, draw: int, command: Command
    ) -> AllowedWallet | Refusal:
        try:
            async with connection.transaction():
                await connection.execute(
                    """
                    INSERT INTO wallet (id, company_id, network, token, address, label, challenge_units,
                                        challenge_until_ms, cooling_off_ms, added_by, created_at_ms)
                    VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11)
                    """,
                    *msgspec.structs.astuple(new),
                    challenge_units(draw),
                    command.at_ms + self._policy.challenge_ms,
                    self._policy.cooling_off_ms,
                    command.actor,
                    command.at_ms,
                )
        except asyncpg.UniqueViolationError:
            return Refusal("address_is_listed", "address", f"{new.address} is in the list already")
        row = await _get(connection, new.id)
        await _tell(connection, command.actor, "wallet.add", None, row)
        return row


async def _get(connection: Connection, wallet: WalletId) -> AllowedWallet:
    record = await connection.fetchrow(f"SELECT {_COLUMNS} FROM wallet WHERE id = $1", wallet)
    if record is None:
        raise KeyError(f"there is no wallet {wallet}")
    return allowed_wallet(record)


async def _locked(connection: Connection, wallet: WalletId) -> AllowedWallet | None:
    record = await connection.fetchrow(f"SELECT {_COLUMNS} FROM wallet WHERE id = $1 FOR UPDATE", wallet)
    return None if record is None else allowed_wallet(record)


async def _refuse_actor(connection: Connection, company: CompanyId, command: Command) -> Refusal | None:
    may = await connection.fetchval(
        "SELECT EXISTS (SELECT FROM company_member WHERE company_id = $1 AND member_id = $2 AND role = ANY ($3))",
        company,
        command.actor,
        list(_MAY_CHANGE),
    )
    words = f"{command.actor} is neither ADMIN nor APPROVER of {company}"
    return None if may else Refusal("not_allowed", "member", words)


async def _tell(
    connection: Connection, actor: str, name: str, before: AllowedWallet | None, after: AllowedWallet
) -> None:
    await outbox.write(connection, [outbox.NewEvent(name, after.id, _shown(after))])
    await wake_signers(connection)
    old = None if before is None else _shown(before)
    await audit.append(connection, [audit.NewEntry(actor, name, f"wallet:{after.id}", old, _shown(after))])


def _shown(wallet: AllowedWallet) -> dict[str, Any]:
    return {
        "company": wallet.company_id,
        "token": wallet.token,
        "address": wallet.address,
        "label": wallet.label,
        "revoked_at_ms": wallet.revoked_at_ms,
    }
