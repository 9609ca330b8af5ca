"""Incoming transfers as rows: a final block is taken with everything that follows from it, in one transaction.

Under the watcher's lease and in the ledger's turn: what came in is matched, written, booked; payouts are requested
and deals move on; what left our addresses and the fees are noted; the cursor advances. Whatever the number of
transfers, the number of statements stays the same. A block that is taken already changes nothing.
"""

from collections.abc import Callable, Sequence
from itertools import chain

import msgspec

from engine.errors import Refusal
from engine.ids import CompanyId, DealId, HotWalletId, Instant, TxId
from engine.money import AssetId, Network
from engine.payments.alarms import AlarmKind, Severity
from engine.payments.allowlist import AllowedWallet
from engine.payments.chain import BlockRef
from engine.payments.freeze import Scope
from engine.payments.incoming import (
    Arrival,
    Expectations,
    IncomingId,
    IncomingStatus,
    MatchingPolicy,
    Place,
    Reason,
    Verdict,
    again,
    incoming_id,
    match,
)
from engine.payments.payout import ENGINE, Purpose
from engine.payments.sighting import Departure, Fee, Sighting, WatchedWallet, WatchList
from engine.settlement.pass_through import Consequences, fee_booking, follow
from storage import address_book, alarms, assets, chain_cursor, deals, freezes, ledger, outbox, payouts
from storage.chain_cursor import ForeignParent, watcher_lease
from storage.database import Connection, Database
from storage.leases import guard
from storage.paging import BY_CREATION, Page, read_page
from storage.rows import columns, to_money_row, to_rows

LATE_WITHIN_MS = 30 * 24 * 3_600_000
"""So long after a deal has ended, its transfer is still recognised as late."""

CrashPoint = Callable[[str], None]


class BooksRefuse(Exception):
    """The ledger refused to book what is on the chain: a bug, and the block is not taken."""


class IncomingRow(msgspec.Struct, frozen=True):
    """An incoming transfer and what was made of it."""

    id: IncomingId
    network: Network
    tx_hash: TxId
    log_index: int
    hot_wallet_id: HotWalletId
    company_id: CompanyId
    contract: str
    token: AssetId | None
    amount_token: int
    surplus_token: int
    from_address: str
    block_number: int
    block_id: str
    block_time_ms: Instant
    status: IncomingStatus
    reason: Reason
    place: Place
    matched_to: str
    created_at_ms: Instant
    resolved_at_ms: Instant | None = None
    resolved_by: str = ""
    reversed_at_ms: Instant | None = None
    undone: str = ""


class Taken(msgspec.Struct, frozen=True):
    """What a call has done: the cursor now, how many blocks were new, and the verdicts."""

    cursor: BlockRef
    blocks: int = 0
    verdicts: tuple[Verdict, ...] = ()


_COLUMNS = columns(IncomingRow)


def go_on(_name: str) -> None:
    """Crash nowhere."""


class Incoming:
    """The incoming transfers of all networks."""

    def __init__(self, database: Database, policy: MatchingPolicy | None = None) -> None:
        self._database = database
        self._policy = policy or MatchingPolicy()

    async def begin(self, network: Network, epoch: int, block: BlockRef) -> None:
        """Read the network from the block after this one on; harmless when reading has begun before."""

        async def write(connection: Connection) -> None:
            await guard(connection, watcher_lease(network), epoch)
            await chain_cursor.begin(connection, network, epoch, block)

        await self._database.repeat(write)

    async def oldest_address_ms(self, network: Network) -> Instant | None:
        """Tell when the first of our addresses on a network was made; None before there is one."""
        found: Instant | None = await self._database.value(
            "SELECT min(created_at_ms) FROM hot_wallet WHERE network = $1", network
        )
        return found

    async def watch_list(self, network: Network) -> WatchList:
        """Give the addresses and tokens to look for, as they are now."""

        async with self._database.reading() as connection:
            records = await connection.fetch(
                "SELECT id, company_id AS company, address FROM hot_wallet WHERE network = $1", network
            )
            listed = await assets.listed(connection)
        return WatchList.of(network, to_rows(records, WatchedWallet), listed.values())

    async def take(
        self,
        watched: WatchList,
        epoch: int,
        sightings: Sequence[Sighting],
        at_ms: Instant,
        crash_point: CrashPoint = go_on,
    ) -> Taken:
        """Take consecutive final blocks, all or none. Those that are taken already change nothing.

        After `Retryable` or `OutcomeUnknown` call it again with the same blocks. `StaleEpoch`: the lease is over,
        stop. `ForeignParent`: the chain is another one, go back first. The commit wakes the signers that have
        something to pay.
        """

        async def write(connection: Connection) -> Taken:
            await guard(connection, watcher_lease(watched.network), epoch)
            cursor = await chain_cursor.locked(connection, watched.network)
            fresh = await _fresh(connection, watched.network, cursor, sightings)
            if not fresh:
                return Taken(cursor)
            if any(fresh):
                await ledger.take_turn(connection)
            verdicts = [
                await _take_one(connection, watched, sighting, self._policy, at_ms, crash_point)
                for sighting in fresh
                if sighting
            ]
            blocks = [sighting.block for sighting in fresh]
            await chain_cursor.advance(connection, watched.network, epoch, blocks)
            crash_point("take.before_commit")
            return Taken(blocks[-1], len(blocks), tuple(chain.from_iterable(verdicts)))

        return await self._database.repeat(write)

    async def get(self, incoming: IncomingId) -> IncomingRow | None:
        """Find a transfer."""
        record = await self._database.row(f"SELECT {_COLUMNS} FROM incoming_tx WHERE id = $1", incoming)
        return None if record is None else to_money_row(record, IncomingRow)

    async def page(
        self,
        *,
        company: CompanyId | None = None,
        status: IncomingStatus | None = None,
        cursor: str | None = None,
        limit: int = 50,
    ) -> Page[IncomingRow]:
        """List transfers, newest first, of one company or all, of one status or all."""
        select = f"SELECT {_COLUMNS} FROM incoming_tx"
        asked = {"company_id = {}": company, "status = {}": status}
        return await read_page(
            self._database, select, asked, BY_CREATION, IncomingRow, cursor, limit, to_money_row
        )


