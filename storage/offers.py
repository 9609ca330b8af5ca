"""Offers as rows: made, withdrawn and run out here; accepted in `storage.deals`."""

import msgspec

from engine.errors import Refusal
from engine.ids import CompanyId, Instant, MemberId, OfferId
from engine.settlement import offers as rules
from engine.settlement.offers import NewOffer, Offer, OfferStatus
from storage import assets, audit, club_commands, companies
from storage.club_commands import Command
from storage.database import Connection, Database
from storage.paging import BY_CREATION, Page, read_page
from storage.rows import columns, to_money_row, to_plain

_COLUMNS = columns(Offer)


async def held(connection: Connection, offer: OfferId) -> Offer:
    """Give an offer and keep others from moving it until the transaction ends; KeyError for an unknown one."""
    record = await connection.fetchrow(f"SELECT {_COLUMNS} FROM offer WHERE id = $1 FOR NO KEY UPDATE", offer)
    if record is None:
        raise KeyError(offer)
    return to_money_row(record, Offer)


async def move(connection: Connection, offer: Offer, status: OfferStatus) -> Offer:
    """Move an offer that is `held`."""
    moved = rules.to(offer, status)
    await connection.execute("UPDATE offer SET status = $2 WHERE id = $1", offer.id, status)
    return moved


async def expire(connection: Connection, now: Instant) -> list[OfferId]:
    """End the offers whose time is over. Those that somebody is just accepting or withdrawing are left alone."""
    records = await connection.fetch(
        """
        UPDATE offer SET status = $2 WHERE id IN (
            SELECT id FROM offer WHERE status = $3 AND expires_at_ms <= $1 FOR NO KEY UPDATE SKIP LOCKED
        ) RETURNING id
        """,
        now,
        OfferStatus.EXPIRED,
        OfferStatus.OPEN,
    )
    return sorted(OfferId(record["id"]) for record in records)


class Offers:
    """The table of offers."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def make(self, new: NewOffer, command: Command) -> Offer | Refusal:
        """Open an offer with its audit entry, or say why not. Said twice is safe."""

        async def work(connection: Connection) -> Offer | Refusal:
            async def insert() -> Offer | Refusal:
                made = rules.make(
                    new,
                    await companies.held(connection, new.company_id),
                    (await assets.listed(connection)).get(new.token),
                    is_trader=await companies.is_trader(connection, new.company_id, new.created_by),
                    now=command.at_ms,
                )
                if isinstance(made, Refusal):
                    return made
                await connection.execute(
                    f"INSERT INTO offer ({_COLUMNS}) VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12)",
                    *msgspec.structs.astuple(made),
                )
                await _audit(connection, command, "offer.make", None, made)
                return made

            async def again() -> Offer:
                return await held(connection, new.id)

            target = f"offer:{new.id}"
            return await club_commands.once(
                connection, command, "offer.make", target, to_plain(new), insert, again
            )

        return await self._database.repeat(work)

    async def cancel(self, offer: OfferId, company: CompanyId, command: Command) -> Offer | Refusal:
        """Withdraw an open offer. Said twice is safe; raise KeyError for an unknown one."""

        async def work(connection: Connection) -> Offer | Refusal:
            before = await held(connection, offer)

            async def withdraw() -> Offer | Refusal:
                is_trader = await companies.is_trader(connection, company, MemberId(command.actor))
                after = rules.cancel(before, company, is_trader=is_trader)
                if isinstance(after, Refusal) or after == before:
                    return after
                await move(connection, before, after.status)
                await _audit(connection, command, "offer.cancel", before, after)
                return after

            async def again() -> Offer:
                return before

            target, content = f"offer:{offer}", {"company": company}
            return await club_commands.once(connection, command, "offer.cancel", target, content, withdraw, again)

        return await self._database.repeat(work)

    async def get(self, offer: OfferId) -> Offer | None:
        """Find an offer."""
        record = await self._database.row(f"SELECT {_COLUMNS} FROM offer WHERE id = $1", offer)
        return None if record is None else to_money_row(record, Offer)

    async def page(
        self,
        *,
        company: CompanyId | None = None,
        status: OfferStatus | None = None,
        cursor: str | None = None,
        limit: int = 50,
    ) -> Page[Offer]:
        """List offers, newest first, of one company or all, in one status or any."""
        select = f"SELECT {_COLUMNS} FROM offer"
        asked = {"company_id = {}": company, "status = {}": status}
        return await read_page(self._database, select, asked, BY_CREATION, Offer, cursor, limit, to_money_row)


async def _audit(connection: Connection, command: Command, name: str, before: Offer | None, after: Offer) -> None:
    entry = audit.NewEntry(
        command.actor, name, f"offer:{after.id}", None if before is None else to_plain(before), to_plain(after)
    )
    await audit.append(connection, [entry])
