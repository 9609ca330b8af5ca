"""The live stream: what changed, as it is committed, to every screen that listens (Server-Sent Events).

The database's wake-ups say which bot changed; one reader looks and puts events on a ring that all screens share.
A screen that comes back names the last event it has; when the ring no longer reaches back, or the program was
restarted, it is told `reset` and gets every bot anew. Nothing is promised beyond that: history has its own lists.
"""

import asyncio
import logging
import secrets
import time
from collections import Counter, deque
from collections.abc import AsyncGenerator, Awaitable, Callable
from contextlib import aclosing
from typing import Any

import msgspec

from actors.desk import BotDesk
from actors.views import UnknownBot
from api.problems import ApiProblem, Kind
from api.resources import to_bot
from engine.errors import OutcomeUnknown, Retryable
from engine.ids import BotId, UserId
from storage.actions import ActionRow, Actions
from storage.database import Database
from storage.events import EVERYTHING, listen
from storage.executions import ExecutionRow, Executions

log = logging.getLogger(__name__)

RING_EVENTS = 5_000
LISTENERS_MAX = 500
LISTENERS_OF_ONE_MAX = 20
GATHER_S = 0.02
"""Wake-ups within this time become one look. Short, because a fill waits for it; the journal has gathered for
its commit already, so a busy bot wakes us no more than some fifteen times a second."""
DESCRIBE_S = 0.5
"""A bot as a whole is told this often at most: asking its process costs more than reading the rows of a fill."""
HEARTBEAT_S = 15.0
LINGER_S = 120.0
"""For so long after the last screen left we go on looking, so that a dropped connection can be resumed."""
PAGE_ROWS = 100
PAGES_MAX = 10


class ExecutionSeen(msgspec.Struct, frozen=True):
    """An execution of a bot."""

    bot: BotId
    execution: ExecutionRow


class ActionTaken(msgspec.Struct, frozen=True):
    """A line of a bot's log."""

    bot: BotId
    action: ActionRow


class _Event(msgspec.Struct, frozen=True):
    number: int
    bot: BotId
    text: bytes


class Screen(msgspec.Struct, frozen=True):
    """Who listens: which bots exist for them, and whether they still may."""

    who: str
    owner: UserId | None
    """Whose bots they begin with; None: everybody's."""
    sees: Callable[[BotId], Awaitable[bool]]
    goes_on: Callable[[], Awaitable[bool]]