async def _fresh(
    connection: Connection, network: Network, cursor: BlockRef, sightings: Sequence[Sighting]
) -> list[Sighting]:
    """Leave out what is taken already, and see that the rest hangs on the cursor, block by block."""
    old = [sighting.block for sighting in sightings if sighting.block.number <= cursor.number]
    if old:
        taken = await chain_cursor.known(connection, network, [block.number for block in old])
        for block in old:
            if taken.get(block.number, block.id) != block.id:
                raise ForeignParent(cursor, block)
    fresh = [sighting for sighting in sightings if sighting.block.number > cursor.number]
    below = cursor
    for sighting in fresh:
        if sighting.block.parent_id != below.id or sighting.block.number != below.number + 1:
            raise ForeignParent(below, sighting.block)
        below = sighting.block
    return fresh


async def _take_one(
    connection: Connection,
    watched: WatchList,
    sighting: Sighting,
    policy: MatchingPolicy,
    at_ms: Instant,
    crash_point: CrashPoint,
) -> list[Verdict]:
    arrivals = await _as_appearances(connection, sighting.arrivals)
    sighting = msgspec.structs.replace(sighting, fees=await _fees_as_appearances(connection, sighting.fees))
    expected, vanished = await _expectations(connection, watched, arrivals, sighting.block)
    verdicts = match(arrivals, expected, policy, sighting.block.time_ms)
    then = follow(verdicts, vanished, at_ms)
    await _insert(connection, watched.network, verdicts, sighting.block, at_ms)
    crash_point("take.written")
    booked = await _book(connection, watched, sighting, then, at_ms)
    crash_point("take.booked")
    await _request(connection, then, at_ms)
    crash_point("take.requested")
    await deals.paying(connection, then.paying, at_ms)
    for wallet in then.proved:
        await address_book.prove(connection, wallet, at_ms)
    await _note_fees(connection, watched.network, sighting, booked, at_ms)
    await _note_departures(connection, watched.network, sighting, at_ms)
    await outbox.write(
        connection, [outbox.NewEvent(said.topic, said.key, said.payload) for said in then.announcements]
    )
    return verdicts


# ---------------------------------------------------------------------- what is expected


async def _as_appearances(connection: Connection, arrivals: Sequence[Arrival]) -> list[Arrival]:
    """Name those anew that came before, in a block that vanished."""
    if not arrivals:
        return []
    records = await connection.fetch(
        """
        SELECT tx_hash, log_index, count(*) AS appearances
        FROM incoming_tx JOIN unnest($2::text[], $3::integer[]) AS seen (tx_hash, log_index)
            USING (tx_hash, log_index)
        WHERE network = $1 AND status = 'reversed' GROUP BY tx_hash, log_index
        """,
        arrivals[0].network,
        [arrival.tx_id for arrival in arrivals],
        [arrival.log_index for arrival in arrivals],
    )
    before = {(record["tx_hash"], record["log_index"]): record["appearances"] for record in records}
    return [
        msgspec.structs.replace(
            arrival,
            id=incoming_id(
                arrival.network,
                arrival.tx_id,
                arrival.log_index,
                before.get((arrival.tx_id, arrival.log_index), 0) + 1,
            ),
        )
        for arrival in arrivals
    ]


