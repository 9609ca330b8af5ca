"""The close of sessions: the day is netted, what can be paid is put aside and requested, the rest is carried.

Everything is one transaction in the ledger's turn: settlements, the money from the payers' funds to clearing, the
payouts, the deals, the sessions. A dry run does all of it and rolls it back, so its report is what a real run
would have said at that moment. A closed session never changes; closing it again gives the same report.
"""

from collections.abc import Mapping, Sequence

import msgspec

from engine.errors import Refusal
from engine.ids import (
    CompanyId,
    HotWalletId,
    Instant,
    PairId,
    PayoutId,
    SettlementId,
    TrustSessionId,
    TxId,
    WalletId,
)
from engine.ledger import accounts, templates
from engine.money import Asset, AssetId, Network, UsdMicros, usd_micros
from engine.payments.allowlist import AllowedWallet
from engine.payments.payout import ENGINE, Purpose, payout_of_settlement
from engine.payments.request import NewPayout
from engine.settlement import eod, netting
from engine.settlement.deals import DealStatus
from engine.settlement.eod import CarriedBecause, ClosePlan, Link, Settlement
from engine.settlement.netting import Carried, Net
from engine.settlement.trust_pairs import Session, SessionStatus
from storage import (
    assets,
    audit,
    club_commands,
    companies,
    ledger,
    outbox,
    payees,
    payouts,
    trust_pairs,
    trust_sessions,
)
from storage.club_commands import Command
from storage.database import Connection, Database
from storage.rows import columns, to_money_row, to_plain

TOPIC = "session"


class SettlementRow(msgspec.Struct, frozen=True):
    """What one side of a pair owes the other after a close, in one asset, and what became of it."""

    id: SettlementId
    session_id: TrustSessionId
    payer_company_id: CompanyId
    payee_company_id: CompanyId
    network: Network
    token: AssetId
    net_token: int
    amount_token: int
    """What is paid of it."""
    carried_token: int
    """What the next session takes over."""
    carried_in_token: int
    carried_from: SettlementId | None
    carried_because: CarriedBecause
    since_ms: Instant
    payout_id: PayoutId | None
    wallet_id: WalletId | None
    status: eod.SettlementStatus
    tx_hash: TxId | None
    created_at_ms: Instant
    settled_at_ms: Instant | None


class CloseReport(msgspec.Struct, frozen=True):
    """What a close has done, or would do: the sessions, and their settlements in the order of payment."""

    sessions: list[TrustSessionId]
    settlements: list[SettlementRow]


class _Payable(msgspec.Struct, frozen=True):
    """Where a debt is paid from and to."""

    hot_wallet: HotWalletId
    wallet: AllowedWallet


class _DryRun(Exception):
    """Carries the report out of a transaction that is to be undone."""

    def __init__(self, answer: CloseReport | Refusal) -> None:
        super().__init__("a dry run")
        self.answer = answer


_COLUMNS = columns(SettlementRow)


async def on_paid(connection: Connection, settlement: SettlementId, tx_id: TxId, at_ms: Instant) -> None:
    """Take note that a settlement's payout is confirmed: its deals, and those of the days before that were carried
    into it, are settled once nothing of them is left to pay. Said twice is safe."""
    record = await connection.fetchrow(
        "UPDATE eod_settlement SET status = $2, tx_hash = $3, settled_at_ms = $4 "
        f"WHERE id = $1 AND status = $5 RETURNING {_COLUMNS}",
        settlement,
        eod.SettlementStatus.SETTLED,
        tx_id,
        at_ms,
        eod.SettlementStatus.QUEUED,
    )
    if record is None:
        return
    paid = to_money_row(record, SettlementRow)
    await outbox.write(connection, [outbox.NewEvent(TOPIC, paid.session_id, to_plain(paid))])
    await _settle_deals(connection, settlement, at_ms)
    pair = await connection.fetchval("SELECT pair_id FROM trust_session WHERE id = $1", paid.session_id)
    await trust_pairs.release_if_quits(connection, PairId(pair), at_ms)


