"""`trellis club demo`: a pass-through deal and the end of a pair's day, each step with its ledger postings.

It does nothing that members could not do themselves: it makes the calls of their screens, as them, one after
another, and shows what the ledger wrote. Where it stops, the club goes on: nothing is undone.
"""

import time
import uuid
from collections.abc import Callable
from decimal import Decimal
from typing import Any

from rich.console import Console

from actors.cli import fail
from api.console import club as show
from api.console.client import Client
from api.console.numbers import plain

LOOK_EVERY_S = 1.0
STEP_LIMIT_S = 240.0
TOKEN = "tron:USDT"  # noqa: S105  a word, no password
DEAL_LIFE_MS = 3_600_000
PRICE = "1.002"
CLUB = "/api/v1/club"

Json = dict[str, Any]


class Walk:
    """One walk through the demo's club."""

    def __init__(self, client: Client, console: Console, amount: Decimal) -> None:
        self._client = client
        self._console = console
        self._amount = amount
        self._step = 0
        self._word = uuid.uuid4().hex[:8]
        """Makes the command ids of this walk its own."""

    def go(self) -> None:
        """Walk, or end with the step that did not happen."""
        self._wait_for_the_club()
        self._pass_through("aurora", "borealis")
        self._end_of_day("aurora", "borealis")
        self._title("The books")
        self._console.print(show.accounts(self._client.get(f"{CLUB}/ledger/accounts")))
        self._console.print("\nCheck them with `trellis audit`.")

    def _wait_for_the_club(self) -> None:
        status = self._client.get(f"{CLUB}/status")
        if not status["demo"]:
            fail("This walk needs the demo: start with TRELLIS_CLUB=demo.")
        if status["demo"] != "ready":
            self._say("The demo club is being set up; that takes about a minute.")
            self._until(lambda: self._client.get(f"{CLUB}/status")["demo"] == "ready", "the club is set up")
        self._console.print(show.companies(self._client.get(f"{CLUB}/companies")))

    # ------------------------------------------------------------------ a pass-through deal

    def _pass_through(self, seller: str, buyer: str) -> None:
        self._title(f"{seller.title()} offers {plain(str(self._amount))} USDT, {buyer.title()} takes it")
        deal = self._deal(seller, buyer, self._amount, "pass_through")
        self._say(f"Deal {deal['id']}: the payer has {plain(deal['headroom_usd'])} dollars of its limit left.")
        self._say(f"{seller.title()} is to transfer to {deal['pay_to']}.")

        self._title("Two approvers of the payer say yes before the money comes")
        destination = self._wallet(buyer)
        for member in ("anna", "boris"):
            self._approve(seller, member, deal, destination["address"])

        self._title(f"{seller.title()} transfers; its block becomes final; the deal is credited")
        paid = self._post("demo/pay-in", {"company": f"co_{seller}", "token": TOKEN, "amount": str(self._amount)})
        self._say(f"Transaction {paid['tx']}")
        self._until(lambda: self._deal_now(deal)["status"] in ("paying", "settled"), "the transfer is credited")
        arrived = self._client.get(f"{CLUB}/incoming?company=co_{seller}&limit=1")["items"][0]
        self._say(f"{arrived['status']}: {arrived['reason']}, matched to {arrived['matched_to']}")
        self._postings(arrived["id"])

        self._title("The payout is signed, persisted, journalled, broadcast and final")
        payout = self._until_paid(deal["payout"])
        for task in payout["tasks"]:
            self._postings(task["id"])
        self._until(lambda: self._deal_now(deal)["status"] == "settled", "the deal is settled")
        self._say(f"Deal {deal['id']} is settled.")

    # ------------------------------------------------------------------ the end of a day

    def _end_of_day(self, one: str, other: str) -> None:
        self._title(f"{one.title()} and {other.title()} are a trust pair: an admin of each said yes to its terms")
        self._console.print(show.pairs(self._client.get(f"{CLUB}/pairs")))

        self._title(f"Three deals between {one.title()} and {other.title()} join the day of their trust pair")
        for seller, buyer, amount in ((one, other, "700"), (other, one, "450.50"), (one, other, "120")):
            deal = self._deal(seller, buyer, Decimal(amount), "netting")
            self._say(f"Deal {deal['id']}: {seller.title()} owes {plain(amount)} USDT, session {deal['session']}")
        session = deal["session"]
        self._console.print(show.sessions(self._client.get(f"{CLUB}/sessions")))

        self._title("What a close would do, and the close itself")
        body: Json = {"sessions": [session], "dry_run": True}
        self._console.print(show.closed(self._post("sessions/close", body)))
        closed = self._post("sessions/close", {**body, "dry_run": False})
        self._console.print(show.closed(closed))
        for settlement in closed["settlements"]:
            if settlement["payout"]:
                self._pay_settlement(settlement)

    def _pay_settlement(self, settlement: Json) -> None:
        payer = settlement["payer"].removeprefix("co_")
        self._postings(settlement["id"])
        payout = self._client.get(f"{CLUB}/payouts/{settlement['payout']}")
        self._title(f"Two approvers of {payer.title()} say yes; the difference is paid")
        fields = {name: payout[name] for name in ("company", "token", "amount", "to_address")}
        for member in ("anna", "boris"):
            self._post(f"payouts/{payout['id']}/approve", fields, f"mb_{payer}{member}")
        paid = self._until_paid(payout["id"])
        for task in paid["tasks"]:
            self._postings(task["id"])

    # ------------------------------------------------------------------ pieces

    def _deal(self, seller: str, buyer: str, amount: Decimal, mode: str) -> Json:
        offer = self._post(
            "offers",
            {
                "company": f"co_{seller}",
                "side": "sell",
                "token": TOKEN,
                "amount": str(amount),
                "price": PRICE,
                "expires_ms": int(time.time() * 1_000) + DEAL_LIFE_MS,
            },
            f"mb_{seller}trader",
        )
        body = {"company": f"co_{buyer}", "mode": mode}
        if mode == "pass_through":
            body["wallet"] = self._wallet(buyer)["id"]
        accepted: Json = self._post(f"offers/{offer['id']}/accept", body, f"mb_{buyer}trader")
        return accepted

    def _wallet(self, company: str) -> Json:
        wallets = self._client.get(f"{CLUB}/companies/co_{company}/wallets")["items"]
        found: Json = next(each for each in wallets if each["token"] == TOKEN and each["standing"] == "active")
        return found

    def _approve(self, payer: str, member: str, deal: Json, destination: str) -> None:
        fields = {
            "company": f"co_{payer}",
            "token": TOKEN,
            "amount": deal["amount"],
            "to_address": destination,
        }
        self._post(f"payouts/{deal['payout']}/approve", fields, f"mb_{payer}{member}")
        self._say(f"{member.title()} approves {plain(deal['amount'])} USDT to {destination}")

    def _deal_now(self, deal: Json) -> Json:
        now: Json = self._client.get(f"{CLUB}/deals/{deal['id']}")
        return now

    def _until_paid(self, payout: str) -> Json:
        path = f"{CLUB}/payouts/{payout}"
        seen = ""

        def is_paid() -> bool:
            nonlocal seen
            state: str = self._client.get(path)["state"]
            if state != seen:
                self._say(f"  {state}")
                seen = state
            return state == "confirmed"

        self._until(is_paid, f"{payout} is confirmed")
        paid: Json = self._client.get(path)
        self._console.print(show.payout(paid))
        return paid

    def _postings(self, reference: str) -> None:
        self._console.print(show.entries(self._client.get(f"{CLUB}/ledger/about/{reference}")))

    def _post(self, path: str, body: Json, member: str = "") -> Json:
        self._step += 1
        acting = f"?member={member}" if member else ""
        answer: Json = self._client.post(f"{CLUB}/{path}{acting}", body, f"walk-{self._word}-{self._step}")
        return answer

    def _until(self, happened: Callable[[], bool], what: str) -> None:
        deadline = time.monotonic() + STEP_LIMIT_S
        while not happened():
            if time.monotonic() > deadline:
                fail(f"In vain: {what}. `trellis club status` and `trellis club alarms` say why.")
            time.sleep(LOOK_EVERY_S)

    def _title(self, text: str) -> None:
        self._console.print(f"\n[bold]{text}[/]")

    def _say(self, text: str) -> None:
        self._console.print(text, markup=False, soft_wrap=True)