async def _fees_as_appearances(connection: Connection, fees: Sequence[Fee]) -> tuple[Fee, ...]:
    if not fees:
        return ()
    records = await connection.fetch(
        "SELECT tx_hash, count(*) AS appearances FROM chain_fee "
        "WHERE tx_hash = ANY ($1) AND reversed_at_ms IS NOT NULL GROUP BY tx_hash",
        [fee.tx_id for fee in fees],
    )
    before = {record["tx_hash"]: record["appearances"] for record in records}
    return tuple(msgspec.structs.replace(fee, id=fee.id + again(before.get(fee.tx_id, 0) + 1)) for fee in fees)


async def _expectations(
    connection: Connection, watched: WatchList, arrivals: Sequence[Arrival], block: BlockRef
) -> tuple[Expectations, dict[DealId, int]]:
    """Give what arrivals are compared with, and how often each deal's money has vanished before."""
    listed = [arrival for arrival in arrivals if arrival.asset is not None]
    if not listed:
        return Expectations(tuple(watched.assets.values())), {}
    hot_wallets = sorted({arrival.hot_wallet for arrival in listed})
    awaited = await deals.expected(connection, hot_wallets, Instant(block.time_ms - LATE_WITHIN_MS))
    matched, vanished = await _matched(connection, [deal.id for deal in awaited])
    expected = Expectations(
        tuple(watched.assets.values()),
        tuple(deal for deal in awaited if deal.id not in matched),
        tuple(await _senders(connection, listed)),
    )
    return expected, vanished


async def _matched(connection: Connection, ids: Sequence[DealId]) -> tuple[set[DealId], dict[DealId, int]]:
    """Give the deals that have a transfer (a late one leaves the status), and how often their money vanished."""
    records = await connection.fetch(
        """
        SELECT matched_to AS deal, bool_or(status <> 'reversed') AS is_matched,
               count(*) FILTER (WHERE status = 'reversed' AND place = 'deal') AS vanished
        FROM incoming_tx JOIN unnest($1::text[]) AS deal (id) ON matched_to = deal.id GROUP BY matched_to
        """,
        list(ids),
    )
    return (
        {record["deal"] for record in records if record["is_matched"]},
        {record["deal"]: record["vanished"] for record in records},
    )


async def _senders(connection: Connection, arrivals: Sequence[Arrival]) -> list[AllowedWallet]:
    records = await connection.fetch(
        f"SELECT {columns(AllowedWallet)} FROM wallet WHERE network = $1 AND revoked_at_ms IS NULL "
        "AND company_id = ANY ($2) AND address = ANY ($3)",
        arrivals[0].network,
        sorted({arrival.company for arrival in arrivals}),
        sorted({arrival.sender for arrival in arrivals}),
    )
    return [address_book.allowed_wallet(record) for record in records]


# ---------------------------------------------------------------------- writing


async def _insert(
    connection: Connection, network: Network, verdicts: Sequence[Verdict], block: BlockRef, at_ms: Instant
) -> None:
    if not verdicts:
        return
    arrivals = [verdict.arrival for verdict in verdicts]
    await connection.execute(
        """
        INSERT INTO incoming_tx (network, block_number, block_id, block_time_ms, created_at_ms, id, tx_hash,
                                 log_index, hot_wallet_id, company_id, contract, token, amount_token,
                                 surplus_token, from_address, status, reason, place, matched_to)
        SELECT $1, $2, $3, $4, $5, *
        FROM unnest($6::text[], $7::text[], $8::integer[], $9::text[], $10::text[], $11::text[], $12::text[],
                    $13::numeric[], $14::numeric[], $15::text[], $16::text[], $17::text[], $18::text[],
                    $19::text[])
        """,
        network,
        block.number,
        block.id,
        block.time_ms,
        at_ms,
        [arrival.id for arrival in arrivals],
        [arrival.tx_id for arrival in arrivals],
        [arrival.log_index for arrival in arrivals],
        [arrival.hot_wallet for arrival in arrivals],
        [arrival.company for arrival in arrivals],
        [arrival.contract for arrival in arrivals],
        [None if arrival.asset is None else arrival.asset.id for arrival in arrivals],
        [arrival.units for arrival in arrivals],
        [verdict.surplus_units for verdict in verdicts],
        [arrival.sender for arrival in arrivals],
        [verdict.status for verdict in verdicts],
        [verdict.reason for verdict in verdicts],
        [verdict.place for verdict in verdicts],
        [verdict.matched_to for verdict in verdicts],
    )