async def unpaid(connection: Connection, company: CompanyId, listed: Mapping[AssetId, Asset]) -> UsdMicros:
    """Sum up what a company owes from closed sessions: on its way out, or carried and not netted again yet."""
    records = await connection.fetch(
        """
        SELECT token, sum(CASE WHEN owed.status = 'queued' THEN amount_token ELSE 0 END
                          + CASE WHEN later.id IS NULL THEN carried_token ELSE 0 END) AS units
        FROM eod_settlement AS owed LEFT JOIN LATERAL (
            SELECT id FROM eod_settlement WHERE carried_from = owed.id) AS later ON true
        WHERE payer_company_id = $1 GROUP BY token
        """,
        company,
    )
    return UsdMicros(sum(usd_micros(listed[record["token"]], int(record["units"])) for record in records))


class Settlements:
    """The closes of sessions, and what they settled."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def close(self, sessions: Sequence[TrustSessionId], command: Command) -> CloseReport | Refusal:
        """Close sessions together, of one pair each, the oldest open one. Said twice is safe.

        Sessions that are closed already are left as they are. Raises KeyError for an unknown one.
        """

        async def work(connection: Connection) -> CloseReport | Refusal:
            await ledger.take_turn(connection)

            async def run() -> CloseReport | Refusal:
                return await close(connection, sessions, command.at_ms, command.actor)

            async def again() -> CloseReport:
                return await _report(connection, sessions)

            names = sorted(sessions)
            target = f"session:{names[0]}" if names else "session:none"
            return await club_commands.once(
                connection, command, "session.close", target, {"sessions": names}, run, again
            )

        return await self._database.repeat(work)

    async def dry_run(self, sessions: Sequence[TrustSessionId], now: Instant, actor: str) -> CloseReport | Refusal:
        """Close sessions and undo it: the report of what `close` would do now."""
        try:
            async with self._database.transaction() as connection:
                raise _DryRun(await close(connection, sessions, now, actor))
        except _DryRun as done:
            return done.answer

    async def of_session(self, session: TrustSessionId) -> list[SettlementRow]:
        """List what a closed session settled, by asset."""
        records = await self._database.rows(
            f"SELECT {_COLUMNS} FROM eod_settlement WHERE session_id = $1 ORDER BY token", session
        )
        return [to_money_row(record, SettlementRow) for record in records]

    async def net_now(self, session: TrustSessionId) -> list[Net]:
        """Tell what a session would net to if it were closed now: what people watch during the day."""
        async with self._database.transaction() as connection:
            found = await trust_sessions.get(connection, session)
            return [] if found is None else await _nets(connection, found)


async def close(
    connection: Connection, sessions: Sequence[TrustSessionId], now: Instant, actor: str
) -> CloseReport | Refusal:
    """Close sessions in the caller's transaction; see `Settlements.close`."""
    await ledger.take_turn(connection)
    found = await trust_sessions.held(connection, list(sessions))
    missing = set(sessions) - {session.id for session in found}
    if missing:
        raise KeyError(min(missing))
    still_open = [session for session in found if session.status is SessionStatus.OPEN]
    refused = await _refuse_order(connection, still_open)
    if refused is not None:
        return refused
    nets = [net for session in still_open for net in await _nets(connection, session)]
    await _carry_out(connection, nets, now)
    await _close_rows(connection, still_open, now, actor)
    report = await _report(connection, sessions)
    await _tell(connection, still_open, report, actor)
    return report


# ---------------------------------------------------------------------- what is owed


async def _refuse_order(connection: Connection, sessions: Sequence[Session]) -> Refusal | None:
    # The rest of a day belongs to the next: days are closed in their order.
    record = await connection.fetchrow(
        """
        SELECT older.id, later.id AS later FROM trust_session AS older JOIN trust_session AS later
            ON later.pair_id = older.pair_id AND older.cutoff_at_ms < later.cutoff_at_ms
        WHERE older.status = 'open' AND later.id = ANY ($1) ORDER BY older.id LIMIT 1
        """,
        [session.id for session in sessions],
    )
    if record is None:
        return None
    return Refusal(
        "earlier_session_open",
        "session_id",
        f"{record['later']} is closed after {record['id']}, which is still open",
        allowed=f"close {record['id']} first",
    )


async def _nets(connection: Connection, session: Session) -> list[Net]:
    deals = await trust_sessions.deals_of(connection, session.id)
    return netting.net(session.id, session.cutoff_at_ms, deals, await _carried(connection, session.pair_id))


