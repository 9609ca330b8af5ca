"""`trellis club`: what people and operators of the club do from a terminal, over the API of a running program."""

from decimal import Decimal
from urllib.parse import quote

import click

from actors.cli import fail
from api.console.asking import connect, json_option, print_answer

member_option = click.option(
    "--as", "member", default="", help="Act as this member (`mb_…`); only where the club is a demo."
)
company_option = click.option("--company", default="", help="Of this company (`co_…`) only.")


@click.group()
def club() -> None:
    """Settle between companies: deals, payouts, trust pairs, freezes."""


@club.command(epilog="Examples:  trellis club status;  trellis club status --json | jq .watchers")
@json_option
def status(as_json: bool) -> None:
    """Show watchers, signers, sessions, what waits and what is frozen."""
    from api.console import club as show

    print_answer(connect().get("/api/v1/club/status"), as_json, show.status)


@club.command(epilog="Examples:  trellis club companies")
@json_option
def companies(as_json: bool) -> None:
    """List the companies with their money and the addresses where they pay in."""
    from api.console import club as show

    print_answer(connect().get("/api/v1/club/companies"), as_json, show.companies)


@club.command(epilog="Examples:  trellis club wallets co_aurora")
@click.argument("company")
@json_option
def wallets(company: str, as_json: bool) -> None:
    """List where a company may be paid, and what each address waits for."""
    from api.console import club as show

    print_answer(connect().get(f"/api/v1/club/companies/{_word(company)}/wallets"), as_json, show.wallets)


# ---------------------------------------------------------------------- deals


@club.command(epilog="Examples:  trellis club offers --company co_aurora")
@company_option
@json_option
def offers(company: str, as_json: bool) -> None:
    """List offers, newest first."""
    from api.console import club as show

    print_answer(connect().get(_list("offers", company)), as_json, show.offers)


@club.command(epilog="Examples:  trellis club deals --company co_dynamo")
@company_option
@json_option
def deals(company: str, as_json: bool) -> None:
    """List deals, newest first."""
    from api.console import club as show

    print_answer(connect().get(_list("deals", company)), as_json, show.deals)


@club.command(epilog="Examples:  trellis club incoming --company co_borealis")
@company_option
@json_option
def incoming(company: str, as_json: bool) -> None:
    """List what arrived, and what was made of it."""
    from api.console import club as show

    print_answer(connect().get(_list("incoming", company)), as_json, show.incoming)


@club.command(epilog="Examples:  trellis club resolve tron:3f…:0 --funds")
@click.argument("incoming_id", metavar="INCOMING")
@click.option("--funds", is_flag=True, help="It is the company's free money.")
@click.option("--deal", default="", help="It is what this deal waits for.")
@click.option("--refund", "wallet", default="", help="It goes back, to this address of the company's allow-list.")
def resolve(incoming_id: str, funds: bool, deal: str, wallet: str) -> None:
    """Say what a suspended transfer is: funds, a deal's, or to be sent back."""
    if sum(map(bool, (funds, deal, wallet))) != 1:
        raise click.UsageError("say one of --funds, --deal, --refund")
    client, path = connect(), f"/api/v1/club/incoming/{_word(incoming_id)}"
    if funds:
        client.post(f"{path}/to-funds")
        click.echo("It is free money of its company now.")
        return
    answer = (
        client.post("/api/v1/club/incoming/to-deal", {"deal": deal, "incoming": [incoming_id]})
        if deal
        else client.post(f"{path}/refund", {"wallet": wallet})
    )
    click.echo(f"Payout {answer['payout']} follows: see `trellis club payout {answer['payout']}`.")


# ---------------------------------------------------------------------- payouts


@club.command(epilog="Examples:  trellis club payouts")
@company_option
@json_option
def payouts(company: str, as_json: bool) -> None:
    """List payouts, newest first, and what each waits for."""
    from api.console import club as show

    print_answer(connect().get(_list("payouts", company)), as_json, show.payouts)


@club.command("payout", epilog="Examples:  trellis club payout po_k3xq7mzp")
@click.argument("payout_id", metavar="PAYOUT")
@json_option
def one_payout(payout_id: str, as_json: bool) -> None:
    """Show a payout: its approvals, its transfers, their transactions."""
    from api.console import club as show

    print_answer(connect().get(f"/api/v1/club/payouts/{_word(payout_id)}"), as_json, show.payout)


