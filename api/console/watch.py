"""A bot, live on the terminal: asked again each second, so that a restart of anything only pauses the picture."""

import signal
import time
from collections.abc import Callable
from typing import Any

from rich.columns import Columns
from rich.console import Console, Group, RenderableType
from rich.live import Live

from api.console import show

EVERY_S = 1.0


def follow(ask: Callable[[], dict[str, Any]]) -> None:
    """Draw what `ask` gives until Ctrl-C."""
    console = Console(highlight=False)
    # A shell that starts a program in the background has it ignore Ctrl-C, and its children with it.
    signal.signal(signal.SIGINT, signal.default_int_handler)
    try:
        with Live(_picture(ask()), console=console, auto_refresh=False, screen=console.is_terminal) as live:
            while True:
                live.update(_picture(ask()), refresh=True)
                time.sleep(EVERY_S)
    except KeyboardInterrupt:
        return


def _picture(page: dict[str, Any]) -> RenderableType:
    bot = page["bot"]
    return Group(
        show.bot_head(bot),
        "",
        Columns([show.profit_table(bot), show.execution_table(page["executions"])], padding=(0, 4)),
        "",
        show.level_table(page["levels"], bot["price"]),
        "",
        show.action_lines(page["actions"]),
        "[dim]Ctrl-C ends the view, not the bot.[/]",
    )
