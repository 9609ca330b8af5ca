"""Everything about accounts that the routes work with, put together once."""

import asyncio
import logging

from api.access.context import Seals, Site
from api.access.enrolment import Enrolment
from api.access.letters import MAIL_TOPIC, SECRET_FIELDS
from api.access.passwords import Passwords
from api.access.self_service import SelfService
from api.access.sign_in import SignIn
from engine.access.one_time import HOUR_MS, LIFE_MS
from engine.errors import OutcomeUnknown, Retryable
from storage.audit import Audit
from storage.credentials import Credentials
from storage.database import Database
from storage.invites import Invites
from storage.outbox import Outbox
from storage.sessions import Sessions
from storage.users import Users

log = logging.getLogger(__name__)

TIDY_EVERY_S = 3_600.0
KEEP_LETTERS_MS = max(LIFE_MS.values()) + HOUR_MS
"""Until no link in them opens anything."""
KEEP_ENDED_SESSIONS_MS = 30 * 24 * HOUR_MS


class People:
    """One per API server."""

    def __init__(self, database: Database, seals: Seals, site: Site) -> None:
        passwords = Passwords()
        self.site = site
        self.users = Users(database)
        self.credentials = Credentials(database)
        self.sessions = Sessions(database)
        self.invites = Invites(database)
        self.outbox = Outbox(database)
        self.audit = Audit(database)
        self.sign_in = SignIn(database, passwords, seals)
        self.enrolment = Enrolment(database, passwords, self.sign_in, site)
        self.own = SelfService(database, passwords, self.sign_in, seals, site)

    async def keep_tidy(self) -> None:
        """Forget what has run out, every hour until cancelled: ended sessions, and links in letters."""
        while True:
            try:
                await self.tidy()
            except (Retryable, OutcomeUnknown) as error:
                log.warning("people.not_tidied error=%s", error)
            await asyncio.sleep(TIDY_EVERY_S)

    async def tidy(self) -> None:
        """Forget what has run out."""
        await self.sessions.forget_old(KEEP_ENDED_SESSIONS_MS)
        await self.outbox.outdate(MAIL_TOPIC, SECRET_FIELDS, KEEP_LETTERS_MS)