async def _carried(connection: Connection, pair: PairId) -> list[Carried]:
    records = await connection.fetch(
        """
        SELECT owed.id AS settlement, payer_company_id AS payer, payee_company_id AS payee, token AS asset,
               carried_token, since_ms
        FROM eod_settlement AS owed JOIN trust_session ON trust_session.id = owed.session_id
        WHERE pair_id = $1 AND carried_token > 0
          AND NOT EXISTS (SELECT FROM eod_settlement AS later WHERE later.carried_from = owed.id)
        """,
        pair,
    )
    return [msgspec.convert({**record, "units": int(record["carried_token"])}, Carried) for record in records]


# ---------------------------------------------------------------------- what is paid


async def _carry_out(connection: Connection, nets: Sequence[Net], now: Instant) -> None:
    listed = await assets.listed(connection)
    funds = await _funds(connection, nets)
    payable = await _payable(connection, nets, listed, now)
    barred = {
        eod.settlement_id(net.session, net.asset): CarriedBecause.NO_WALLET
        for net in nets
        if eod.settlement_id(net.session, net.asset) not in payable
    }
    while True:
        plan = eod.plan(nets, funds, barred)
        paid = [one for one in plan.settlements if one.paid]
        refused = await _pay(connection, [(one, payable[one.id]) for one in paid], listed, now)
        if not refused:
            break
        # What cannot be paid after all leaves its money to the next in line; nothing of this attempt stays.
        barred |= dict.fromkeys(refused, CarriedBecause.REFUSED)
    await _insert(connection, plan, payable, listed, now)


async def _funds(connection: Connection, nets: Sequence[Net]) -> dict[tuple[CompanyId, AssetId], int]:
    named = {purse: accounts.funds(*purse) for purse in sorted(eod.purses(nets))}
    balances = await ledger.balances(connection, list(named.values()))
    return {purse: balances[account.code].available for purse, account in named.items()}


async def _payable(
    connection: Connection, nets: Sequence[Net], listed: Mapping[AssetId, Asset], now: Instant
) -> dict[SettlementId, _Payable]:
    found = {}
    for net in nets:
        network = listed[net.asset].network
        wallet = await payees.oldest_active(connection, net.payee, network, net.asset, now)
        hot_wallet = await companies.hot_wallet(connection, net.payer, network)
        if wallet is not None and hot_wallet is not None:
            found[eod.settlement_id(net.session, net.asset)] = _Payable(hot_wallet.id, wallet)
    return found


async def _pay(
    connection: Connection,
    due: Sequence[tuple[Settlement, _Payable]],
    listed: Mapping[AssetId, Asset],
    now: Instant,
) -> list[SettlementId]:
    """Move what is paid from funds to clearing and request the payouts; or undo all and name what was refused."""
    savepoint = connection.transaction()
    await savepoint.start()
    posted = await ledger.post(
        connection,
        [
            transfer
            for one, _ in due
            for transfer in templates.settlement_funded(one.net.payer, one.id, one.net.asset, one.paid, now)
        ],
    )
    broken = [answer for answer in posted if not answer.ok]
    if broken:
        raise RuntimeError(f"the ledger refused {broken[0].id}: {broken[0].result}")
    answers = await payouts.request(connection, [_payout(one, way, listed, now) for one, way in due])
    refused = [one.id for (one, _), answer in zip(due, answers, strict=True) if isinstance(answer, Refusal)]
    await (savepoint.rollback() if refused else savepoint.commit())
    return refused


def _payout(one: Settlement, way: _Payable, listed: Mapping[AssetId, Asset], now: Instant) -> NewPayout:
    return NewPayout(
        id=payout_of_settlement(one.id),
        company_id=one.net.payer,
        payee_id=one.net.payee,
        purpose=Purpose.EOD,
        purpose_id=one.id,
        network=listed[one.net.asset].network,
        token=one.net.asset,
        units=one.paid,
        to_address=way.wallet.address,
        wallet_id=way.wallet.id,
        hot_wallet_id=way.hot_wallet,
        initiator=ENGINE,
        at_ms=now,
    )


# ---------------------------------------------------------------------- what is written


