"""Invitations: who may register where registration is not open to everybody. Stored as hashes, shown once."""

import msgspec

from engine.ids import Instant, UserId
from storage import audit
from storage.database import Connection, Database
from storage.rows import columns, to_row, to_rows


class InviteRow(msgspec.Struct, frozen=True):
    """An invitation. `hint` is how its code begins, to recognise it by."""

    id: int
    hint: str
    note: str
    uses_left: int
    created_by: UserId
    created_at_ms: Instant
    expires_at_ms: Instant | None


_USABLE = "uses_left > 0 AND (expires_at_ms IS NULL OR expires_at_ms > now_ms())"


async def use(connection: Connection, code_hash: bytes) -> bool:
    """Use an invitation once, in the transaction that adds the person; False if it is none, or used up."""
    done = await connection.execute(
        f"UPDATE invites SET uses_left = uses_left - 1 WHERE hash = $1 AND {_USABLE}", code_hash
    )
    return bool(done == "UPDATE 1")


class Invites:
    """The table of invitations."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def add(
        self, by: UserId, actor: str, code_hash: bytes, hint: str, note: str, uses: int, expires: Instant | None
    ) -> InviteRow:
        """Write an invitation with its audit entry."""

        async def insert(connection: Connection) -> InviteRow:
            record = await connection.fetchrow(
                "INSERT INTO invites (hash, hint, note, uses_left, created_by, expires_at_ms) "
                f"VALUES ($1, $2, $3, $4, $5, $6) ON CONFLICT (hash) DO UPDATE SET note = $3 "
                f"RETURNING {columns(InviteRow)}",
                code_hash,
                hint,
                note,
                uses,
                by,
                expires,
            )
            assert record is not None
            row = to_row(record, InviteRow)
            entry = audit.NewEntry(actor, "invite.create", f"invite:{row.id}", after={"note": note, "uses": uses})
            await audit.append(connection, [entry])
            return row

        return await self._database.repeat(insert)

    async def all(self) -> list[InviteRow]:
        """List the invitations, newest first."""
        records = await self._database.rows(f"SELECT {columns(InviteRow)} FROM invites ORDER BY id DESC LIMIT 500")
        return to_rows(records, InviteRow)

    async def is_usable(self, code_hash: bytes) -> bool:
        """Tell whether somebody could register with a code now."""
        record = await self._database.row(
            f"SELECT EXISTS (SELECT FROM invites WHERE hash = $1 AND {_USABLE}) AS is_so", code_hash
        )
        assert record is not None
        return bool(record["is_so"])