@club.command(epilog="Examples:  trellis club approve po_k3xq7mzp --as mb_auroraanna")
@click.argument("payout_id", metavar="PAYOUT")
@member_option
@json_option
def approve(payout_id: str, member: str, as_json: bool) -> None:
    """Say yes to a payout as it is shown now. It needs several APPROVERs, none of whom asked for it."""
    from api.console import club as show

    client = connect()
    path = f"/api/v1/club/payouts/{_word(payout_id)}"
    payout = client.get(path)
    fields = {name: payout[name] for name in ("company", "token", "amount", "to_address")}
    client.post(f"{path}/approve{_acting(member)}", fields)
    print_answer(client.get(path), as_json, show.payout)


@club.command(epilog="Examples:  trellis club retry po_k3xq7mzp --as mb_auroraanna")
@click.argument("payout_id", metavar="PAYOUT")
@member_option
@json_option
def retry(payout_id: str, member: str, as_json: bool) -> None:
    """Allow new attempts after several that the chain has included and refused."""
    from api.console import club as show

    answer = connect().post(f"/api/v1/club/payouts/{_word(payout_id)}/retry{_acting(member)}")
    print_answer(answer, as_json, show.payout)


@club.command(
    "give-up", epilog='Examples:  trellis club give-up po_k3xq7mzp --reason "blocked" --as mb_auroraanna'
)
@click.argument("payout_id", metavar="PAYOUT")
@click.option("--reason", required=True)
@member_option
@json_option
def give_up(payout_id: str, reason: str, member: str, as_json: bool) -> None:
    """Decide that what is not paid of a payout will not be. Refused while signed bytes may still pay."""
    from api.console import club as show

    path = f"/api/v1/club/payouts/{_word(payout_id)}/give-up{_acting(member)}"
    print_answer(connect().post(path, {"reason": reason}), as_json, show.payout)


# ---------------------------------------------------------------------- trust pairs and their days


@club.command(epilog="Examples:  trellis club pairs")
@json_option
def pairs(as_json: bool) -> None:
    """List trust pairs with their terms, and who said yes to them."""
    from api.console import club as show

    print_answer(connect().get("/api/v1/club/pairs"), as_json, show.pairs)


@club.command(epilog="Examples:  trellis club consent tp_auroraborealis --as mb_auroraadmin")
@click.argument("pair_id", metavar="PAIR")
@member_option
@json_option
def consent(pair_id: str, member: str, as_json: bool) -> None:
    """Say yes to a pair's terms as they are shown now. It needs an ADMIN of each company."""
    from api.console import club as show

    client = connect()
    listed = client.get(f"/api/v1/club/pairs{_acting(member)}")["items"]
    pair = next((each for each in listed if each["id"] == pair_id), None)
    if pair is None:
        fail(f"There is no pair {pair_id}: see `trellis club pairs`.")
    terms = {name: pair[name] for name in ("daily_limit_usd", "cutoff", "tz", "reserve_pct", "automatic_eod")}
    answer = client.post(f"/api/v1/club/pairs/{_word(pair_id)}/consent{_acting(member)}", terms)
    print_answer({"items": [answer]}, as_json, show.pairs)


@club.command(epilog="Examples:  trellis club sessions")
@json_option
def sessions(as_json: bool) -> None:
    """List the open days of trust pairs, and what each would net to now."""
    from api.console import club as show

    print_answer(connect().get("/api/v1/club/sessions"), as_json, show.sessions)


@club.command(epilog="Examples:  trellis club close tp_auroraborealis:2026-11-22 --dry-run")
@click.argument("session_ids", metavar="SESSION…", nargs=-1, required=True)
@click.option("--dry-run", is_flag=True, help="Say what would happen, and change nothing.")
@json_option
def close(session_ids: tuple[str, ...], dry_run: bool, as_json: bool) -> None:
    """Close days by hand: net them, pay what there is, carry the rest."""
    from api.console import club as show

    body = {"sessions": list(session_ids), "dry_run": dry_run}
    print_answer(connect().post("/api/v1/club/sessions/close", body), as_json, show.closed)


# ---------------------------------------------------------------------- operations


@club.command(epilog="Examples:  trellis club alarms")
@json_option
def alarms(as_json: bool) -> None:
    """List what somebody must look at, each with its runbook."""
    from api.console import club as show

    print_answer(connect().get("/api/v1/club/alarms"), as_json, show.alarms)


