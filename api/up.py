"""`trellis up`: everything in the right order, and back again.

It decides the order, says each step with its seconds, and leaves no process behind, whichever way it ends. What
the parts do is theirs. The heavy imports happen inside the steps, so that the first word comes at once.
"""

import asyncio
import logging
import os
import shutil
import signal
import socket
import sys
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import AsyncExitStack, asynccontextmanager, contextmanager, suppress
from importlib.metadata import version
from logging.handlers import RotatingFileHandler
from pathlib import Path
from typing import TYPE_CHECKING

import psutil  # type: ignore[import-untyped]  # it ships no types
from rich.console import Console
from rich.markup import escape

from actors import redaction
from actors.cluster import Cluster
from actors.home import Home
from actors.settings import Club, Settings
from api.listening import listen_on

if TYPE_CHECKING:
    from actors.wiring import Engine
    from api.services import Services
    from engine.grid.config import GridConfig

log = logging.getLogger(__name__)

STOP_LIMIT_S = 60.0
LOG_BYTES_MAX = 8 * 2**20


async def run(settings: Settings, console: Console) -> bool:
    """Start everything, wait for Ctrl-C or SIGTERM, stop everything. Raises what made a start fail.

    True: Ray's client is stuck, so the process must end without waiting for it.
    """
    signals = _Signals(console)
    signals.take()
    stop = signals.stop
    starter = Starter(settings, console, signals)
    try:
        async with AsyncExitStack() as stack:
            starting = asyncio.create_task(starter.start(stack))
            await _first_of(starting, stop)
            if starting.done():
                await starting
                await stop.wait()
            else:
                starting.cancel()
                with suppress(asyncio.CancelledError):
                    await starting
            console.print("\nStopping; nothing is lost. Orders stay at the venue, the next start continues.")
        return starter.cluster.client_is_stuck
    finally:
        _sweep()
        logging.shutdown()


