"""Deals as rows: accepted, called off, run out, and moved on by what arrives and what is paid.

Accepting is one transaction in the ledger's turn: the deposit, what is open, what was promised lately and the
pair's day are read, decided on and written with no other deal in between, so two acceptors never share one rest.
Nothing here moves money.
"""

from collections.abc import Mapping, Sequence
from types import MappingProxyType

import msgspec

from engine.errors import Refusal
from engine.ids import (
    CompanyId,
    DealId,
    HotWalletId,
    Instant,
    MemberId,
    SettlementId,
    TxId,
)
from engine.ledger import accounts, templates
from engine.ledger.postings import Transfer
from engine.payments.payout import Purpose
from engine.settlement import deals as rules
from engine.settlement.deals import (
    INCOMING_WITHIN_MS,
    AcceptFacts,
    AcceptOffer,
    Deal,
    DealStatus,
    Expected,
    Mode,
)
from engine.settlement.limits import PairDay
from engine.settlement.offers import Offer, OfferStatus
from engine.settlement.tiers import TIERS, Tiers
from storage import (
    assets,
    audit,
    club_commands,
    companies,
    exposures,
    ledger,
    offers,
    outbox,
    payees,
    settlements,
    trust_pairs,
    trust_sessions,
)
from storage.club_commands import Command
from storage.database import Connection, Database
from storage.paging import BY_CREATION, Page, read_page
from storage.rows import columns, to_money_row, to_plain

TOPIC = "deal"
_COLUMNS = columns(Deal)
_UNPAID: Mapping[DealId, TxId] = MappingProxyType({})


class Paid(msgspec.Struct, frozen=True):
    """A payout that is confirmed, and by which transaction."""

    purpose: Purpose
    purpose_id: str
    tx_id: TxId


# ---------------------------------------------------------------------- for those who match, pay and run the days


async def expected(
    connection: Connection, hot_wallets: Sequence[HotWalletId], since_ms: Instant
) -> list[Expected]:
    """Give the pass-through deals that wait for a transfer at these addresses, and those that no longer do.

    The latter are the deals cancelled or expired since `since_ms`: what comes for them is late. All are locked
    until the transaction ends, oldest first.
    """
    records = await connection.fetch(
        """
        SELECT deal.id, payer_company_id AS company, hot_wallet_id AS hot_wallet, deal.token AS asset,
               amount_token, status, deadline_ms, payee_company_id AS payee, wallet_id,
               wallet.address AS to_address, deal.created_at_ms
        FROM deal JOIN wallet ON wallet.id = deal.wallet_id
        WHERE hot_wallet_id = ANY ($1)
          AND (status = $3 OR (status = ANY ($4) AND ended_at_ms >= $2))
        ORDER BY deal.created_at_ms, deal.id FOR NO KEY UPDATE OF deal
        """,
        list(hot_wallets),
        since_ms,
        DealStatus.AWAITING_INCOMING,
        [DealStatus.CANCELLED, DealStatus.EXPIRED],
    )
    return [msgspec.convert({**record, "units": int(record["amount_token"])}, Expected) for record in records]


async def paying(connection: Connection, deals: Sequence[DealId], at_ms: Instant) -> None:
    """Say that the money of these deals has come and is on its way out. Said twice is safe."""
    await _move(connection, await _held(connection, deals), DealStatus.PAYING, at_ms)


async def awaiting_again(connection: Connection, deals: Sequence[DealId], at_ms: Instant) -> None:
    """Say that the money of these deals has vanished from the chain and nothing was paid out for it."""
    await _move(connection, await _held(connection, deals), DealStatus.AWAITING_INCOMING, at_ms)


async def on_paid(connection: Connection, paid: Sequence[Paid], at_ms: Instant) -> None:
    """Take note that payouts are confirmed: what they were for is settled. Said twice is safe."""
    by_deal = {DealId(each.purpose_id): each.tx_id for each in paid if each.purpose is Purpose.PASS_THROUGH}
    await _move(connection, await _held(connection, list(by_deal)), DealStatus.SETTLED, at_ms, by_deal)
    for each in paid:
        if each.purpose is Purpose.EOD:
            await settlements.on_paid(connection, SettlementId(each.purpose_id), each.tx_id, at_ms)


async def given_up(connection: Connection, deal: DealId, at_ms: Instant) -> None:
    """Call a deal off whose payout a person has given up: what is left of its money becomes the payer's funds."""
    for held in await _held(connection, [deal]):
        returned = await _returned(connection, held, at_ms)
        for answer in await ledger.post(connection, returned):
            assert answer.ok, f"{answer.id}: {answer.result}"
        await _move(connection, [held], DealStatus.CANCELLED, at_ms)


