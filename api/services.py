"""What the handlers work with: the desk for commands and live views, the database for history, the live stream."""

import msgspec

from actors.desk import BotDesk
from api.live import LiveStream
from api.metrics import Meters
from engine.ids import Instant
from storage.actions import Actions
from storage.bots import Bots
from storage.database import Database
from storage.executions import Executions
from storage.metrics import Metrics
from storage.orders import Orders

OPERATOR_AT_API = "operator:api"
"""Who the audit names until accounts exist."""


class Programme(msgspec.Struct, frozen=True):
    """What every screen says about the running program."""

    version: str
    environment: str
    feed: str
    placement: str
    address: str
    started_ms: Instant


class Services:
    """One per API server."""

    def __init__(self, desk: BotDesk, database: Database, programme: Programme) -> None:
        self.desk = desk
        self.database = database
        self.programme = programme
        self.orders = Orders(database)
        self.executions = Executions(database)
        self.actions = Actions(database)
        self.metrics = Metrics(database)
        self.bots = Bots(database)
        self.stream = LiveStream(desk, database)
        self.meters = Meters()
        self.openapi = b""