class Starter:
    """Starts the parts in order; each leaves on the stack how to stop it."""

    def __init__(self, settings: Settings, console: Console, signals: "_Signals") -> None:
        self._settings = settings
        self._signals = signals
        self._home = Home(settings.home)
        self.cluster = Cluster(settings)
        self._console = console
        self._began = time.perf_counter()

    async def start(self, stack: AsyncExitStack) -> None:
        """Start everything and print what to type next."""
        settings, home = self._settings, self._home
        home.claim()
        stack.callback(home.release)
        _log_to(home.log, settings.log_level)
        listening, address = listen_on(settings.api_host, settings.api_port)
        stack.callback(listening.close)
        dsn = await self._database(stack)
        with self._step("Ray, 6 to 10 seconds" if not settings.ray_address else f"Ray at {settings.ray_address}"):
            await self._ray(stack)
        parts = "Paper venue, bots and club" if self._settings.club is not Club.OFF else "Paper venue and bots"
        with self._step(parts):
            engine = await self._engine(stack, dsn)
        with self._step("API"):
            services = await self._api(stack, engine, listening, address)
        self._home.announce(address)
        suggestion = await self._demo(engine)
        await self._greet(engine, address, suggestion)
        await self._offer_set_up(services)

    # ------------------------------------------------------------------ the parts

    async def _database(self, stack: AsyncExitStack) -> str:
        from storage.database import Database
        from storage.embedded import EmbeddedPostgres
        from storage.migrate import migrate

        if self._settings.database_url is not None:
            dsn = self._settings.database_url.value
        else:
            with self._step("PostgreSQL, embedded"):
                server = EmbeddedPostgres(self._home.postgres)
                stack.push_async_callback(self._stopping, "PostgreSQL", server.stop)
                dsn = await server.start()
                await stack.enter_async_context(_running(server.keep_running()))
        with self._step("Database schema") as say:
            async with Database(dsn, pool_size=1, name="trellis migrate") as database:
                applied = await migrate(database)
            say(f"{len(applied)} migrations applied" if applied else "up to date")
        return dsn

    async def _ray(self, stack: AsyncExitStack) -> None:
        stack.push_async_callback(self._stopping, "Ray", self.cluster.stop)
        await self.cluster.start()
        self._signals.take()  # Ray has put handlers of its own in their place.

    async def _engine(self, stack: AsyncExitStack, dsn: str) -> "Engine":
        from actors.wiring import start_engine

        engine = await start_engine(self._settings, dsn)
        stack.push_async_callback(self._stopping, "Bots and paper venue", engine.stop)
        return engine

    async def _api(
        self, stack: AsyncExitStack, engine: "Engine", listening: socket.socket, address: str
    ) -> "Services":
        from actors.clock import now_ms
        from actors.sealing import Seals
        from api.access.context import Registration, Site
        from api.app import ApiServer
        from api.services import Programme, assemble

        settings = self._settings
        programme = Programme(
            version=version("trellis"),
            environment=settings.bybit_environment.value,
            feed=engine.feed_name,
            placement=str(settings.placement),
            address=address,
            started_ms=now_ms(),
        )
        token = settings.api_token.value if settings.api_token else self._home.token("api")
        hosts = (*settings.api_allowed_hosts, settings.api_host)
        site = Site(
            public_url=settings.public_url or address,
            registration=Registration(settings.registration),
            sends_mail=settings.smtp_url is not None,
        )
        services = assemble(
            engine.desk,
            engine.database,
            programme,
            token=token,
            hosts=hosts,
            seals=Seals(engine.plan),
            site=site,
            proxies=settings.trusted_proxies,
            club=engine.club,
        )
        server = ApiServer(services)
        stack.push_async_callback(server.stop)
        await server.start(listening)
        await self._mail(stack, engine)
        return services

    async def _mail(self, stack: AsyncExitStack, engine: "Engine") -> None:
        if self._settings.smtp_url is None:
            return
        from actors.mailer import Mailer
        from api.access.letters import MAIL_TOPIC, SECRET_FIELDS

        mailer = Mailer(engine.database, self._settings.smtp_url.value, MAIL_TOPIC, SECRET_FIELDS)
        await stack.enter_async_context(_running(mailer.run()))

    async def _demo(self, engine: "Engine") -> "GridConfig | None":
        """Make the demo bot at the first start; give a grid that fits the market, for the greeting."""
        from api.demo import create_first, suggest
        from storage.accounts import Environment

        try:
            suggestion = await suggest(engine)
            if self._settings.bybit_environment is Environment.PAPER:
                with self._step("Demo bot") as say:
                    made = await create_first(engine, suggestion.config)
                    say(f"{made.id} trades {made.config.symbol}" if made else "not needed: there are bots")
        except Exception as error:
            # Everything else runs: a missing demo is no reason to stop it.
            log.exception("up.no_demo")
            self._console.print(f"[yellow]![/] No demo bot: {escape(str(error) or repr(error))}")
            return None
        return suggestion.config

    async def _greet(self, engine: "Engine", address: str, suggestion: "GridConfig | None") -> None:
        took_s = time.perf_counter() - self._began
        say = self._console.print
        views = await engine.desk.views()
        money = (
            "[bold yellow]PAPER MONEY[/]"
            if self._settings.bybit_environment == "paper"
            else (f"[bold red]{self._settings.bybit_environment.value.upper()}[/]")
        )
        say(f"\n[bold green]Trellis is ready[/] after {took_s:.1f} s\n")
        say(f"  Open    [bold]{address}[/]  (for programs: the token in {_short(self._home.path / 'api.token')})")
        say(f"  Prices  {escape(engine.feed_name)}, {money}")
        if engine.plan.paper_port:
            say(f"  Venue   http://127.0.0.1:{engine.plan.paper_port}  (speaks Bybit V5: pybit and ccxt work)")
        wanted = [view for view in views if view.desired == "running"]
        say(f"  Bots    {len(wanted)} of {len(views)} wanted running")
        if engine.club is not None:
            what = "a demo on a TRON of its own" if engine.club.demo else "on TRON"
            say(f"  Club    {what}; see `trellis club status`")
        say("")
        program = _program()
        say("  Type next, in another terminal:")
        if views:
            say(f"    {program} bots watch {(wanted or views)[0].id}")
        if suggestion is not None:
            grid = f"--lower {suggestion.lower:f} --upper {suggestion.upper:f} --grids 20 --amount 2000"
            say(f"    {program} bots create {suggestion.symbol} {grid}", soft_wrap=True)
        say(f"    {program} status")

    async def _offer_set_up(self, services: "Services") -> None:
        """Print the word with which the first operator makes their account; a new one at each start until then."""
        token = await services.people.enrolment.offer_set_up()
        if token is not None:
            url = f"{services.people.site.public_url.rstrip('/')}/setup?token={token}"
            self._console.print("\n  [bold]Your account[/]  open this link within 24 hours; it works once:")
            self._console.print(f"    {escape(url)}", soft_wrap=True)
        self._console.print("\n  Ctrl-C stops everything and loses nothing.")

    # ------------------------------------------------------------------ words

    @contextmanager
    def _step(self, title: str) -> Iterator[Callable[[str], None]]:
        """Show that a step is under way, then how long it took and what came of it."""
        words: list[str] = []
        started = time.perf_counter()
        with self._console.status(f"{title} …"):
            yield words.append
        outcome = f"  [dim]{escape(words[-1])}[/]" if words else ""
        took = f"{time.perf_counter() - started:5.1f} s"
        self._console.print(f"[green]✓[/] {title.split(',')[0]:<34}{took}{outcome}")

    async def _stopping(self, what: str, stop: Callable[[], Awaitable[None]]) -> None:
        started = time.perf_counter()
        try:
            with self._console.status(f"Stopping {what} …"):
                async with asyncio.timeout(STOP_LIMIT_S):
                    await stop()
        except Exception as error:
            # The other parts must be stopped all the same; what is left of this one is ended by the sweep.
            log.exception("up.stop_failed what=%s", what)
            self._console.print(f"[yellow]![/] {what} did not stop cleanly: {escape(str(error) or repr(error))}")
            return
        self._console.print(f"[green]✓[/] {what + ' stopped':<34}{time.perf_counter() - started:5.1f} s")


