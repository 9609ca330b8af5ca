"""Deeplink tickets as rows: issued with a word that is told once, used up by one statement.

Both are called in the transaction of what they belong to: a ticket is used when what it opens is committed.
"""

from collections.abc import Callable

from engine.access import deeplinks as rules
from engine.access.deeplinks import NewTicket, Ticket
from engine.errors import Refusal
from engine.ids import Instant, TelegramId
from storage.database import Connection
from storage.rows import columns, to_row

KEPT_MS = 24 * 3_600_000
"""How long a ticket is remembered after its end, so that whoever comes late hears why it opens nothing."""
_TICKET = columns(Ticket)


async def issue(connection: Connection, new: NewTicket, draw: Callable[[], str], now: Instant) -> str:
    """Write a ticket and give its word, which nobody can ask for again; `draw` gives random words.

    ValueError for a word or a life that no ticket has. Issued twice, there are two tickets.
    """
    word = draw()
    rules.check_word(word)
    await connection.execute("DELETE FROM deeplink_ticket WHERE expires_at_ms < $1", now - KEPT_MS)
    await connection.execute(
        "INSERT INTO deeplink_ticket (company_id, tg_id, bot, action, token, created_at_ms, expires_at_ms) "
        "VALUES ($1, $2, $3, $4, $5, $6, $7)",
        new.company_id,
        new.tg_id,
        new.bot,
        new.action,
        rules.token_of(word),
        now,
        rules.expires_at(new, now),
    )
    return word


async def redeem(connection: Connection, word: str, tg_id: TelegramId, bot: str, now: Instant) -> Ticket | Refusal:
    """Use a ticket up and give it. Of several at the same moment one gets it; a stranger does not use it up.

    Refused: `unknown_ticket` (to another bot too), `not_yours`, `used`, `expired`.
    """
    token = rules.token_of(word)
    record = await connection.fetchrow(
        "UPDATE deeplink_ticket SET used_at_ms = $4 "
        "WHERE token = $1 AND tg_id = $2 AND bot = $3 AND used_at_ms IS NULL AND expires_at_ms > $4 "
        f"RETURNING {_TICKET}",
        token,
        tg_id,
        bot,
        now,
    )
    if record is not None:
        return to_row(record, Ticket)
    record = await connection.fetchrow(
        f"SELECT {_TICKET} FROM deeplink_ticket WHERE token = $1 AND bot = $2", token, bot
    )
    refused = rules.refuse(None if record is None else to_row(record, Ticket), tg_id, now)
    # What the statement left alone, the rule refuses: they ask the same questions.
    assert refused is not None
    return refused
