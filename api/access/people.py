"""Everything about accounts that the routes work with, put together once."""

from api.access.context import Seals, Site
from api.access.enrolment import Enrolment
from api.access.passwords import Passwords
from api.access.self_service import SelfService
from api.access.sign_in import SignIn
from storage.audit import Audit
from storage.credentials import Credentials
from storage.database import Database
from storage.invites import Invites
from storage.outbox import Outbox
from storage.sessions import Sessions
from storage.users import Users


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