def _program() -> str:
    """Say how this program is called from here."""
    called = Path(sys.argv[0])
    if shutil.which("trellis") == str(called) or not called.is_absolute():
        return "trellis" if shutil.which("trellis") else str(called)
    with suppress(ValueError):
        return str(called.relative_to(Path.cwd()))
    return str(called)


def _short(path: Path) -> str:
    with suppress(ValueError):
        return f"~/{path.relative_to(Path.home())}"
    return str(path)


def _log_to(file: Path, level: str) -> None:
    """Send the log to a file: the terminal is for the operator's next step."""
    handler = RotatingFileHandler(file, maxBytes=LOG_BYTES_MAX, backupCount=3)
    handler.setFormatter(redaction.formatter())
    root = logging.getLogger()
    root.handlers = [handler]
    root.setLevel(level.upper())


# ---------------------------------------------------------------------- signals and processes


class _Signals:
    """Ctrl-C, SIGTERM and a closed terminal: the first stops in order, the third does not wait for anything."""

    def __init__(self, console: Console) -> None:
        self.stop = asyncio.Event()
        self._console = console
        self._count = 0

    def take(self) -> None:
        """Put our handlers in place."""
        for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
            asyncio.get_running_loop().add_signal_handler(number, self._on_signal)

    def _on_signal(self) -> None:
        self._count += 1
        self.stop.set()
        if self._count == 2:
            self._console.print("Still stopping; once more ends every process at once.")
        if self._count > 2:
            _sweep()
            os._exit(130)


async def _first_of(task: "asyncio.Task[None]", stop: asyncio.Event) -> None:
    waiting = asyncio.create_task(stop.wait())
    try:
        await asyncio.wait({task, waiting}, return_when=asyncio.FIRST_COMPLETED)
    finally:
        waiting.cancel()


@asynccontextmanager
async def _running(work: Awaitable[None]) -> AsyncIterator[None]:
    """Keep a task beside us, and end it with us."""
    task = asyncio.ensure_future(work)
    try:
        yield
    finally:
        task.cancel()
        with suppress(asyncio.CancelledError):
            await task


def _sweep() -> None:
    """End whatever is still a child of ours: an operator who pressed Ctrl-C expects an empty process list."""
    left = psutil.Process().children(recursive=True)
    for process in left:
        log.warning("up.left_behind pid=%s", process.pid)
        with suppress(psutil.NoSuchProcess):
            process.kill()
    psutil.wait_procs(left, timeout=5)