async def _returned(connection: Connection, deal: Deal, at_ms: Instant) -> list[Transfer]:
    """Give back what is not paid, each part under the name of the transfer that brought it.

    If the block of such a transfer vanishes after all, the books know by its name where its money is.
    """
    clearing = accounts.clearing(deal.id, deal.token)
    left = (await ledger.balances(connection, [clearing]))[clearing.code].available
    came_in = await connection.fetch(
        """
        SELECT moved.reference, sum(moved.units) AS units FROM incoming_tx
        JOIN ledger_transfer AS moved ON moved.reference = incoming_tx.id
        WHERE matched_to = $1 AND status <> 'reversed' AND moved.credit = $2 AND moved.phase = 'posted'
        GROUP BY moved.reference ORDER BY moved.reference
        """,
        deal.id,
        clearing.code,
    )
    transfers = []
    for each in came_in:
        part = min(left, int(each["units"]))
        left -= part
        if part:
            transfers += templates.clearing_returned(
                deal.id, deal.payer_company_id, deal.token, part, each["reference"], at_ms
            )
    return transfers


async def expire(connection: Connection, now: Instant) -> list[DealId]:
    """End the deals whose payers have not paid in time.

    A transfer counts by the time of its block, and blocks become final later: a deal ends when final blocks have
    passed its deadline. Where no chain has been read yet, nothing can have come, and the caller's time decides.
    """
    records = await connection.fetch(
        f"""
        SELECT {_COLUMNS} FROM deal
        WHERE status = $2 AND deadline_ms < least($1::bigint, coalesce(
            (SELECT time_ms FROM chain_cursor WHERE chain_cursor.network = deal.network), $1::bigint))
        ORDER BY created_at_ms, id FOR NO KEY UPDATE SKIP LOCKED
        """,
        now,
        DealStatus.AWAITING_INCOMING,
    )
    over = [to_money_row(record, Deal) for record in records]
    await _move(connection, over, DealStatus.EXPIRED, now)
    return [deal.id for deal in over]


