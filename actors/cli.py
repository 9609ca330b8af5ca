"""Commands that need no running program: migrate a database, record a market, keep exchange keys.

Each imports what it needs when it runs, so that `trellis --help` answers at once.
"""

import asyncio
import os
import re
import time
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, NoReturn

import click

if TYPE_CHECKING:
    from actors.settings import Settings, SettingsError
    from adapters.secrets.envelope import KekFile
    from adapters.secrets.keys import ApiKey
    from engine.ids import AccountId
    from engine.ports import KeyPermissions
    from engine.trading.instrument import Instrument

FAILED = 1
BAD_SETTINGS = 2

PROGRAM_EPILOG = "Settings come from the environment and `.env`; see `.env.example`."


def fail(message: str, code: int = FAILED) -> NoReturn:
    """End with a message on standard error."""
    click.secho(message, fg="red", err=True)
    raise SystemExit(code)


def read_environment() -> dict[str, str]:
    """Read the environment and `.env`, or end with the line that is wrong."""
    from actors.dotenv import DotenvError, merged_environment

    try:
        return merged_environment(os.environ, Path(".env"))
    except DotenvError as error:
        fail(str(error), BAD_SETTINGS)


def read_settings() -> "Settings":
    """Read and check the settings, or end with everything that is wrong with them."""
    from actors.settings import SettingsError, load

    try:
        return load(read_environment())
    except SettingsError as error:
        _fail_with(error)


def read_keys(settings: "Settings") -> "dict[AccountId, ApiKey]":
    """Read every account's key, or end with why the sealed file does not open."""
    from actors.settings import SettingsError, api_keys

    try:
        return api_keys(settings)
    except SettingsError as error:
        _fail_with(error)


def _fail_with(error: "SettingsError") -> NoReturn:
    lines = "\n".join(f"  {problem}" for problem in error.problems)
    fail(f"The settings do not hold:\n{lines}\nSee .env.example.", BAD_SETTINGS)


# ---------------------------------------------------------------------- migrate


@click.command(
    epilog="""\b
    Examples:
      trellis migrate
      DATABASE_URL=postgresql://me@db.example/trellis trellis migrate
    """
)
def migrate() -> None:
    """Bring the database to the shape that this version needs. `trellis up` does it by itself."""
    settings = read_settings()
    asyncio.run(_migrate(settings))


async def _migrate(settings: "Settings") -> None:
    from actors.home import AlreadyRunning, Home, UnusableHome
    from engine.errors import VenueError
    from storage.database import DatabaseRefused
    from storage.embedded import EmbeddedPostgres, EmbeddedPostgresError
    from storage.migrate import MigrationRefused

    home = Home(settings.home)
    try:
        if settings.database_url is not None:
            await _apply(settings.database_url.value)
            return
        home.claim()
        try:
            async with EmbeddedPostgres(home.postgres) as server:
                await _apply(server.dsn)
        finally:
            home.release()
    except AlreadyRunning:
        click.echo("Trellis is running, and migrated this database when it started.")
    except (DatabaseRefused, EmbeddedPostgresError, MigrationRefused, UnusableHome, VenueError) as error:
        fail(str(error))


async def _apply(dsn: str) -> None:
    from storage.database import Database
    from storage.migrate import migrate as apply_missing

    async with Database(dsn, pool_size=1, name="trellis migrate") as database:
        applied = await apply_missing(database)
    for step in applied:
        click.echo(f"applied {step.version:04} {step.word}")
    if not applied:
        click.echo("The database is up to date.")


# ---------------------------------------------------------------------- record


@click.command(
    epilog="""\b
    Examples:
      trellis record BTCUSDT
      trellis record BTCUSDT ETHUSDT --market spot --seconds 3600
      TRELLIS_FEED=replay:$HOME/.local/state/trellis/recordings@10 trellis up
    """
)
@click.argument("symbols", nargs=-1, required=True)
@click.option("--market", type=click.Choice(["spot", "linear", "both"]), default="both", show_default=True)
@click.option(
    "--folder", type=click.Path(file_okay=False, path_type=Path), help="Default: recordings in the home."
)
@click.option("--seconds", type=click.FloatRange(min=0, min_open=True), help="Default: until Ctrl-C.")
@click.option(
    "--venue",
    "address",
    callback=lambda _context, _parameter, text: _venue_address(text),
    help="Another V5 venue than Bybit, for example http://127.0.0.1:8123.",
)
def record(
    symbols: tuple[str, ...], market: str, folder: Path | None, seconds: float | None, address: str | None
) -> None:
    """Record Bybit's public trades and book, for replays."""
    from actors.home import Home

    instruments = _instruments(symbols, market)
    target = folder or Home.of(read_environment()).recordings
    try:
        counts = asyncio.run(_record(instruments, target, seconds, address))
    except KeyboardInterrupt:
        # Every second is on file already.
        click.echo(f"\nStopped. The recordings are in {target}.")
        return
    except (OSError, ValueError) as error:
        fail(str(error))
    if not any(counts.values()):
        for path in counts:
            path.unlink(missing_ok=True)
        fail(f"{address or 'Bybit'} told of no trade and no book in that time; nothing was recorded.")
    for path, count in counts.items():
        click.echo(f"{count:>10} events  {path}")


