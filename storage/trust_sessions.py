"""Sessions as rows: one day of a pair, opened by its first deal or its actor, closed in `storage.settlements`."""

from engine.ids import CompanyId, Instant, PairId, TrustSessionId
from engine.money import UsdMicros
from engine.settlement import calendar
from engine.settlement import trust_pairs as rules
from engine.settlement.deals import Deal
from engine.settlement.trust_pairs import Session, SessionStatus, TrustPair
from storage import trust_pairs
from storage.database import Connection, Database
from storage.paging import Key, Page, read_page
from storage.rows import columns, to_money_row, to_row

DUE_AT_ONCE = 25
_BY_CUTOFF = Key(("cutoff_at_ms", "id"), tuple[int, str])
"""So many days are closed in one transaction at most: it must end well before the database's own limit."""

COLUMNS = (
    "id, pair_id, session_date::text AS session_date, opens_at_ms, cutoff_at_ms, status, closed_at_ms, "
    "closed_by, created_at_ms"
)


async def current(connection: Connection, pair: TrustPair, now: Instant) -> Session:
    """Give the session that a deal made now joins, as a row that may not exist yet.

    That is the one whose hours it is; when that one is closed already, by hand before its cut-off, the next.
    """
    times = calendar.session_at(pair.tz, pair.cutoff_local, now)
    while await _is_closed(connection, rules.session_id(pair.id, times.date)):
        times = calendar.session_after(pair.tz, pair.cutoff_local, times)
    return rules.new_session(pair, times, now)


async def open_if_new(connection: Connection, session: Session) -> Session:
    """Write a session unless it is there; give the one that is. Said twice is safe."""
    await connection.execute(
        "INSERT INTO trust_session (id, pair_id, session_date, opens_at_ms, cutoff_at_ms, status, created_at_ms) "
        "VALUES ($1, $2, $3::text::date, $4, $5, $6, $7) ON CONFLICT (id) DO NOTHING",
        session.id,
        session.pair_id,
        session.session_date,
        session.opens_at_ms,
        session.cutoff_at_ms,
        session.status,
        session.created_at_ms,
    )
    stored = await get(connection, session.id)
    assert stored is not None
    return stored


async def open_day(connection: Connection, session: TrustSessionId, now: Instant) -> Session:
    """Open a pair's day by its name, unless it is there; raise KeyError for an unknown pair."""
    pair, day = rules.day_of(session)
    terms = await trust_pairs.get(connection, pair)
    if terms is None:
        raise KeyError(pair)
    times = calendar.session_on(terms.tz, terms.cutoff_local, day)
    return await open_if_new(connection, rules.new_session(terms, times, now))


async def running(connection: Connection, now: Instant) -> list[TrustSessionId]:
    """Name the days that somebody must look after: what is open, and today of every enabled pair."""
    records = await connection.fetch("SELECT id FROM trust_session WHERE status = $1", SessionStatus.OPEN)
    pairs = await connection.fetch(f"SELECT {trust_pairs.COLUMNS} FROM trust_pair WHERE enabled")
    today = [(await current(connection, to_row(record, TrustPair), now)).id for record in pairs]
    return sorted({*today, *(TrustSessionId(record["id"]) for record in records)})


async def get(connection: Connection, session: TrustSessionId) -> Session | None:
    """Find a session."""
    record = await connection.fetchrow(f"SELECT {COLUMNS} FROM trust_session WHERE id = $1", session)
    return None if record is None else to_row(record, Session)


async def held(connection: Connection, sessions: list[TrustSessionId]) -> list[Session]:
    """Give sessions, by id, and keep others from closing them until the transaction ends."""
    records = await connection.fetch(
        f"SELECT {COLUMNS} FROM trust_session WHERE id = ANY ($1) ORDER BY id FOR NO KEY UPDATE", sessions
    )
    return [to_row(record, Session) for record in records]


