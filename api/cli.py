"""Commands that start the program, and those that ask a running one over its API."""

import os
from decimal import Decimal
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

import click

from actors.cli import FAILED, PROGRAM_EPILOG, fail, read_keys, read_settings
from api.console.asking import confirm, connect, json_option, print_answer, yes_option

if TYPE_CHECKING:
    from api.console.client import Client


# ---------------------------------------------------------------------- up


@click.command(
    epilog=f"""\b
    Examples:
      trellis up
      TRELLIS_FEED=replay:recordings@10 trellis up
      TRELLIS_HOME=/srv/trellis TRELLIS_API_PORT=9000 trellis up
    \b
    {PROGRAM_EPILOG}
    """
)
def up() -> None:
    """Start everything; Ctrl-C stops it.

    Database, Ray, paper venue, bots and API, in this order.
    """
    settings = read_settings()
    if settings.bybit_environment != "paper":
        read_keys(settings)  # A sealed file that does not open should be known before anything slow.
    import asyncio

    from rich.console import Console

    from actors.cluster import ClusterError
    from actors.home import AlreadyRunning, UnusableHome
    from api.listening import CannotListen
    from api.up import run
    from engine.errors import VenueError
    from storage.database import DatabaseRefused
    from storage.embedded import EmbeddedPostgresError
    from storage.migrate import MigrationRefused

    console = Console(highlight=False)
    try:
        if asyncio.run(run(settings, console)):
            os._exit(0)
    except (AlreadyRunning, CannotListen, ClusterError, DatabaseRefused, EmbeddedPostgresError) as error:
        fail(str(error))
    except (MigrationRefused, OSError, UnusableHome, VenueError) as error:
        fail(f"Cannot start: {error}")


# ---------------------------------------------------------------------- status


@click.command(epilog="Examples:  trellis status;  trellis status --json | jq .components")
@json_option
def status(as_json: bool) -> None:
    """Show the program's parts and the bots by status."""
    from api.console import show

    answer = connect().get("/api/v1/status")
    print_answer(answer, as_json, show.status)
    raise SystemExit(0 if answer["ok"] else FAILED)


# ---------------------------------------------------------------------- mail


@click.command(epilog="Examples:  trellis mail;  trellis mail --json | jq -r '.items[0].link'")
@click.option("--last", default=10, show_default=True, type=click.IntRange(1, 500), help="How many letters.")
@json_option
def mail(last: int, as_json: bool) -> None:
    """Show the letters to people, the newest last. Without a mail server, hand them on from here."""
    from api.console import show

    print_answer(connect().get(f"/api/v1/outbox?limit={last}"), as_json, show.letters)


# ---------------------------------------------------------------------- bots


@click.group()
def bots() -> None:
    """Create, watch and stop grid bots."""


@bots.command("list", epilog="Examples:  trellis bots list;  trellis bots list --json | jq '.items[].id'")
@json_option
def list_bots(as_json: bool) -> None:
    """List every bot with its result."""
    from api.console import show

    client = connect()
    print_answer(client.get("/api/v1/bots"), as_json, show.BotList)


@bots.command("show", epilog="Examples:  trellis bots show k3xq7mzp;  trellis bots show k3xq7mzp --json")
@click.argument("bot")
@json_option
def show_bot(bot: str, as_json: bool) -> None:
    """Show a bot: its result term by term, its levels with why, its latest executions."""
    from api.console import show

    page = _page_of(connect(), bot)
    print_answer(page, as_json, show.bot_page)


@bots.command(epilog="Examples:  trellis bots watch k3xq7mzp   (Ctrl-C ends the view, not the bot)")
@click.argument("bot")
def watch(bot: str) -> None:
    """Follow a bot live."""
    from api.console.watch import follow

    client = connect()
    follow(lambda: _page_of(client, bot))


def _grid_options(command: Any) -> Any:
    """Add the options that a grid consists of."""
    for option in reversed(_GRID_OPTIONS):
        command = option(command)
    return command


class _Amount(click.ParamType[Decimal]):
    """A decimal number, kept exactly as it was typed."""

    name = "number"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Decimal:
        """Read it; NaN and infinity are not numbers here."""
        try:
            number = Decimal(value)
        except ArithmeticError:
            number = Decimal("NaN")
        if not number.is_finite():
            self.fail(f"{value!r} is not a number", param, ctx)
        return number


_AMOUNT = _Amount()
_STOP = click.Choice(["stop", "cancel", "close"])
_GRID_OPTIONS = [
    click.argument("symbol"),
    click.option("--lower", type=_AMOUNT, required=True, help="Lowest price of the range."),
    click.option("--upper", type=_AMOUNT, required=True, help="Highest price of the range."),
    click.option("--grids", type=int, required=True, help="Number of intervals, 2 to 500."),
    click.option("--amount", type=_AMOUNT, required=True, help="Investment (for a perpetual: the margin)."),
    click.option(
        "--direction",
        type=click.Choice(["spot", "long", "short", "neutral"]),
        default="spot",
        show_default=True,
        help="Spot, or a perpetual one way or both.",
    ),
    click.option("--spacing", type=click.Choice(["arithmetic", "geometric"]), default="arithmetic"),
    click.option("--paid-in", type=click.Choice(["quote", "base", "both"]), default="quote"),
    click.option("--base-amount", type=_AMOUNT, help="Base coin put in beside the amount, with --paid-in both."),
    click.option("--leverage", type=int, default=1, show_default=True),
    click.option("--trigger-price", type=_AMOUNT, help="Wait for this price before the first order."),
    click.option("--stop-loss", type=_AMOUNT, help="Price at which to give up."),
    click.option("--stop-loss-action", type=_STOP, default="close", show_default=True),
    click.option("--take-profit", type=_AMOUNT, help="Price at which to be content."),
    click.option("--take-profit-action", type=_STOP, default="close", show_default=True),
    click.option("--target-profit", type=_AMOUNT, help="Total profit at which to close everything."),
    click.option("--trailing-up-limit", type=_AMOUNT, help="Let the range rise with the price, up to here."),
    click.option("--trailing-down-limit", type=_AMOUNT, help="Let the range fall with the price, down to here."),
    click.option("--post-only/--may-take", default=True, show_default=True),
    click.option("--live-orders", type=int, help="At most so many orders at the venue, nearest first."),
    click.option("--reinvest", is_flag=True, help="Let earned profit enlarge the next orders."),
    click.option("--account", default="paper", show_default=True),
    json_option,
]