def _venue_address(text: str | None) -> str | None:
    if text is not None and not re.fullmatch(r"https?://[^\s/]+/?", text):
        raise click.BadParameter(f"{text!r} is not like http://127.0.0.1:8123")
    return text


def _instruments(symbols: tuple[str, ...], market: str) -> "list[Instrument]":
    from adapters.exchanges.paper.catalogue import LISTINGS, listings
    from engine.trading.instrument import Market

    wanted = listings([symbol.upper() for symbol in symbols], None if market == "both" else Market(market))
    found = {listing.instrument.symbol for listing in wanted}
    if missing := [symbol for symbol in symbols if symbol.upper() not in found]:
        known = sorted({listing.instrument.symbol for listing in LISTINGS})
        fail(f"{', '.join(missing)}: not in the catalogue. Known: {', '.join(known)}", BAD_SETTINGS)
    return [listing.instrument for listing in wanted]


async def _record(
    instruments: "list[Instrument]", folder: Path, seconds: float | None, address: str | None
) -> dict[Path, int]:
    from rich.console import Console

    from adapters.exchanges.bybit.hosts import LIVE, single_host
    from adapters.exchanges.paper.feeds.recording_session import record as record_stream

    console = Console(stderr=True)
    with console.status("connecting …") as status:

        def show(counts: dict[Path, int]) -> None:
            total = sum(counts.values())
            status.update(f"{total:,} events in {folder}" if total else "connected or connecting; no event yet …")

        return await record_stream(
            instruments,
            folder,
            lambda: time.time_ns() // 1_000_000,
            hosts=single_host(address) if address else LIVE,
            venue_name=address or "Bybit mainnet",
            duration_s=seconds,
            on_progress=show,
        )


# ---------------------------------------------------------------------- keys


@click.group()
def keys() -> None:
    """Seal exchange keys in a file, check what they may do."""


@keys.command(
    epilog="""\b
    Examples:
      trellis keys seal
      TRELLIS_KEY_MAIN=… TRELLIS_KEY_MAIN_SECRET=… trellis keys seal bybit.sealed
    """
)
@click.argument("file", type=click.Path(dir_okay=False, path_type=Path), required=False)
@click.option("--account", default="main", show_default=True, help="Whose key it is, when it is asked for.")
def seal(file: Path | None, account: str) -> None:
    """Seal the keys of the environment, or one that is asked for, under a passphrase.

    FILE is keys.sealed in the home folder unless given. It is replaced as a whole.
    """
    from actors.home import Home, UnusableHome
    from adapters.secrets import sealed

    environ = read_environment()
    home = Home.of(environ)
    if file is None:
        try:
            home.create()
        except UnusableHome as error:
            fail(str(error))
        file = home.path / "keys.sealed"
    elif not file.parent.is_dir():
        fail(f"{file.parent} is not a folder: make it first.", BAD_SETTINGS)
    found = _keys_to_seal(environ, account)
    phrase = environ.get("TRELLIS_SEALED_KEYS_PASSPHRASE") or click.prompt(
        "Passphrase (12 characters or more)", hide_input=True, confirmation_prompt=True
    )
    try:
        sealed.seal(file, found, phrase)
    except (ValueError, OSError) as error:
        fail(str(error))
    click.echo(f"Sealed the key of {', '.join(found)} in {file}. Now set:")
    click.echo(f"  TRELLIS_SEALED_KEYS={file.absolute()}")
    click.echo("  TRELLIS_SEALED_KEYS_PASSPHRASE_FILE=<a file of mode 600 with the passphrase>")


