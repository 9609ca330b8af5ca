"""How answers of the API look on a terminal: tables whose numbers add up, and words that say what to do next.

Colour only repeats what the words say. Grid profit and floating profit meet in no line but the total.
"""

import time
from decimal import Decimal
from typing import Any

from rich.console import Console, ConsoleOptions, Group, RenderableType, RenderResult
from rich.markup import escape
from rich.measure import Measurement
from rich.padding import Padding
from rich.table import Table
from rich.text import Text

from api.console.numbers import aligned, clock, duration, percent, plain

WIDEST = 1_000
_STATUS_COLOURS = {"running": "green", "halted": "red", "stopped": "dim", "paused": "yellow"}
_SIDE_COLOURS = {"buy": "green", "sell": "red"}


# ---------------------------------------------------------------------- the program


def status(answer: dict[str, Any]) -> RenderableType:
    """Show the program's parts."""
    parts = _table("part", "state", "last sign", "detail")
    for part in answer["components"]:
        word = "[green]ok[/]" if part["ok"] else "[bold red]DOWN[/]"
        age = "" if part["age_ms"] is None else f"{duration(part['age_ms'])} ago"
        parts.add_row(part["name"], word, age, escape(part["detail"]))
    running_for = duration(int(time.time() * 1000) - answer["started_ms"])
    counts = ", ".join(f"{count} {name}" for name, count in answer["bots"].items())
    return Group(
        f"Trellis {answer['version']} at {answer['address']}, up for {running_for}",
        f"Prices: {escape(answer['feed'])}; {_money(answer['environment'])}; placement {answer['placement']}",
        parts,
        f"Bots: {counts or 'none yet'}",
    )


# ---------------------------------------------------------------------- many bots


class BotList:
    """Every bot in a line. A terminal too narrow for all columns shows the ones that matter most, whole."""

    def __init__(self, answer: dict[str, Any]) -> None:
        self._found = answer["items"]

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        """Draw as many columns as fit."""
        if not self._found:
            yield (
                "No bots yet. Create one on paper money in a minute:\n"
                "  trellis bots create BTCUSDT --lower … --upper … --grids 20 --amount 1000   (--help has more)"
            )
            return
        columns = self._columns()
        for dispensable in ("name", "floating", "grid profit", "orders", "price"):
            if (
                Measurement.get(console, options.update(width=WIDEST), _columned(columns)).maximum
                <= options.max_width
            ):
                break
            del columns[dispensable]
        yield _columned(columns)
        yield f"[dim]Prices: {escape(self._found[0]['feed'])}. Grid profit is before fees; total is after.[/]"

    def _columns(self) -> dict[str, list[str]]:
        found = self._found
        profits = [bot["profit"] or {} for bot in found]
        amounts = {
            name: aligned((each.get(name) for each in profits), signed=True)
            for name in ("grid_profit", "floating", "total")
        }
        return {
            "bot": [bot["id"] for bot in found],
            "name": [escape(bot["name"]) for bot in found],
            "pair": [f"{bot['config']['symbol']} {bot['config']['direction']}" for bot in found],
            "status": [_status(bot) for bot in found],
            "price": aligned(bot["price"] for bot in found),
            "orders": [f"{bot['open_orders']}/{bot['config']['grids']}" for bot in found],
            "grid profit": amounts["grid_profit"],
            "floating": amounts["floating"],
            "total": amounts["total"],
            "roi": [percent(each.get("roi")) for each in profits],
        }


# ---------------------------------------------------------------------- one bot


def bot_page(page: dict[str, Any]) -> RenderableType:
    """Show a bot whole."""
    bot = page["bot"]
    return Group(
        bot_head(bot),
        "",
        profit_table(bot),
        "",
        level_table(page["levels"], bot["price"]),
        "",
        execution_table(page["executions"]),
    )


def bot_head(bot: dict[str, Any]) -> RenderableType:
    """Say which bot it is and how it is."""
    config = bot["config"]
    range_words = (
        f"{plain(config['lower'])} to {plain(config['upper'])} in {config['grids']} {config['spacing']} grids"
    )
    lines = [
        f"[bold]{escape(bot['name'])}[/]  {bot['id']}  on account {escape(bot['account'])}",
        f"{config['symbol']} {config['direction']}"
        f"{'' if config['leverage'] == 1 else ' ×' + str(config['leverage'])}, {range_words}",
        f"{_status(bot)}{': ' + escape(bot['status_reason']) if bot['status_reason'] else ''}"
        f"   wanted: {bot['desired']}   price {plain(bot['price'])}   {bot['open_orders']} open orders",
        f"[dim]Prices: {escape(bot['feed'])}. As of {clock(bot['as_of_ms'])}.[/]",
    ]
    if _is_silent(bot):
        lines.append("[yellow]Its process does not answer: this is what was last written.[/]")
    return Group(*lines)


