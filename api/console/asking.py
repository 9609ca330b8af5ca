"""What every command that asks a running program shares: find it, ask before what cannot be undone, print."""

import os
import sys
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import click

from actors.cli import fail, read_environment

if TYPE_CHECKING:
    from api.console.client import Client

PIPED_WIDTH = 200
"""Columns of a table that goes into a pipe or a file: nobody's terminal cuts it there."""

json_option = click.option("--json", "as_json", is_flag=True, help="Print the API's JSON, for scripts.")
yes_option = click.option("--yes", is_flag=True, help="Do not ask.")


def connect() -> "Client":
    """Find the running program, or end with what to do."""
    from actors.home import Home, UnusableHome
    from api.console.client import Client

    environ = read_environment()
    home = Home.of(environ)
    try:
        running = home.running()
        token = environ.get("TRELLIS_API_TOKEN") or home.known_token("api") or ""
    except UnusableHome as error:
        fail(str(error))
    if running is None:
        fail("Trellis is not running: start it with `make run` (or `trellis up`).", 3)
    if not running.address:
        fail(f"Trellis is starting (process {running.pid}): try again in a moment.", 3)
    return Client(running.address, token)


def confirm(question: str) -> None:
    """Ask whoever sits there; end where they say no, or where nobody sits."""
    if not sys.stdin.isatty():
        fail("This asks first: add --yes where nobody can answer.", 2)
    if not click.confirm(question):
        fail("Nothing was done.")


def print_answer(answer: Any, as_json: bool, show: Callable[[Any], Any]) -> None:
    """Print an answer as JSON, or as `show` draws it."""
    if as_json:
        import json

        click.echo(json.dumps(answer, indent=2, ensure_ascii=False))
        return
    from rich.console import Console

    console = Console(highlight=False)
    if not console.is_terminal and "COLUMNS" not in os.environ:
        console.width = PIPED_WIDTH
    console.print(show(answer))