async def gross(connection: Connection, session: TrustSessionId) -> UsdMicros:
    """Sum up a session's deals in both directions."""
    total: int = await connection.fetchval(
        "SELECT coalesce(sum(exposure_usd), 0)::bigint FROM deal WHERE session_id = $1", session
    )
    return UsdMicros(total)


async def due(connection: Connection, now: Instant, limit: int = DUE_AT_ONCE) -> list[TrustSessionId]:
    """List the sessions that are to be closed automatically: past their cut-off, the oldest of each pair."""
    records = await connection.fetch(
        """
        SELECT id FROM trust_session AS due JOIN LATERAL (
            SELECT automatic_eod FROM trust_pair WHERE trust_pair.id = due.pair_id) AS pair ON automatic_eod
        WHERE status = $3 AND cutoff_at_ms <= $1 AND NOT EXISTS (
            SELECT FROM trust_session AS older
            WHERE older.pair_id = due.pair_id AND older.status = $3 AND older.cutoff_at_ms < due.cutoff_at_ms)
        ORDER BY cutoff_at_ms, id LIMIT $2
        """,
        now,
        limit,
        SessionStatus.OPEN,
    )
    return [TrustSessionId(record["id"]) for record in records]


async def is_due(connection: Connection, session: TrustSessionId, now: Instant) -> bool:
    """Tell whether a session is to be closed automatically now."""
    is_so: bool = await connection.fetchval(
        "SELECT EXISTS (SELECT FROM trust_session JOIN trust_pair ON trust_pair.id = pair_id "
        "WHERE trust_session.id = $1 AND status = $2 AND cutoff_at_ms <= $3 AND automatic_eod)",
        session,
        SessionStatus.OPEN,
        now,
    )
    return is_so


async def deals_of(connection: Connection, session: TrustSessionId) -> list[Deal]:
    """Give a session's deals, oldest first."""
    records = await connection.fetch(
        f"SELECT {columns(Deal)} FROM deal WHERE session_id = $1 ORDER BY created_at_ms, id", session
    )
    return [to_money_row(record, Deal) for record in records]


class TrustSessions:
    """The table of sessions."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def begin(self, pair: PairId, now: Instant) -> Session:
        """Open the session of a pair whose hours it is, unless it is open; raise KeyError for an unknown pair."""

        async def work(connection: Connection) -> Session:
            terms = await trust_pairs.get(connection, pair)
            if terms is None:
                raise KeyError(pair)
            return await open_if_new(connection, await current(connection, terms, now))

        return await self._database.repeat(work)

    async def get(self, session: TrustSessionId) -> Session | None:
        """Find a session."""
        record = await self._database.row(f"SELECT {COLUMNS} FROM trust_session WHERE id = $1", session)
        return None if record is None else to_row(record, Session)

    async def open_ones(self, company: CompanyId | None = None) -> list[Session]:
        """List the open sessions, of a company's pairs or all, the first to be cut off first."""
        records = await self._database.rows(
            f"SELECT {COLUMNS} FROM trust_session WHERE status = $2 AND ($1::text IS NULL OR EXISTS ("
            "SELECT FROM trust_pair WHERE trust_pair.id = pair_id AND $1 IN (a_company_id, b_company_id))) "
            "ORDER BY cutoff_at_ms, id",
            company,
            SessionStatus.OPEN,
        )
        return [to_row(record, Session) for record in records]

    async def deals(self, session: TrustSessionId) -> list[Deal]:
        """List a session's deals, oldest first."""
        async with self._database.transaction() as connection:
            return await deals_of(connection, session)

    async def page(self, pair: PairId, *, cursor: str | None = None, limit: int = 50) -> Page[Session]:
        """List a pair's sessions, newest first."""
        select = f"SELECT {COLUMNS} FROM trust_session"
        return await read_page(self._database, select, {"pair_id = {}": pair}, _BY_CUTOFF, Session, cursor, limit)


async def _is_closed(connection: Connection, session: TrustSessionId) -> bool:
    status = await connection.fetchval("SELECT status FROM trust_session WHERE id = $1", session)
    return bool(status == SessionStatus.CLOSED)