def profit_table(bot: dict[str, Any]) -> RenderableType:
    """Show the result term by term; the terms add up to the total, exactly."""
    profit = bot["profit"]
    if profit is None:
        return "No result yet: the bot has not begun."
    table = _table("result", ">amount", "")
    terms = [
        ("grid profit", profit["grid_profit"], f"{profit['trips']} round trips, before fees"),
        ("exit profit", profit["exit_profit"], "closing the position at market"),
        (
            "floating",
            profit["floating"],
            f"{plain(profit['base_inventory'])} held, at {plain(profit['mark_price'])}",
        ),
        ("fees", _negated(profit["fees"]), f"{profit['trades']} executions, volume {plain(profit['volume'])}"),
        ("funding", _negated(profit["funding"]), "paid on the position" if Decimal(profit["funding"]) else ""),
        ("total", profit["total"], f"{percent(profit['roi'])} of {plain(profit['investment'])} invested"),
    ]
    amounts = aligned((amount for _, amount, _ in terms), signed=True)
    for (name, _, words), amount in zip(terms, amounts, strict=True):
        if name == "total":
            table.add_section()
        table.add_row(f"[bold]{name}[/]" if name == "total" else name, amount, f"[dim]{words}[/]")
    figures = [f"running {duration(profit['runtime_ms'])}", f"max drawdown {plain(profit['max_drawdown'])}"]
    if profit["profit_factor"] is not None:
        figures.append(f"profit factor {plain(profit['profit_factor'])}")
    if profit["apr"] is not None:
        figures.append(f"APR {percent(profit['apr'])} if it went on like this")
    return Group(table, f"[dim]{', '.join(figures)}[/]")


def level_table(levels: list[dict[str, Any]], price: str | None) -> RenderableType:
    """Show every level, highest first, with why it has, or has not, an order; the price stands between them."""
    if not levels:
        return "No levels yet: the bot has not begun."
    table = _table(">level", ">price", "side", ">quantity", ">filled", "state", "why")
    ordered = sorted(levels, key=lambda level: Decimal(level["price"]), reverse=True)
    prices = aligned(level["order_price"] or level["price"] for level in ordered)
    quantities = aligned(level["quantity"] if Decimal(level["quantity"]) else None for level in ordered)
    fills = aligned(level["filled"] if Decimal(level["filled"]) else None for level in ordered)
    now, shown = Decimal(price or 0), price is None
    for level, at, quantity, filled in zip(ordered, prices, quantities, fills, strict=True):
        if not shown and Decimal(level["price"]) < now:
            table.add_row("", f"[bold]{plain(price)}[/]", "[bold]price[/]", "", "", "", "")
            shown = True
        state = "" if level["phase"] == "none" else level["phase"]
        table.add_row(
            str(level["level"]), at, _side(level["side"]), quantity, filled, state, f"[dim]{level['why']}[/]"
        )
    return table


def execution_table(executions: list[dict[str, Any]]) -> RenderableType:
    """Show executions, newest first."""
    if not executions:
        return "No executions yet: no order has been reached by the price."
    table = _table("time", "side", ">price", ">quantity", ">fee", "", "order")
    prices = aligned(each["price"] for each in executions)
    quantities = aligned(each["quantity"] for each in executions)
    fees = aligned(each["fee"] for each in executions)
    for each, price, quantity, fee in zip(executions, prices, quantities, fees, strict=True):
        role = "maker" if each["is_maker"] else "taker"
        table.add_row(
            clock(each["at_ms"]),
            _side(each["side"]),
            price,
            quantity,
            fee,
            f"{each['fee_asset']} {role}",
            f"[dim]{each['link_id']}[/]",
        )
    return table


def action_lines(actions: list[dict[str, Any]]) -> RenderableType:
    """Show the bot's log, newest first."""
    lines = [f"[dim]{clock(each['at_ms'])}[/]  {escape(each['text'])}" for each in actions]
    return Group(*lines) if lines else "Nothing has happened yet."


# ---------------------------------------------------------------------- before a bot exists


def preview(answer: dict[str, Any]) -> RenderableType:
    """Show what a bot would do, and what can go wrong."""
    orders = answer["orders"]
    rates = [percent(answer[name]) for name in ("profit_per_grid_min_rate", "profit_per_grid_max_rate")]
    profits = [plain(answer[name]) for name in ("profit_per_grid_min", "profit_per_grid_max")]
    lines = [
        ("price now", plain(answer["price"])),
        ("levels", f"{len(answer['levels'])}, {plain(answer['levels'][0])} to {plain(answer['levels'][-1])}"),
        ("orders at the start", f"{len(orders)}, {plain(answer['quantity'])} each"),
        ("profit per grid", f"{profits[0]} to {profits[1]} net of fees ({rates[0]} to {rates[1]})"),
        ("investment", f"{plain(answer['investment'])}, of which {plain(answer['invested'])} is used"),
        (
            "least / recommended",
            f"{plain(answer['least_investment'])} / {plain(answer['recommended_investment'])}",
        ),
        ("worst corner", f"{plain(answer['worst_result'])} at {plain(answer['worst_price'])}"),
    ]
    if answer["liquidation_price"] is not None:
        lines.append(("liquidation (estimate)", plain(answer["liquidation_price"])))
    if answer["history"] is not None:
        past = answer["history"]
        lines.append(
            (
                "on recent candles",
                f"{plain(past['trips_per_day'])} round trips a day, total {plain(past['total'], signed=True)} "
                f"in {duration(past['end_ms'] - past['start_ms'])}; no promise",
            )
        )
    table = _table("preview", "")
    for name, words in lines:
        table.add_row(name, words)
    return Group(table, *(Text(f"! {warning['text']}", style="yellow") for warning in answer["warnings"]))