_CREATE_EXAMPLES = """\b
    Examples:
      trellis bots create BTCUSDT --lower 58000 --upper 62000 --grids 20 --amount 1000
      trellis bots create BTCUSDT --lower 58000 --upper 62000 --grids 40 --amount 500 \\
        --direction neutral --leverage 3 --stop-loss 56000 --name "week 47"
    """


@bots.command(epilog=_CREATE_EXAMPLES.replace("create", "preview").replace(' --name "week 47"', ""))
@_grid_options
def preview(symbol: str, account: str, as_json: bool, **grid: Any) -> None:
    """Weigh a bot before it exists: orders, profit per grid, the worst corner, the risk."""
    from api.console import show

    answer = connect().post("/api/v1/bots/preview", {"account": account, "config": _config(symbol, grid)})
    print_answer(answer, as_json, show.preview)


@bots.command(epilog=_CREATE_EXAMPLES)
@_grid_options
@click.option("--name", default="", help="What the screens call it.")
@click.option("--no-start", is_flag=True, help="Create it, and start it later.")
@click.option("--command-id", help="A word of your own; repeating the command with it creates nothing twice.")
@yes_option
def create(
    symbol: str,
    account: str,
    as_json: bool,
    name: str,
    no_start: bool,
    command_id: str | None,
    yes: bool,
    **grid: Any,
) -> None:
    """Create a bot and start it. With real money the preview is shown and confirmed first."""
    from api.console import show

    client = connect()
    config = _config(symbol, grid)
    if account != "paper" and not yes:
        print_answer(
            client.post("/api/v1/bots/preview", {"account": account, "config": config}), False, show.preview
        )
        confirm(f"Trade with this on the account {account}?")
    body = {"account": account, "config": config, "name": name, "start": not no_start}
    print_answer(client.post("/api/v1/bots", body, command_id), as_json, show.created)


@bots.command(epilog="Examples:  trellis bots start k3xq7mzp")
@click.argument("bot")
@json_option
def start(bot: str, as_json: bool) -> None:
    """Start a bot, or start it again after a stop or a pause."""
    from api.console import show

    print_answer(connect().post(f"{_path_of(bot)}/start"), as_json, show.commanded)


@bots.command(epilog="Examples:  trellis bots stop k3xq7mzp;  trellis bots stop k3xq7mzp --sell --yes")
@click.argument("bot")
@click.option("--keep/--sell", "keep", default=True, show_default=True, help="What becomes of the position.")
@yes_option
@json_option
def stop(bot: str, keep: bool, yes: bool, as_json: bool) -> None:
    """Cancel a bot's orders and end it; keep the position, or sell it at market."""
    from api.console import show

    client = connect()
    if not keep and not yes:
        click.echo(show.what_selling_does(client.get(_path_of(bot))))
        confirm("Sell now?")
    print_answer(client.post(f"{_path_of(bot)}/stop", {"sell": not keep}), as_json, show.commanded)


@bots.command(
    "emergency-stop",
    epilog="Examples:  trellis bots emergency-stop k3xq7mzp;  trellis bots emergency-stop --all",
)
@click.argument("bot", required=False)
@click.option("--all", "every", is_flag=True, help="Every bot.")
@json_option
def emergency_stop(bot: str | None, every: bool, as_json: bool) -> None:
    """Cancel every order at once, also while the database is away; positions stay. Does not ask."""
    from api.console import show

    if (bot is None) is not every:
        raise click.UsageError("say which bot, or --all")
    path = "/api/v1" if bot is None else _path_of(bot)
    answer = connect().post(f"{path}/emergency-stop")
    print_answer(answer, as_json, show.stopped)
    raise SystemExit(0 if answer["all_stopped"] else FAILED)


# ---------------------------------------------------------------------- shared


def _path_of(bot: str) -> str:
    # Whatever was typed: what is no bot's id must not become another address of the API.
    return f"/api/v1/bots/{quote(bot, safe='')}"


def _page_of(client: "Client", bot: str) -> dict[str, Any]:
    path = _path_of(bot)
    return {
        "bot": client.get(path),
        "levels": client.get(f"{path}/levels")["items"],
        "executions": client.get(f"{path}/executions?limit=10")["items"],
        "actions": client.get(f"{path}/actions?limit=8")["items"],
    }


def _config(symbol: str, grid: dict[str, Any]) -> dict[str, Any]:
    """Say the options in the API's words; what was not given stays out."""
    config: dict[str, Any] = {"symbol": symbol.upper()}
    for name, value in grid.items():
        if name.endswith("_action") or value is None:
            continue
        words = f"{value:f}" if isinstance(value, Decimal) else value
        if name in ("stop_loss", "take_profit"):
            words = {"price": words, "action": grid[f"{name}_action"]}
        config[name] = words
    return config