async def _book(
    connection: Connection, watched: WatchList, sighting: Sighting, then: Consequences, at_ms: Instant
) -> list[bool]:
    """Post what came in and what was burned, in one statement; tell which of the fees are booked.

    A fee that the books cannot bear (they know of no coin there) is noted all the same: the chain is right.
    """
    coin = watched.coin
    fees = [[] if coin is None else fee_booking(fee, coin, at_ms) for fee in sighting.fees]
    posted = await ledger.post(connection, [*then.transfers, *(transfer for fee in fees for transfer in fee)])
    answers = {answer.id: answer for answer in posted}
    for transfer in then.transfers:
        if not answers[transfer.id].ok:
            raise BooksRefuse(f"{transfer.id}: {answers[transfer.id].result}")
    return [bool(fee) and all(answers[transfer.id].ok for transfer in fee) for fee in fees]


async def _request(connection: Connection, then: Consequences, at_ms: Instant) -> None:
    """Request what is to be paid. What is refused leaves the money where it is, and somebody must look."""
    if not then.payouts:
        return
    for due, answer in zip(then.payouts, await payouts.request(connection, then.payouts), strict=True):
        if isinstance(answer, Refusal):
            if due.purpose is Purpose.REFUND:
                await connection.execute(
                    "UPDATE incoming_tx SET status = 'suspense' WHERE id = $1", due.purpose_id
                )
            detail = f"{due.units} units of {due.token} cannot be paid to {due.to_address}: {answer.message}"
            await alarms.raise_alarm(
                connection, AlarmKind.STUCK_PAYOUT, due.purpose_id, Severity.SEV2, detail, at_ms
            )


async def _note_fees(
    connection: Connection, network: Network, sighting: Sighting, booked: Sequence[bool], at_ms: Instant
) -> None:
    if not sighting.fees:
        return
    await connection.execute(
        """
        INSERT INTO chain_fee (id, network, tx_hash, hot_wallet_id, fee_token, booked, block_number, created_at_ms)
        SELECT id, $1, tx_hash, hot_wallet, fee, booked, $2, $3
        FROM unnest($4::text[], $5::text[], $6::text[], $7::numeric[], $8::boolean[])
             AS fee (id, tx_hash, hot_wallet, fee, booked)
        """,
        network,
        sighting.block.number,
        at_ms,
        [fee.id for fee in sighting.fees],
        [fee.tx_id for fee in sighting.fees],
        [fee.hot_wallet for fee in sighting.fees],
        [fee.units for fee in sighting.fees],
        booked,
    )


async def _note_departures(connection: Connection, network: Network, sighting: Sighting, at_ms: Instant) -> None:
    """Note what left our addresses. What no signature of ours explains stops the address at once."""
    gone = sighting.departures
    if not gone:
        return
    await connection.execute(
        """
        INSERT INTO outgoing_tx (network, block_number, created_at_ms, tx_hash, log_index, hot_wallet_id, token,
                                 to_address, amount_token)
        SELECT $1, $2, $3, *
        FROM unnest($4::text[], $5::integer[], $6::text[], $7::text[], $8::text[], $9::numeric[])
        """,
        network,
        sighting.block.number,
        at_ms,
        [departure.tx_id for departure in gone],
        [departure.log_index for departure in gone],
        [departure.hot_wallet for departure in gone],
        [departure.asset.id for departure in gone],
        [departure.recipient for departure in gone],
        [departure.units for departure in gone],
    )
    ours = await _signed_by_us(connection, network, [departure.tx_id for departure in gone])
    for departure in gone:
        if departure.tx_id not in ours:
            await _stop(connection, departure, at_ms)


async def _signed_by_us(connection: Connection, network: Network, tx_ids: Sequence[TxId]) -> set[TxId]:
    records = await connection.fetch(
        """
        SELECT tx_id FROM payout_attempt WHERE network = $1 AND tx_id = ANY ($2)
        UNION ALL SELECT tx_id FROM payout_forgotten WHERE tx_id = ANY ($2)
        """,
        network,
        list(tx_ids),
    )
    return {record["tx_id"] for record in records}


async def _stop(connection: Connection, departure: Departure, at_ms: Instant) -> None:
    detail = (
        f"{departure.units} units of {departure.asset.id} left for {departure.recipient} "
        f"in {departure.tx_id}, which we never signed"
    )
    await alarms.raise_alarm(
        connection, AlarmKind.RECONCILIATION_BREAK, departure.hot_wallet, Severity.SEV1, detail, at_ms
    )
    await freezes.enter(connection, Scope.WALLET, departure.hot_wallet, detail, ENGINE, at_ms, is_safe_mode=True)
