"""Sessions: which browsers are signed in as whom. Tokens are stored as hashes; the rules are the engine's.

It decides nothing about a token; it makes sure that two who come with the same one take turns.
"""

import msgspec

from engine.access.principals import Role, SessionId
from engine.access.sessions import (
    GRACE_MS,
    SESSION_MS,
    Renewal,
    RenewalToken,
    judge_renewal,
    token_ends,
)
from engine.ids import Instant, UserId
from storage import audit
from storage.database import Connection, Database
from storage.rows import to_row, to_rows

LOOK_LIMIT_S = 2.0
"""Every request waits for this look: while the database is away, say so soon."""


class NewSession(msgspec.Struct, frozen=True):
    """A browser that is about to be signed in."""

    id: SessionId
    user: UserId
    csrf_key: bytes
    device: str
    ip: str

    def __repr__(self) -> str:
        return f"NewSession({self.id!r}, user={self.user!r}, ***)"


class TokenHashes(msgspec.Struct, frozen=True):
    """The hashes of a pair of tokens."""

    access: bytes
    refresh: bytes


class SignedIn(msgspec.Struct, frozen=True):
    """Whom an access token stands for, while it holds."""

    session: SessionId
    user: UserId
    roles: list[Role]
    csrf_key: bytes
    expires_at_ms: Instant
    """Until when the token holds; its session goes on with the next one."""

    def __repr__(self) -> str:
        return f"SignedIn({self.session!r}, user={self.user!r}, ***)"


class SessionRow(msgspec.Struct, frozen=True):
    """A session as its owner sees it."""

    id: SessionId
    device: str
    ip: str
    created_at_ms: Instant
    last_used_at_ms: Instant


class Renewed(msgspec.Struct, frozen=True):
    """What came of a renewal token; `user` and `session` where there is such a session."""

    outcome: Renewal
    user: UserId | None = None
    session: SessionId | None = None


async def begin(connection: Connection, new: NewSession, hashes: TokenHashes) -> None:
    """Begin a session in the transaction that proved who it is."""
    now: int = await connection.fetchval("SELECT now_ms()")
    expires = Instant(now + SESSION_MS)
    await connection.execute(
        "INSERT INTO sessions (id, user_id, csrf_key, device, ip, expires_at_ms) VALUES ($1, $2, $3, $4, $5, $6)",
        new.id,
        new.user,
        new.csrf_key,
        new.device,
        new.ip,
        expires,
    )
    await _add_tokens(connection, new.id, hashes, expires, Instant(now))


async def end_all(
    connection: Connection, user: UserId, because: str, *, but: SessionId | None = None
) -> list[SessionId]:
    """End a person's sessions, all or all but one, and give which."""
    records = await connection.fetch(
        "UPDATE sessions SET ended_at_ms = now_ms(), ended_because = $2 "
        "WHERE user_id = $1 AND ended_at_ms IS NULL AND id IS DISTINCT FROM $3 RETURNING id",
        user,
        because,
        but,
    )
    return [SessionId(record["id"]) for record in records]