@club.command(
    epilog='Examples:  trellis club freeze global --reason "drill";  trellis club freeze company co_aurora …'
)
@click.argument("scope", type=click.Choice(["global", "network", "wallet", "company"]))
@click.argument("subject", required=False, default="")
@click.option("--reason", required=True)
@json_option
def freeze(scope: str, subject: str, reason: str, as_json: bool) -> None:
    """Stop signing, at once. Leaving takes two people."""
    from api.console import club as show

    body = {"scope": scope, "subject": subject, "reason": reason}
    print_answer(connect().post("/api/v1/club/freezes", body), as_json, show.freeze)


@club.command(epilog="Examples:  trellis club lift frozen:global::1")
@click.argument("freeze_id", metavar="FREEZE")
@member_option
@json_option
def lift(freeze_id: str, member: str, as_json: bool) -> None:
    """Want a freeze lifted. It is, when a second person wants it too."""
    from api.console import club as show

    path = f"/api/v1/club/freezes/{_word(freeze_id)}/lift{_acting(member)}"
    print_answer(connect().post(path), as_json, show.freeze)


@club.command(epilog="Examples:  trellis club comparisons")
@json_option
def comparisons(as_json: bool) -> None:
    """Show what each address holds by our books and by its chain."""
    from api.console import club as show

    print_answer(connect().get("/api/v1/club/comparisons"), as_json, show.comparisons)


@club.command(epilog="Examples:  trellis club corrections")
@json_option
def corrections(as_json: bool) -> None:
    """List what was booked, or is proposed, because no block explains it."""
    from api.console import club as show

    print_answer(connect().get("/api/v1/club/corrections"), as_json, show.corrections)


@club.command(
    epilog='Examples:  trellis club propose opening-balance hw_aurora_tron tron:TRX 250 --reason "from the bank"'
)
@click.argument("kind", type=click.Choice(["opening-balance", "proved-loss"]))
@click.argument("hot_wallet", metavar="ADDRESS")
@click.argument("token")
@click.argument("amount")
@click.option("--reason", required=True)
@click.option("--transaction", default="", help="By which a loss left, where a block tells of it.")
@member_option
@json_option
def propose(
    kind: str, hot_wallet: str, token: str, amount: str, reason: str, transaction: str, member: str, as_json: bool
) -> None:
    """Propose to book a difference between books and chain. Another operator confirms it within a day."""
    from api.console import club as show

    body = {
        "kind": kind.replace("-", "_"),
        "hot_wallet": hot_wallet,
        "token": token,
        "amount": amount,
        "reason": reason,
        "transaction": transaction,
    }
    answer = connect().post(f"/api/v1/club/corrections{_acting(member)}", body)
    print_answer({"items": [answer]}, as_json, show.corrections)


@club.command(epilog="Examples:  trellis club confirm bc_k3xq7mzp")
@click.argument("correction_id", metavar="CORRECTION")
@member_option
@json_option
def confirm(correction_id: str, member: str, as_json: bool) -> None:
    """Agree with another operator's proposal: it is booked now."""
    from api.console import club as show

    answer = connect().post(f"/api/v1/club/corrections/{_word(correction_id)}/confirm{_acting(member)}")
    print_answer({"items": [answer]}, as_json, show.corrections)


@club.command(epilog="Examples:  trellis club ledger;  trellis club ledger --about de_k3xq7mzp")
@click.option("--account", default="", help="The entries of one account.")
@click.option("--about", default="", help="The entries about one thing: a deal, a transfer of a payout …")
@json_option
def ledger(account: str, about: str, as_json: bool) -> None:
    """Show the ledger's accounts, or entries."""
    from api.console import club as show

    base = "/api/v1/club/ledger"
    if account or about:
        path = f"{base}/about/{_word(about)}" if about else f"{base}/statements/{_word(account)}"
        print_answer(connect().get(path), as_json, show.entries)
    else:
        print_answer(connect().get(f"{base}/accounts"), as_json, show.accounts)


# ---------------------------------------------------------------------- the demo


@club.command(epilog="Examples:  trellis club demo;  trellis club demo --amount 2500")
@click.option("--amount", type=Decimal, default=Decimal(1000), show_default=True, help="USDT of the deal.")
def demo(amount: Decimal) -> None:
    """Walk a pass-through deal and the end of a day, each step with its postings (demo only)."""
    from rich.console import Console

    from api.console.club_walk import Walk

    Walk(connect(), Console(highlight=False), amount).go()


def _word(text: str) -> str:
    # Whatever was typed: what is no id must not become another address of the API.
    return quote(text, safe="")


def _acting(member: str) -> str:
    return f"?member={quote(member, safe='')}" if member else ""


def _list(what: str, company: str) -> str:
    return f"/api/v1/club/{what}" + (f"?company={quote(company, safe='')}" if company else "")