async def _insert(
    connection: Connection,
    plan: ClosePlan,
    payable: Mapping[SettlementId, _Payable],
    listed: Mapping[AssetId, Asset],
    now: Instant,
) -> None:
    rows = [_row(one, payable.get(one.id), listed, now) for one in plan.settlements]
    values = ", ".join(f"${n + 1}" for n in range(len(SettlementRow.__struct_fields__)))
    await connection.executemany(
        f"INSERT INTO eod_settlement ({_COLUMNS}) VALUES ({values})",
        [msgspec.structs.astuple(row) for row in rows],
    )
    for row in rows:
        await connection.execute(
            "UPDATE deal SET status = $3 WHERE session_id = $1 AND token = $2",
            row.session_id,
            row.token,
            DealStatus.NETTED,
        )
        await _settle_deals(connection, row.id, now)


def _row(one: Settlement, way: _Payable | None, listed: Mapping[AssetId, Asset], now: Instant) -> SettlementRow:
    is_paid = one.paid > 0 and way is not None
    status = eod.first_status(one)
    return SettlementRow(
        id=one.id,
        session_id=one.net.session,
        payer_company_id=one.net.payer,
        payee_company_id=one.net.payee,
        network=listed[one.net.asset].network,
        token=one.net.asset,
        net_token=one.net.units,
        amount_token=one.paid,
        carried_token=one.carried,
        carried_in_token=one.net.carried_in,
        carried_from=one.net.carried_from,
        carried_because=one.because,
        since_ms=one.net.since_ms,
        payout_id=payout_of_settlement(one.id) if is_paid else None,
        wallet_id=way.wallet.id if is_paid and way is not None else None,
        status=status,
        tx_hash=None,
        created_at_ms=now,
        settled_at_ms=now if status is eod.SettlementStatus.SETTLED else None,
    )


async def _settle_deals(connection: Connection, settlement: SettlementId, now: Instant) -> None:
    """End the deals of every day along the carried rests that has nothing left to pay."""
    records = await connection.fetch(
        """
        WITH RECURSIVE older AS (
            SELECT id, status, carried_token, carried_from, 0 AS place FROM eod_settlement WHERE id = $1
            UNION ALL
            SELECT before.id, before.status, before.carried_token, before.carried_from, place - 1
            FROM eod_settlement AS before JOIN older ON before.id = older.carried_from
        ), later AS (
            SELECT * FROM older WHERE place = 0
            UNION ALL
            SELECT after.id, after.status, after.carried_token, after.carried_from, place + 1
            FROM eod_settlement AS after JOIN later ON after.carried_from = later.id
        )
        SELECT id, status, carried_token FROM (SELECT * FROM older UNION SELECT * FROM later) AS chain
        ORDER BY place
        """,
        settlement,
    )
    done = eod.discharged([to_money_row(record, Link) for record in records])
    await connection.execute(
        """
        UPDATE deal SET status = $2, ended_at_ms = $3 FROM eod_settlement AS paid
        WHERE paid.id = ANY ($1) AND deal.session_id = paid.session_id AND deal.token = paid.token
          AND deal.status = $4
        """,
        done,
        DealStatus.SETTLED,
        now,
        DealStatus.NETTED,
    )


async def _close_rows(connection: Connection, sessions: Sequence[Session], now: Instant, actor: str) -> None:
    await connection.execute(
        "UPDATE trust_session SET status = $2, closed_at_ms = $3, closed_by = $4 WHERE id = ANY ($1)",
        [session.id for session in sessions],
        SessionStatus.CLOSED,
        now,
        actor,
    )
    for pair in sorted({session.pair_id for session in sessions}):
        await trust_pairs.release_if_quits(connection, pair, now)


async def _report(connection: Connection, sessions: Sequence[TrustSessionId]) -> CloseReport:
    records = await connection.fetch(
        f"SELECT {_COLUMNS} FROM eod_settlement WHERE session_id = ANY ($1) "
        "ORDER BY since_ms, net_token DESC, session_id, token",
        list(sessions),
    )
    return CloseReport(sorted(sessions), [to_money_row(record, SettlementRow) for record in records])


async def _tell(connection: Connection, sessions: Sequence[Session], report: CloseReport, actor: str) -> None:
    told = {
        session.id: [to_plain(row) for row in report.settlements if row.session_id == session.id]
        for session in sessions
    }
    await outbox.write(
        connection, [outbox.NewEvent(TOPIC, session, {"settlements": rows}) for session, rows in told.items()]
    )
    await audit.append(
        connection,
        [
            audit.NewEntry(actor, "session.close", f"session:{session}", after={"settlements": rows})
            for session, rows in told.items()
        ],
    )
