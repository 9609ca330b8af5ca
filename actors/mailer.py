"""Takes letters from the outbox to the mail server, as often as it takes, and forgets what they said once sent.

It decides nothing about words or people. Two that run at once share the work; a letter may arrive twice after a
crash between sending and noting it, and carries the same Message-ID then.
"""

import asyncio
import logging

from adapters.mail import smtp
from engine.errors import OutcomeUnknown, Rejected, Retryable, VenueError
from storage.database import Database
from storage.outbox import EventRow, Outbox

log = logging.getLogger(__name__)

LOOK_EVERY_S = 1.0
AT_ONCE = 10
CLAIM_MS = 120_000
"""Longer than a letter can take, or another relay would send it too."""


class Mailer:
    """Sends the letters of one topic until it is cancelled."""

    def __init__(self, database: Database, smtp_url: str, topic: str, forget: tuple[str, ...]) -> None:
        self._outbox = Outbox(database)
        self._server = smtp.read_address(smtp_url)
        self._topic = topic
        self._forget = forget

    async def run(self) -> None:
        """Send what is due, for ever; an outage of the database or of the mail server only delays."""
        while True:
            try:
                sent = await self.send_due()
            except (Retryable, OutcomeUnknown) as error:
                log.warning("mailer.waits error=%s", error)
                sent = 0
            if not sent:
                await asyncio.sleep(LOOK_EVERY_S)

    async def send_due(self) -> int:
        """Send the letters that are due now; give how many were looked at."""
        due = await self._outbox.claim(AT_ONCE, CLAIM_MS, self._topic)
        for event in due:
            await self._send(event)
        return len(due)

    async def _send(self, event: EventRow) -> None:
        letter = event.payload
        try:
            await smtp.send(self._server, letter["to"], letter["subject"], letter["text"], f"trellis-{event.id}")
        except Rejected as error:
            # Nobody can mend it by trying again; the words are kept for the operator, and so is the reason.
            log.warning("mailer.refused letter=%s error=%s", event.id, error)
            await self._outbox.give_up(event, str(error))
        except VenueError as error:
            log.warning("mailer.failed letter=%s attempt=%s error=%s", event.id, event.attempts, error)
            await self._outbox.failed(event, str(error))
        else:
            log.info("mailer.sent letter=%s", event.id)
            await self._outbox.published([event.id], self._forget)