# ---------------------------------------------------------------------- after a command


def created(bot: dict[str, Any]) -> RenderableType:
    """Say what was made and what to look at."""
    return Group(
        bot_head(bot),
        f"\nCreated. Follow it: trellis bots watch {bot['id']}",
        f"     All of it: trellis bots show {bot['id']}",
    )


def commanded(bot: dict[str, Any]) -> RenderableType:
    """Say how a bot is after a command."""
    return bot_head(bot)


def stopped(answer: dict[str, Any]) -> RenderableType:
    """Say of each bot what an emergency stop has done."""
    if not answer["items"]:
        return "No bot was running."
    table = _table("bot", "", "outcome")
    for item in answer["items"]:
        word = "[green]stopped[/]" if item["stopped"] else "[bold red]NOT YET[/]"
        table.add_row(item["bot"], word, escape(item["detail"]))
    return table


def letters(answer: dict[str, Any]) -> RenderableType:
    """Lay out the letters to people, the newest last: that is where the eye is."""
    parts: list[RenderableType] = []
    for letter in reversed(answer["items"]):
        state = "[green]sent[/]" if letter["sent_ms"] else "[yellow]waits[/]"
        problem = f"  [red]{escape(letter['last_error'])}[/]" if letter["last_error"] else ""
        parts.append(f"{state}  [bold]{escape(letter['to'])}[/]  {escape(letter['subject'])}{problem}")
        if letter["text"]:
            parts.append(Padding(escape(letter["text"]), (0, 0, 1, 7)))
    if not answer["is_sent_by_mail"]:
        parts.append("[dim]No mail server is set (TRELLIS_SMTP_URL): hand the letters on yourself.[/]")
    return Group(*parts) if answer["items"] else "There are no letters."


def what_selling_does(bot: dict[str, Any]) -> str:
    """Say in numbers what closing the position means."""
    profit = bot["profit"]
    if profit is None or not Decimal(profit["base_inventory"]):
        return "There is no position to sell; the orders are cancelled."
    held = Decimal(profit["base_inventory"])
    verb = "Sells" if held > 0 else "Buys back"
    return (
        f"Cancels {bot['open_orders']} orders. "
        f"{verb} {plain(str(abs(held)))} at about {plain(profit['mark_price'])}: "
        f"floating {plain(profit['floating'], signed=True)} becomes final, total about "
        f"{plain(profit['total'], signed=True)} less the fee."
    )


# ---------------------------------------------------------------------- small things


def _columned(columns: dict[str, list[str]]) -> Table:
    words = {"bot", "name", "pair", "status"}
    table = Table(box=None, pad_edge=False, header_style="dim", show_edge=False)
    for name in columns:
        table.add_column(name, justify="left" if name in words else "right", no_wrap=True)
    for row in zip(*columns.values(), strict=True):
        table.add_row(*row)
    return table


def _table(*columns: str) -> Table:
    """Make a table; a column whose name begins with > is set flush right."""
    table = Table(box=None, pad_edge=False, header_style="dim", show_edge=False)
    for column in columns:
        right = column.startswith(">")
        table.add_column(column.removeprefix(">"), justify="right" if right else "left", no_wrap=right)
    return table


def _status(bot: dict[str, Any]) -> str:
    colour = _STATUS_COLOURS.get(bot["status"], "cyan")
    return f"[{colour}]{bot['status']}[/]{' (not answering)' if _is_silent(bot) else _start_words(bot)}"


def _is_silent(bot: dict[str, Any]) -> bool:
    """Tell whether a process should answer for the bot and does not. One that is not running has none."""
    return not bot["live"] and bot["status"] not in ("new", "stopped")


def _start_words(bot: dict[str, Any]) -> str:
    return " (starting)" if bot["status"] == "new" and bot["desired"] == "running" else ""


def _side(side: str | None) -> str:
    return f"[{_SIDE_COLOURS[side]}]{side}[/]" if side else ""


def _money(environment: str) -> str:
    return "[yellow]PAPER MONEY[/]" if environment == "paper" else f"[bold red]{environment.upper()}[/]"


def _negated(amount: str) -> str:
    return str(-Decimal(amount))