class LiveStream:
    """One per API server: `run` looks, `events` gives each screen its own walk along the ring."""

    def __init__(self, desk: BotDesk, database: Database) -> None:
        self._desk = desk
        self._database = database
        self._actions = Actions(database)
        self._executions = Executions(database)
        self._era = secrets.token_hex(4)
        self._ring: deque[_Event] = deque(maxlen=RING_EVENTS)
        self._last = 0
        self._news = asyncio.Event()
        self._listeners: Counter[str] = Counter()
        self._checks = 0
        self._left_at = -LINGER_S
        self._following = False
        self._dirty: dict[str, None] = {}
        self._woken = asyncio.Event()
        self._undescribed: dict[BotId, None] = {}
        self._seen_actions: dict[BotId, int] = {}
        self._seen_executions: dict[BotId, int] = {}
        self._closed = False

    # ------------------------------------------------------------------ one screen

    async def events(self, screen: Screen, bot: BotId | None, last_id: str | None) -> AsyncGenerator[bytes, None]:
        """Yield the text of the stream from where the screen left off, until it may not listen any more.

        What must be refused is refused before the first piece.
        """
        most = LISTENERS_OF_ONE_MAX if self._listeners[screen.who] >= LISTENERS_OF_ONE_MAX else LISTENERS_MAX
        if self._listeners[screen.who] >= most or self._listeners.total() >= most:
            raise ApiProblem(Kind.UNAVAILABLE, f"{most} screens are listening already")
        self._listeners[screen.who] += 1
        try:
            if bot is not None:
                await self._desk.view(bot)
            await self._follow()
            yield b"retry: 2000\n\n"
            at = self._resume_at(last_id)
            checks = self._checks
            while not self._closed:
                if checks != self._checks:
                    checks = self._checks
                    if not await screen.goes_on():
                        return
                if at is None or (self._ring and at + 1 < self._ring[0].number):
                    # What was missed is gone: start again from the state as it is now.
                    at = self._last
                    for text in await self._snapshot(screen, bot, at):
                        yield text
                news = self._news
                for event in self._after(at):
                    at = event.number
                    if event.bot == bot or (bot is None and await screen.sees(event.bot)):
                        yield event.text
                if at < self._last or self._closed:
                    continue
                try:
                    await asyncio.wait_for(news.wait(), HEARTBEAT_S)
                except TimeoutError:
                    checks = -1  # However a session ended, its stream ends soon after.
                    yield b": alive\n\n"
        finally:
            self._listeners[screen.who] -= 1
            self._left_at = time.monotonic()

    def recheck(self) -> None:
        """Ask each screen at once whether it still may listen: a session has ended."""
        self._checks += 1
        self._wake()

    def close(self) -> None:
        """End every screen's stream."""
        self._closed = True
        self._news.set()

    def _resume_at(self, last_id: str | None) -> int | None:
        era, _, number = (last_id or "").partition("-")
        if era != self._era or not number.isascii() or not number.isdigit() or int(number) > self._last:
            return None
        return int(number)

    def _after(self, number: int) -> list[_Event]:
        first = self._ring[0].number if self._ring else 0
        return list(self._ring)[max(0, number + 1 - first) :]

    async def _snapshot(self, screen: Screen, bot: BotId | None, at: int) -> list[bytes]:
        views = await self._desk.views(screen.owner) if bot is None else [await self._desk.view(bot)]
        texts = [_text(f"{self._era}-{at}", "reset", {})]
        return texts + [_text(f"{self._era}-{at}", "bot", to_bot(view)) for view in views]

    # ------------------------------------------------------------------ the reader

    async def run(self) -> None:
        """Look at whatever the database says has changed, until cancelled."""
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(self._gather(), name="stream wake-ups")
            tasks.create_task(self._look(), name="stream reader")
            tasks.create_task(self._describe(), name="stream describer")

    async def _gather(self) -> None:
        async with aclosing(listen(self._database)) as wake_ups:
            async for bot in wake_ups:
                self._dirty[bot] = None
                self._woken.set()

    async def _look(self) -> None:
        """Tell the new rows of the bots that changed: a fill is on its way to the screens before anything else."""
        while True:
            await self._woken.wait()
            await asyncio.sleep(GATHER_S)
            self._woken.clear()
            if not self._is_followed():
                continue  # What is dirty waits for the first screen.
            dirty, self._dirty = self._dirty, {}
            try:
                if EVERYTHING in dirty:
                    dirty = {view.id: None for view in await self._desk.views()}
                told = await asyncio.gather(
                    *(self._tell_rows(BotId(bot)) for bot in dirty), return_exceptions=True
                )
                for failure in filter(None, told):
                    raise failure
                self._undescribed |= {BotId(bot): None for bot in dirty}
            except (Retryable, OutcomeUnknown, TimeoutError) as error:
                log.warning("stream.look_failed error=%s", error)
                # Rows that were told are not told again: each bot's are counted.
                self._dirty = dirty | self._dirty
                await asyncio.sleep(1.0)
                self._woken.set()

    async def _describe(self) -> None:
        """Tell how the bots that changed are as a whole, a little after their rows."""
        while True:
            await asyncio.sleep(DESCRIBE_S)
            waiting, self._undescribed = self._undescribed, {}
            try:
                for bot in list(waiting):
                    await self._tell_view(bot)
                    del waiting[bot]
            except (Retryable, OutcomeUnknown, TimeoutError) as error:
                log.warning("stream.describe_failed error=%s", error)
                self._undescribed = waiting | self._undescribed

    def _is_followed(self) -> bool:
        if not self._listeners.total() and time.monotonic() - self._left_at > LINGER_S:
            self._following = False
        return self._following

    async def _follow(self) -> None:
        """Begin where each bot's log is now; a bot that comes later is told from its first line."""
        if self._following:
            return
        for view in await self._desk.views():
            actions = await self._actions.page(view.id, limit=1)
            self._seen_actions[view.id] = max((row.seq for row in actions.items), default=0)
            # Executions are listed by the venue's time: the newest need not have come last.
            executions = await self._executions.page(view.id, limit=PAGE_ROWS)
            self._seen_executions[view.id] = max((row.seq for row in executions.items), default=0)
        self._following = True
        self._woken.set()

    async def _tell_rows(self, bot: BotId) -> None:
        for execution in reversed(await self._new_rows(self._executions, self._seen_executions, bot)):
            self._publish(bot, "execution", ExecutionSeen(bot, execution))
        for action in reversed(await self._new_rows(self._actions, self._seen_actions, bot)):
            self._publish(bot, "action", ActionTaken(bot, action))

    async def _tell_view(self, bot: BotId) -> None:
        try:
            self._publish(bot, "bot", to_bot(await self._desk.view(bot)))
        except UnknownBot:
            log.warning("stream.unknown_bot bot=%s", bot)

    async def _new_rows(self, table: Any, seen: dict[BotId, int], bot: BotId) -> list[Any]:
        rows: list[Any] = []
        cursor = None
        for _ in range(PAGES_MAX):
            page = await table.page(bot, cursor=cursor, limit=PAGE_ROWS)
            new = [row for row in page.items if row.seq > seen.get(bot, 0)]
            rows += new
            cursor = page.next_cursor
            if not new or cursor is None:
                break
        seen[bot] = max((row.seq for row in rows), default=seen.get(bot, 0))
        return rows

    def _publish(self, bot: BotId, kind: str, data: Any) -> None:
        self._last += 1
        self._ring.append(_Event(self._last, bot, _text(f"{self._era}-{self._last}", kind, data)))
        self._wake()

    def _wake(self) -> None:
        news, self._news = self._news, asyncio.Event()
        news.set()


def _text(event_id: str, kind: str, data: Any) -> bytes:
    # JSON holds no line breaks, so one `data:` line is enough.
    return f"id: {event_id}\nevent: {kind}\ndata: ".encode() + msgspec.json.encode(data) + b"\n\n"