class Sessions:
    """The tables of sessions and their tokens."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def by_access(self, access_hash: bytes) -> SignedIn | None:
        """Find whom an access token stands for now; None once it, its session or its owner's account has ended."""
        record = await self._database.row(
            """
            SELECT sessions.id AS session, sessions.user_id AS user, csrf_key, session_tokens.expires_at_ms,
                   ARRAY(SELECT role FROM user_roles WHERE user_roles.user_id = users.id) AS roles
            FROM session_tokens
            JOIN sessions ON sessions.id = session_id
            JOIN users ON users.id = sessions.user_id
            WHERE session_tokens.hash = $1 AND kind = 'access' AND session_tokens.expires_at_ms > now_ms()
              AND ended_at_ms IS NULL AND sessions.expires_at_ms > now_ms() AND users.status = 'active'
            """,
            access_hash,
            within_s=LOOK_LIMIT_S,
        )
        return None if record is None else to_row(record, SignedIn)

    async def is_open(self, session: SessionId) -> bool:
        """Tell whether a session goes on."""
        record = await self._database.row(
            "SELECT EXISTS (SELECT FROM sessions JOIN users ON users.id = user_id WHERE sessions.id = $1 "
            "AND ended_at_ms IS NULL AND expires_at_ms > now_ms() AND users.status = 'active') AS is_so",
            session,
        )
        assert record is not None
        return bool(record["is_so"])

    async def renew(self, refresh_hash: bytes, new: TokenHashes) -> Renewed:
        """Exchange a renewal token for a new pair, or end its session when it was used before."""

        async def exchange(connection: Connection) -> Renewed:
            record = await connection.fetchrow(
                """
                SELECT session_tokens.expires_at_ms, replaced_at_ms,
                       sessions.expires_at_ms AS session_expires_at_ms, ended_at_ms AS session_ended_at_ms,
                       users.status = 'active' AS owner_is_active, session_id, user_id, now_ms() AS now_ms
                FROM session_tokens
                JOIN sessions ON sessions.id = session_id
                JOIN users ON users.id = sessions.user_id
                WHERE session_tokens.hash = $1 AND kind = 'refresh'
                FOR UPDATE OF sessions
                """,
                refresh_hash,
            )
            if record is None:
                return Renewed(Renewal.OVER)
            # Read again under the lock: the row of the token may be older than the lock on its session.
            replaced = await connection.fetchval(
                "SELECT replaced_at_ms FROM session_tokens WHERE hash = $1", refresh_hash
            )
            facts = dict(record) | {"replaced_at_ms": replaced}
            outcome = judge_renewal(to_token(facts), Instant(record["now_ms"]))
            session, user = SessionId(record["session_id"]), UserId(record["user_id"])
            await self._carry_out(connection, outcome, session, user, new, record["session_expires_at_ms"])
            return Renewed(outcome, user, session)

        return await self._database.repeat(exchange)

    async def _carry_out(
        self,
        connection: Connection,
        outcome: Renewal,
        session: SessionId,
        user: UserId,
        new: TokenHashes,
        session_expires: Instant,
    ) -> None:
        if outcome is Renewal.OVER:
            return
        if outcome is Renewal.REUSED:
            await connection.execute(
                "UPDATE sessions SET ended_at_ms = now_ms(), ended_because = 'token reused' WHERE id = $1", session
            )
            entry = audit.NewEntry("guard", "session.token_reused", f"user:{user}", after={"session": session})
            await audit.append(connection, [entry])
            return
        now = Instant(await connection.fetchval("SELECT now_ms()"))
        if outcome is Renewal.ROTATE:
            await connection.execute(
                "UPDATE session_tokens SET replaced_at_ms = $2 "
                "WHERE session_id = $1 AND kind = 'refresh' AND replaced_at_ms IS NULL",
                session,
                now,
            )
            # Requests that are on their way with the old access token still arrive.
            await connection.execute(
                "UPDATE session_tokens SET expires_at_ms = least(expires_at_ms, $2) "
                "WHERE session_id = $1 AND kind = 'access'",
                session,
                now + GRACE_MS,
            )
        await _add_tokens(connection, session, new, session_expires, now)
        await connection.execute("UPDATE sessions SET last_used_at_ms = $2 WHERE id = $1", session, now)

    async def session_of(self, token_hash: bytes) -> tuple[SessionId, UserId] | None:
        """Find the session that a token of either kind belongs to, whether or not it still holds."""
        record = await self._database.row(
            "SELECT sessions.id, user_id FROM session_tokens JOIN sessions ON sessions.id = session_id "
            "WHERE session_tokens.hash = $1",
            token_hash,
        )
        return None if record is None else (SessionId(record["id"]), UserId(record["user_id"]))

    async def of_user(self, user: UserId) -> list[SessionRow]:
        """List a person's open sessions, the last used first."""
        records = await self._database.rows(
            "SELECT id, device, ip, created_at_ms, last_used_at_ms FROM sessions "
            "WHERE user_id = $1 AND ended_at_ms IS NULL AND expires_at_ms > now_ms() "
            "ORDER BY last_used_at_ms DESC, id LIMIT 200",
            user,
        )
        return to_rows(records, SessionRow)

    async def end(self, user: UserId, session: SessionId, because: str, actor: str) -> bool:
        """End one of a person's sessions; False if they have no such session."""

        async def update(connection: Connection) -> bool:
            done = await connection.execute(
                "UPDATE sessions SET ended_at_ms = coalesce(ended_at_ms, now_ms()), "
                "ended_because = CASE WHEN ended_at_ms IS NULL THEN $3 ELSE ended_because END "
                "WHERE id = $1 AND user_id = $2",
                session,
                user,
                because,
            )
            if done != "UPDATE 1":
                return False
            entry = audit.NewEntry(
                actor, "session.end", f"user:{user}", after={"session": session, "why": because}
            )
            await audit.append(connection, [entry])
            return True

        return await self._database.repeat(update)

    async def end_others(self, user: UserId, keep: SessionId | None, actor: str) -> list[SessionId]:
        """End every session of a person but one."""

        async def update(connection: Connection) -> list[SessionId]:
            ended = await end_all(connection, user, "ended by its owner", but=keep)
            entry = audit.NewEntry(actor, "session.end_others", f"user:{user}", after={"ended": len(ended)})
            await audit.append(connection, [entry])
            return ended

        return await self._database.repeat(update)

    async def forget_old(self, older_than_ms: int) -> None:
        """Delete expired tokens, and sessions that ended long ago."""

        async def delete(connection: Connection) -> None:
            # Replaced tokens stay while their session lives: they tell a theft.
            await connection.execute(
                "DELETE FROM sessions WHERE least(ended_at_ms, expires_at_ms) < now_ms() - $1", older_than_ms
            )
            await connection.execute(
                "DELETE FROM session_tokens WHERE kind = 'access' AND expires_at_ms < now_ms() - $1", older_than_ms
            )

        await self._database.repeat(delete)


def to_token(facts: dict[str, object]) -> RenewalToken:
    """Read what the engine decides by."""
    return msgspec.convert({name: facts[name] for name in RenewalToken.__struct_fields__}, RenewalToken)


async def _add_tokens(
    connection: Connection, session: SessionId, hashes: TokenHashes, session_expires: Instant, now: Instant
) -> None:
    access_ends, refresh_ends = token_ends(session_expires, now)
    # A repeated exchange brings the same pair again.
    await connection.execute(
        "INSERT INTO session_tokens (hash, session_id, kind, expires_at_ms) "
        "VALUES ($1, $3, 'access', $4), ($2, $3, 'refresh', $5) ON CONFLICT (hash) DO NOTHING",
        hashes.access,
        hashes.refresh,
        session,
        access_ends,
        refresh_ends,
    )