def _keys_to_seal(environ: dict[str, str], account: str) -> "dict[AccountId, ApiKey]":
    from adapters.secrets.keys import ApiKey, keys_from_environment
    from engine.ids import AccountId

    try:
        if found := keys_from_environment(environ):
            return found
    except ValueError as error:
        fail(str(error), BAD_SETTINGS)
    key = click.prompt(f"API key of {account}")
    secret = click.prompt("Its secret", hide_input=True)
    return {AccountId(account): ApiKey(key, secret)}


@keys.command(epilog="Examples:  trellis keys rewrap   (while Trellis is stopped)")
def rewrap() -> None:
    """Draw a new sealing key, and wrap under it what users' exchange keys in the database are sealed with.

    The file with the sealing keys is replaced: copy it anew to every node and to your backup.
    """
    from actors.home import AlreadyRunning, Home
    from adapters.secrets.envelope import KekFile
    from adapters.secrets.sealed import SealBroken
    from engine.errors import VenueError
    from storage.embedded import EmbeddedPostgresError

    settings = read_settings()
    home = Home(settings.home)
    keks = KekFile(settings.sealing_keys or home.sealing_keys)
    try:
        home.claim()
        try:
            count = asyncio.run(_rewrap(settings, keks))
        finally:
            home.release()
    except AlreadyRunning as error:
        fail(f"{error} Stop it first: it would go on sealing under the old key.")
    except (EmbeddedPostgresError, SealBroken, VenueError, OSError) as error:
        fail(str(error))
    click.echo(
        f"Wrapped {count} sealed values anew. The new sealing key is in {keks.path}: copy it to your backup."
    )


async def _rewrap(settings: "Settings", keks: "KekFile") -> int:
    from contextlib import AsyncExitStack

    from actors.home import Home
    from actors.rewrap import rewrap as wrap_all
    from storage.database import Database
    from storage.embedded import EmbeddedPostgres

    async with AsyncExitStack() as stack:
        if settings.database_url is not None:
            dsn = settings.database_url.value
        else:
            dsn = (await stack.enter_async_context(EmbeddedPostgres(Home(settings.home).postgres))).dsn
        return await wrap_all(
            await stack.enter_async_context(Database(dsn, pool_size=1, name="trellis keys")), keks
        )


@keys.command(epilog="Examples:  TRELLIS_BYBIT_ENVIRONMENT=testnet trellis keys check")
def check() -> None:
    """Ask Bybit what each key may do. A key that can withdraw is refused."""
    settings = read_settings()
    if settings.bybit_environment == "paper":
        fail("Paper trading needs no key. Set TRELLIS_BYBIT_ENVIRONMENT to demo, testnet or live.", BAD_SETTINGS)
    found = read_keys(settings)
    fine = [asyncio.run(_check(settings, account, key)) for account, key in found.items()]
    raise SystemExit(0 if all(fine) else FAILED)


async def _check(settings: "Settings", account: "AccountId", key: "ApiKey") -> bool:
    from adapters.exchanges.bybit import hosts
    from adapters.exchanges.bybit.key_checks import permissions
    from engine.errors import Rejected, VenueError

    place = {"live": hosts.LIVE, "testnet": hosts.TESTNET, "demo": hosts.DEMO}[settings.bybit_environment.value]
    try:
        rights = await permissions(place.rest, key, 5_000)
    except Rejected as error:
        click.secho(f"✗ {account}: {place.rest} refuses this key: {error}", fg="red")
        return False
    except VenueError as error:
        click.secho(f"? {account}: {place.rest} did not say what this key may do: {error}", fg="yellow")
        return False
    words = _in_words(rights)
    bad = rights.can_withdraw or rights.read_only
    click.secho(f"{'✗' if bad else '✓'} {account}: {words}", fg="red" if bad else "green")
    return not bad


def _in_words(rights: "KeyPermissions") -> str:
    if rights.can_withdraw:
        return "can withdraw: make a key without that right, Trellis refuses this one"
    if rights.read_only:
        return "is read-only: bots cannot trade with it"
    markets = [name for name, can in (("spot", rights.can_trade_spot), ("linear", rights.can_trade_linear)) if can]
    bound = "bound to an address" if rights.bound_to_ip else "not bound to an address (better bind it)"
    until = f", expires on {_day(rights.expires_at_ms)}" if rights.expires_at_ms else ""
    return f"may trade {' and '.join(markets) or 'nothing'}, cannot withdraw, {bound}{until}"


def _day(at_ms: int) -> str:
    return f"{datetime.fromtimestamp(at_ms / 1000, UTC):%Y-%m-%d}"
