"""How the club's answers look on a terminal: tables, and for a walk each step with its postings."""

from typing import Any

from rich.console import Group, RenderableType
from rich.markup import escape
from rich.table import Table

from api.console.numbers import aligned, clock, duration, plain


def status(answer: dict[str, Any]) -> RenderableType:
    """Show the club at a glance."""
    writers = _table("part", "state", "last sign", "detail")
    for each in answer["actors"]:
        age = "" if each["age_ms"] is None else f"{duration(each['age_ms'])} ago"
        writers.add_row(each["name"], _ok(each["ok"]), age, escape(each["detail"]))
    parts: list[RenderableType] = [writers, *map(_watcher, answer["watchers"])]
    counts = ", ".join(f"{count} {state}" for state, count in answer["tasks"].items())
    parts.append(f"Payouts: {counts or 'none yet'}. Alarms: {answer['alarms'] or 'none'}.")
    parts += [_freeze_line(each) for each in answer["freezes"]]
    if answer["demo"]:
        parts.append(f"Demo: {escape(answer['demo'])}")
    return Group(*parts)


def companies(answer: dict[str, Any]) -> RenderableType:
    """Show companies with their money and addresses."""
    table = _table("company", "name", "tier", "asset", ">funds", ">deposit", ">held", ">reserve", "pays in at")
    for company in answer["items"]:
        address = ", ".join(wallet["address"] for wallet in company["hot_wallets"])
        head = [company["id"], escape(company["name"]), company["tier"]]
        for balance in company["balances"] or [None]:
            amounts = (
                [plain(balance[name]) for name in ("funds", "deposit", "held", "reserve")] if balance else [""] * 4
            )
            table.add_row(*head, balance["asset"] if balance else "", *amounts, address)
            head, address = ["", "", ""], ""
    return table


def wallets(answer: dict[str, Any]) -> RenderableType:
    """Show an allow-list."""
    table = _table("wallet", "token", "address", "standing", "what to do")
    for each in answer["items"]:
        todo = f"transfer exactly {plain(each['challenge'])} from it" if each["challenge"] else ""
        table.add_row(each["id"], each["token"], each["address"], each["standing"], todo)
    return table


def offers(answer: dict[str, Any]) -> RenderableType:
    """Show offers."""
    table = _table("offer", "company", "side", "token", ">amount", ">price", "status", "until")
    amounts = aligned(each["amount"] for each in answer["items"])
    for each, amount in zip(answer["items"], amounts, strict=True):
        until = clock(each["expires_ms"])
        row = (each["id"], each["company"], each["side"], each["token"], amount, plain(each["price"]))
        table.add_row(*row, each["status"], until)
    return table


def deals(answer: dict[str, Any]) -> RenderableType:
    """Show deals."""
    table = _table("deal", "payer", "payee", "mode", "token", ">amount", "status", "payout or session")
    amounts = aligned(each["amount"] for each in answer["items"])
    for each, amount in zip(answer["items"], amounts, strict=True):
        where = each["payout"] or each["session"]
        row = (each["id"], each["payer"], each["payee"], each["mode"], each["token"], amount)
        table.add_row(*row, each["status"], where)
    return table


def payouts(answer: dict[str, Any]) -> RenderableType:
    """Show payouts, and why those that wait do."""
    table = _table("payout", "for", "from", "to", "token", ">amount", "state", "approvals", "waits for")
    amounts = aligned(each["amount"] for each in answer["items"])
    for each, amount in zip(answer["items"], amounts, strict=True):
        waits = ", ".join(sorted({task["waits_for"] for task in each["tasks"] if task["waits_for"]}))
        approvals = f"{len(each['approved_by'])}/{each['approvals_needed']}"
        row = (each["id"], each["purpose"], each["company"], each["payee"], each["token"], amount)
        table.add_row(*row, each["state"], approvals, waits)
    return table


def payout(answer: dict[str, Any]) -> RenderableType:
    """Show one payout with its transfers."""
    table = _table("transfer", ">amount", "state", "waits for", ">attempts", "transaction")
    for task in answer["tasks"]:
        row = (task["id"], plain(task["amount"]), task["state"], task["waits_for"], str(task["attempts"]))
        table.add_row(*row, task["tx"])
    approved = ", ".join(answer["approved_by"]) or "nobody"
    return Group(
        f"{answer['id']}: {plain(answer['amount'])} {answer['token']}",
        f"from {answer['company']} to {answer['payee']} at {answer['to_address']}",
        f"{answer['purpose']} {answer['purpose_id']}, {answer['state']}",
        f"approved by {approved}; {answer['approvals_needed']} needed, not by {answer['initiator']}",
        table,
    )


def incoming(answer: dict[str, Any]) -> RenderableType:
    """Show what arrived, and what was made of it."""
    table = _table("incoming", "company", "token", ">amount", "from", "status", "reason", "matched to")
    for each in answer["items"]:
        token = each["token"] or f"unknown {each['contract']}"
        row = (each["id"], each["company"], token, plain(each["amount"]), each["from_address"])
        table.add_row(*row, each["status"], each["reason"], each["matched_to"])
    return table


def pairs(answer: dict[str, Any]) -> RenderableType:
    """Show trust pairs, and who said yes to them as they are now."""
    table = _table("pair", "companies", ">a day, USD", "cut-off", "time zone", ">reserve", "state", "said yes")
    for each in answer["items"]:
        said_yes = ", ".join(f"{yes['member']} of {yes['company']}" for yes in each["consents"]) or "nobody"
        terms = (plain(each["daily_limit_usd"]), each["cutoff"], each["tz"], f"{each['reserve_pct']} %")
        state = "enabled" if each["enabled"] else "disabled"
        table.add_row(each["id"], ", ".join(each["companies"]), *terms, state, said_yes)
    return table