class Deals:
    """The table of deals, under the club's terms."""

    def __init__(
        self, database: Database, tiers: Tiers = TIERS, incoming_within_ms: int = INCOMING_WITHIN_MS
    ) -> None:
        self._database = database
        self._tiers = tiers
        self._incoming_within_ms = incoming_within_ms

    async def accept(self, asked: AcceptOffer, command: Command) -> Deal | Refusal:
        """Make a deal of an offer with its audit entry and event, or say why not.

        Said twice is safe: the same command gives the deal as it stands now, or the same refusal. Raises KeyError
        for an unknown offer or company.
        """

        async def work(connection: Connection) -> Deal | Refusal:
            await ledger.take_turn(connection)

            async def insert() -> Deal | Refusal:
                return await self._accept(connection, asked, command)

            async def again() -> Deal:
                return (await _held(connection, [asked.deal_id]))[0]

            target = f"offer:{asked.offer_id}"
            return await club_commands.once(
                connection, command, "deal.accept", target, to_plain(asked), insert, again
            )

        return await self._database.repeat(work)

    async def cancel(self, deal: DealId, company: CompanyId, command: Command) -> Deal | Refusal:
        """Call a deal off before its money has come. Said twice is safe; KeyError for an unknown one."""

        async def work(connection: Connection) -> Deal | Refusal:
            found = await _held(connection, [deal])
            if not found:
                raise KeyError(deal)
            before = found[0]

            async def call_off() -> Deal | Refusal:
                is_trader = await companies.is_trader(connection, company, MemberId(command.actor))
                after = rules.cancel(before, company, is_trader=is_trader, now=command.at_ms)
                if isinstance(after, Refusal) or after == before:
                    return after
                await _move(connection, [before], after.status, command.at_ms)
                await _audit(connection, command, "deal.cancel", before, after)
                return after

            async def again() -> Deal:
                return before

            target, content = f"deal:{deal}", {"company": company}
            return await club_commands.once(connection, command, "deal.cancel", target, content, call_off, again)

        return await self._database.repeat(work)

    async def get(self, deal: DealId) -> Deal | None:
        """Find a deal."""
        record = await self._database.row(f"SELECT {_COLUMNS} FROM deal WHERE id = $1", deal)
        return None if record is None else to_money_row(record, Deal)

    async def page(
        self, *, company: CompanyId | None = None, cursor: str | None = None, limit: int = 50
    ) -> Page[Deal]:
        """List deals, newest first, that a company has a part in, or all."""
        select = f"SELECT {_COLUMNS} FROM deal"
        asked = {"{} IN (payer_company_id, payee_company_id)": company}
        return await read_page(self._database, select, asked, BY_CREATION, Deal, cursor, limit, to_money_row)

    async def _accept(self, connection: Connection, asked: AcceptOffer, command: Command) -> Deal | Refusal:
        offer = await offers.held(connection, asked.offer_id)
        facts = await self._facts(connection, asked, offer, command.at_ms)
        made = rules.accept(asked, facts, self._tiers, command.at_ms, self._incoming_within_ms)
        if isinstance(made, Refusal):
            return made
        await offers.move(connection, offer, OfferStatus.ACCEPTED)
        if facts.session is not None:
            await trust_sessions.open_if_new(connection, facts.session)
        values = ", ".join(f"${n + 1}" for n in range(len(Deal.__struct_fields__)))
        await connection.execute(
            f"INSERT INTO deal ({_COLUMNS}) VALUES ({values})", *msgspec.structs.astuple(made)
        )
        await _tell(connection, [made])
        await _audit(connection, command, "deal.accept", None, made)
        return made

    async def _facts(self, connection: Connection, asked: AcceptOffer, offer: Offer, now: Instant) -> AcceptFacts:
        maker = await companies.held(connection, offer.company_id)
        taker = await companies.held(connection, asked.company_id)
        payer = maker if rules.payer_of(offer, taker.id) == maker.id else taker
        listed = await assets.listed(connection)
        pays_in_at = await companies.hot_wallet(connection, payer.id, offer.network)
        wallet = rules.wallet_of(offer, asked)
        pair = await trust_pairs.between(connection, maker.id, taker.id) if asked.mode is Mode.NETTING else None
        session = None if pair is None else await trust_sessions.current(connection, pair, now)
        day = None
        if pair is not None and session is not None:
            day = PairDay(pair.daily_limit_usd, await trust_sessions.gross(connection, session.id))
        return AcceptFacts(
            offer=offer,
            asset=listed[offer.token],
            maker=maker,
            taker=taker,
            is_trader=await companies.is_trader(connection, taker.id, asked.member_id),
            wallet=None if wallet is None else await payees.find(connection, wallet),
            hot_wallet=None if pays_in_at is None else pays_in_at.id,
            pair=pair,
            session=session,
            limits=await exposures.limit_facts(connection, payer, listed, self._tiers, day, now),
        )


async def _held(connection: Connection, deals: Sequence[DealId]) -> list[Deal]:
    records = await connection.fetch(
        f"SELECT {_COLUMNS} FROM deal WHERE id = ANY ($1) ORDER BY id FOR NO KEY UPDATE", list(deals)
    )
    return [to_money_row(record, Deal) for record in records]


async def _move(
    connection: Connection,
    deals: Sequence[Deal],
    status: DealStatus,
    now: Instant,
    paid_by: Mapping[DealId, TxId] = _UNPAID,
) -> None:
    """Move deals that are `_held`; those that are there already stay as they are."""
    moved = [rules.to(deal, status, now) for deal in deals if deal.status is not status]
    if not moved:
        return
    await connection.execute(
        """
        UPDATE deal SET status = $2, ended_at_ms = moved.ended_at_ms
        FROM unnest($1::text[], $3::bigint[]) AS moved (id, ended_at_ms) WHERE deal.id = moved.id
        """,
        [deal.id for deal in moved],
        status,
        [deal.ended_at_ms for deal in moved],
    )
    await _tell(connection, moved, paid_by)


async def _tell(connection: Connection, deals: Sequence[Deal], paid_by: Mapping[DealId, TxId] = _UNPAID) -> None:
    events = []
    for deal in deals:
        paid = {"tx_id": paid_by[deal.id]} if deal.id in paid_by else {}
        events.append(outbox.NewEvent(TOPIC, deal.id, to_plain(deal) | paid))
    await outbox.write(connection, events)


async def _audit(connection: Connection, command: Command, name: str, before: Deal | None, after: Deal) -> None:
    facts = (None if before is None else to_plain(before), to_plain(after))
    await audit.append(connection, [audit.NewEntry(command.actor, name, f"deal:{after.id}", *facts)])
