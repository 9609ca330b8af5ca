"""Companies, their members and their hot wallets as rows.

A company is changed by commands with an audit entry each. Its tier and status are read when something new begins;
lowering them never touches what exists.
"""

from collections.abc import Sequence
from typing import Any

import msgspec

from engine.ids import CompanyId, HotWalletId, MemberId, UserId
from engine.money import Network
from engine.settlement.companies import Company, CompanyStatus, HotWallet, Member, Role
from engine.settlement.tiers import Tier
from storage import audit
from storage.database import Connection, Database
from storage.rows import AlreadyExistsDifferently, columns, to_row, to_rows

COMPANY_COLUMNS = columns(Company)
_MEMBER = columns(Member)
_WALLET = columns(HotWallet)


async def get(connection: Connection, company: CompanyId) -> Company | None:
    """Find a company."""
    record = await connection.fetchrow(f"SELECT {COMPANY_COLUMNS} FROM company WHERE id = $1", company)
    return None if record is None else to_row(record, Company)


async def held(connection: Connection, company: CompanyId) -> Company:
    """Give a company and keep it as it is until the transaction ends; raise KeyError for an unknown one."""
    record = await connection.fetchrow(f"SELECT {COMPANY_COLUMNS} FROM company WHERE id = $1 FOR SHARE", company)
    if record is None:
        raise KeyError(company)
    return to_row(record, Company)


async def is_trader(connection: Connection, company: CompanyId, member: MemberId) -> bool:
    """Tell whether a person may make, accept and call off deals for a company."""
    found: bool = await connection.fetchval(
        "SELECT EXISTS (SELECT FROM company_member WHERE company_id = $1 AND member_id = $2 AND role = $3)",
        company,
        member,
        Role.TRADER,
    )
    return found


async def hot_wallet(connection: Connection, company: CompanyId, network: Network) -> HotWallet | None:
    """Find the address where a company pays in on a network."""
    record = await connection.fetchrow(
        f"SELECT {_WALLET} FROM hot_wallet WHERE company_id = $1 AND network = $2", company, network
    )
    return None if record is None else to_row(record, HotWallet)


