"""The log of every action of every bot, in words for its owner; derived from the journal and written with it."""

from collections.abc import Sequence
from typing import Any

import msgspec

from engine.ids import BotId, Instant
from storage.database import Connection, Database, transpose
from storage.paging import BY_PLACE, Page, read_page
from storage.rows import columns


class ActionRow(msgspec.Struct, frozen=True):
    """One line of a bot's log. `ordinal` counts the lines that one journal entry caused."""

    seq: int
    ordinal: int
    at_ms: Instant
    kind: str
    level: int | None
    text: str
    details: dict[str, Any] = {}


_COLUMNS = columns(ActionRow)


async def write(connection: Connection, bot: BotId, rows: Sequence[ActionRow]) -> None:
    """Write lines in the journal's transaction; a line that is already there stays as it is."""
    if not rows:
        return
    await connection.execute(
        f"""
        INSERT INTO bot_actions (bot, {_COLUMNS})
        SELECT $1, * FROM unnest($2::bigint[], $3::int[], $4::bigint[], $5::text[], $6::int[], $7::text[],
                                 $8::jsonb[])
        ON CONFLICT (bot, seq, ordinal) DO NOTHING
        """,
        bot,
        *transpose(rows),
    )


class Actions:
    """The table of actions."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def page(
        self,
        bot: BotId,
        *,
        level: int | None = None,
        cursor: str | None = None,
        limit: int = 50,
    ) -> Page[ActionRow]:
        """List a bot's log, newest first, of one level or of all."""
        select = f"SELECT {_COLUMNS} FROM bot_actions"
        asked = {"bot = {}": bot, "level = {}": level}
        return await read_page(self._database, select, asked, BY_PLACE, ActionRow, cursor, limit)