def sessions(answer: dict[str, Any]) -> RenderableType:
    """Show open days, and what each would net to now."""
    table = _table("session", "cut-off", "token", "payer", "payee", ">net now")
    for each in answer["items"]:
        head = [each["id"], clock(each["cutoff_ms"])]
        for net in each["net_now"] or [None]:
            rest = [net["token"], net["payer"], net["payee"], plain(net["amount"])] if net else ["", "", "", "0"]
            table.add_row(*head, *rest)
            head = ["", ""]
    return table


def closed(answer: dict[str, Any]) -> RenderableType:
    """Show what a close has done, or would do."""
    table = _table("settlement", "payer", "payee", "token", ">net", ">paid", ">carried", "status", "payout")
    for each in answer["settlements"]:
        amounts = (plain(each["net"]), plain(each["amount"]), plain(each["carried"]))
        row = (each["id"], each["payer"], each["payee"], each["token"], *amounts)
        table.add_row(*row, each["status"], each["payout"])
    word = "Would close" if answer["dry_run"] else "Closed"
    return Group(f"{word} {', '.join(answer['sessions'])}", table)


def alarms(answer: dict[str, Any]) -> RenderableType:
    """Show what somebody must look at, each with its runbook."""
    if not answer["items"]:
        return "No alarms."
    table = _table("severity", "alarm", "subject", "since", "detail", "runbook")
    for each in answer["items"]:
        row = (f"SEV{each['severity']}", each["kind"], each["subject"], clock(each["raised_ms"]))
        table.add_row(*row, escape(each["detail"]), each["runbook"])
    return table


def comparisons(answer: dict[str, Any]) -> RenderableType:
    """Show books beside chain, each transfer that should never be in a line of its own."""
    if not answer["items"]:
        return "Nothing was compared yet."
    table = _table("address", "token", ">books", ">chain", ">unexplained", ">block", "breaks")
    for each in answer["items"]:
        breaks = [f"{plain(one['amount'])} {one['why']} {one['transaction']}" for one in each["breaks"]]
        amounts = (plain(each["books"]), plain(each["chain"]), plain(each["unexplained"]))
        table.add_row(each["hot_wallet"], each["token"], *amounts, str(each["block"]), "; ".join(breaks))
    return table


def corrections(answer: dict[str, Any]) -> RenderableType:
    """Show what was booked by two operators, or is proposed by one."""
    if not answer["items"]:
        return "No corrections."
    table = _table("correction", "kind", "address", "token", ">amount", "transaction", "by", "booked", "reason")
    for each in answer["items"]:
        booked = (
            f"{clock(each['confirmed_ms'])} with {each['confirmed_by']}" if each["confirmed_by"] else "not yet"
        )
        row = (each["id"], each["kind"], each["hot_wallet"], each["token"], plain(each["amount"]))
        table.add_row(*row, each["transaction"], each["proposed_by"], booked, escape(each["reason"]))
    return table


def freezes(answer: dict[str, Any]) -> RenderableType:
    """Show where nothing is signed."""
    if not answer["items"]:
        return "Nothing is frozen."
    return Group(*(_freeze_line(each) for each in answer["items"]))


def freeze(answer: dict[str, Any]) -> RenderableType:
    """Show one freeze, just entered or lifted."""
    return _freeze_line(answer)


def accounts(answer: dict[str, Any]) -> RenderableType:
    """Show the ledger's accounts."""
    table = _table("account", "side", ">balance", ">held")
    balances = aligned(each["balance"] for each in answer["items"])
    for each, balance in zip(answer["items"], balances, strict=True):
        table.add_row(each["code"], each["normal"], balance, plain(each["held"]))
    return table


def entries(answer: dict[str, Any]) -> RenderableType:
    """Show entries of the ledger: what was debited, what credited."""
    table = _table("entry", "debit", "credit", ">amount", "phase")
    for each in answer["items"]:
        table.add_row(each["kind"], each["debit"], each["credit"], plain(each["amount"]), each["phase"])
    return table


def _watcher(answer: dict[str, Any]) -> RenderableType:
    age = "not read yet" if answer["age_ms"] is None else f"{duration(answer['age_ms'])} old"
    nodes = _table("node", "head", ">behind", ">latency", "last error")
    for node in answer["nodes"]:
        latency = f"{node['latency_ms']:.0f} ms"
        nodes.add_row(node["name"], str(node["head"]), str(node["lag"]), latency, escape(node["last_error"]))
    return Group(f"{answer['network']}: block {answer['block']} read, {age}", nodes)


def _freeze_line(each: dict[str, Any]) -> str:
    what = "Safe mode" if each["safe_mode"] else "Frozen"
    where = f"{each['scope']} {each['subject']}".strip()
    state = "lifted" if each["lifted_ms"] else f"since {clock(each['entered_ms'])}"
    wanted = f"; {', '.join(each['lifters'])} want it lifted" if each["lifters"] else ""
    why = f"by {each['entered_by']}: {escape(each['reason'])}"
    return f"[bold red]{what}[/]: {where}, {state}, {why}{wanted} ({each['id']})"


def _ok(is_ok: bool) -> str:
    return "[green]ok[/]" if is_ok else "[bold red]DOWN[/]"


def _table(*columns: str) -> Table:
    """Make a table; a column whose name begins with > is set flush right."""
    table = Table(box=None, pad_edge=False, header_style="dim", show_edge=False)
    for column in columns:
        right = column.startswith(">")
        table.add_column(column.removeprefix(">"), justify="right" if right else "left", overflow="fold")
    return table