class Companies:
    """The tables of companies and of the people who act for them."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def create(self, company: Company, actor: str) -> Company:
        """Add a company with its audit entry. The same id with the same content gives the one that exists."""

        async def insert(connection: Connection) -> Company:
            done = await connection.execute(
                f"INSERT INTO company ({COMPANY_COLUMNS}) VALUES ($1, $2, $3, $4, $5, $6) "
                "ON CONFLICT (id) DO NOTHING",
                *msgspec.structs.astuple(company),
            )
            stored = await held(connection, company.id)
            if done == "INSERT 0 1":
                await _audit(connection, actor, "company.create", company.id, None, stored)
            elif (stored.name, stored.tz) != (company.name, company.tz):
                raise AlreadyExistsDifferently(f"{company.id} exists with other content")
            return stored

        return await self._database.repeat(insert)

    async def set_tier(self, company: CompanyId, tier: Tier, actor: str) -> Company:
        """Move a company to another tier; raise KeyError for an unknown one."""
        return await self._change(company, "company.set_tier", actor, "tier = $2", tier)

    async def set_status(self, company: CompanyId, status: CompanyStatus, actor: str) -> Company:
        """Suspend a company or let it begin new things again; raise KeyError for an unknown one."""
        return await self._change(company, "company.set_status", actor, "status = $2", status)

    async def add_member(self, member: Member) -> Member:
        """Add a person. The same id with the same content gives the one that exists."""

        async def insert(connection: Connection) -> Member:
            await connection.execute(
                f"INSERT INTO member ({_MEMBER}) VALUES ($1, $2, $3, $4, $5) ON CONFLICT (id) DO NOTHING",
                *msgspec.structs.astuple(member),
            )
            record = await connection.fetchrow(f"SELECT {_MEMBER} FROM member WHERE id = $1", member.id)
            assert record is not None
            stored = to_row(record, Member)
            if msgspec.structs.replace(stored, created_at_ms=member.created_at_ms) != member:
                raise AlreadyExistsDifferently(f"{member.id} exists with other content")
            return stored

        return await self._database.repeat(insert)

    async def set_roles(self, company: CompanyId, member: MemberId, roles: Sequence[Role], actor: str) -> None:
        """Say in which roles a person acts for a company: these and no others."""

        async def write(connection: Connection) -> None:
            # The company's row decides the order when two change roles at once.
            await connection.execute("SELECT FROM company WHERE id = $1 FOR NO KEY UPDATE", company)
            records = await connection.fetch(
                "DELETE FROM company_member WHERE company_id = $1 AND member_id = $2 RETURNING role",
                company,
                member,
            )
            await connection.executemany(
                "INSERT INTO company_member (company_id, member_id, role) VALUES ($1, $2, $3)",
                [(company, member, role) for role in sorted(set(roles))],
            )
            before, after = sorted(record["role"] for record in records), sorted(set(roles))
            if before != after:
                change = {"member": member, "roles": before}, {"member": member, "roles": after}
                await _audit(connection, actor, "company.set_roles", company, *change)

        await self._database.repeat(write)

    async def add_hot_wallet(
        self, wallet: HotWallet, sealed_key: bytes | None, sealing_key_id: str | None, actor: str
    ) -> HotWallet:
        """Give a company its address on a network, with the sealed key that only the wallet's signer opens."""

        async def insert(connection: Connection) -> HotWallet:
            done = await connection.execute(
                f"INSERT INTO hot_wallet ({_WALLET}, sealed_key, sealing_key_id) "
                "VALUES ($1, $2, $3, $4, $5, $6, $7) ON CONFLICT (id) DO NOTHING",
                *msgspec.structs.astuple(wallet),
                sealed_key,
                sealing_key_id,
            )
            stored = await hot_wallet(connection, wallet.company_id, wallet.network)
            if stored is None or (stored.id, stored.address) != (wallet.id, wallet.address):
                raise AlreadyExistsDifferently(f"{wallet.id} exists with other content")
            if done == "INSERT 0 1":
                await _audit(connection, actor, "company.add_hot_wallet", wallet.company_id, None, wallet)
            return stored

        return await self._database.repeat(insert)

    async def get(self, company: CompanyId) -> Company | None:
        """Find a company."""
        record = await self._database.row(f"SELECT {COMPANY_COLUMNS} FROM company WHERE id = $1", company)
        return None if record is None else to_row(record, Company)

    async def members(self, company: CompanyId) -> list[Member]:
        """List the people who act for a company, by id."""
        records = await self._database.rows(
            f"SELECT {_MEMBER} FROM member WHERE EXISTS (SELECT FROM company_member "
            "WHERE company_id = $1 AND member_id = member.id) ORDER BY id",
            company,
        )
        return to_rows(records, Member)

    async def all(self) -> list[Company]:
        """List every company, by id. A closed club has dozens."""
        return to_rows(await self._database.rows(f"SELECT {COMPANY_COLUMNS} FROM company ORDER BY id"), Company)

    async def roles(self, member: MemberId) -> dict[CompanyId, list[Role]]:
        """Tell what a person may do, by company."""
        records = await self._database.rows(
            "SELECT company_id, role FROM company_member WHERE member_id = $1 ORDER BY company_id, role", member
        )
        found: dict[CompanyId, list[Role]] = {}
        for record in records:
            found.setdefault(CompanyId(record["company_id"]), []).append(Role(record["role"]))
        return found

    async def member_of(self, user: UserId) -> Member | None:
        """Find the member who signs in here as this user."""
        record = await self._database.row(f"SELECT {_MEMBER} FROM member WHERE user_id = $1", user)
        return None if record is None else to_row(record, Member)

    async def wallet(self, wallet: HotWalletId) -> HotWallet:
        """Give one of the platform's addresses; raise KeyError for an unknown one."""
        record = await self._database.row(f"SELECT {_WALLET} FROM hot_wallet WHERE id = $1", wallet)
        if record is None:
            raise KeyError(wallet)
        return to_row(record, HotWallet)

    async def hot_wallets(self, network: Network) -> list[HotWallet]:
        """List the platform's addresses on a network."""
        records = await self._database.rows(
            f"SELECT {_WALLET} FROM hot_wallet WHERE network = $1 ORDER BY id", network
        )
        return to_rows(records, HotWallet)

    async def sealed_key(self, wallet: HotWalletId) -> tuple[bytes, str] | None:
        """Give a wallet's sealed key and what it is sealed with; None when the platform holds no key of it."""
        record = await self._database.row(
            "SELECT sealed_key, sealing_key_id FROM hot_wallet WHERE id = $1", wallet
        )
        return None if record is None or record["sealed_key"] is None else (record[0], record[1])

    async def _change(self, company: CompanyId, command: str, actor: str, change: str, value: str) -> Company:

        async def update(connection: Connection) -> Company:
            record = await connection.fetchrow(
                f"SELECT {COMPANY_COLUMNS} FROM company WHERE id = $1 FOR NO KEY UPDATE", company
            )
            if record is None:
                raise KeyError(company)
            before = to_row(record, Company)
            record = await connection.fetchrow(
                f"UPDATE company SET {change} WHERE id = $1 RETURNING {COMPANY_COLUMNS}", company, value
            )
            assert record is not None
            after = to_row(record, Company)
            if after != before:
                await _audit(connection, actor, command, company, before, after)
            return after

        return await self._database.repeat(update)


async def _audit(
    connection: Connection, actor: str, command: str, company: CompanyId, before: Any, after: Any
) -> None:
    facts = (msgspec.to_builtins(before), msgspec.to_builtins(after))
    await audit.append(connection, [audit.NewEntry(actor, command, f"company:{company}", *facts)])
