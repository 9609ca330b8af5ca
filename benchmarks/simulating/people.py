"""The people of the club: they trade, pay in, approve, close days, freeze, change their minds, and click twice.

Everything goes through the doors that a console or an API would use, each wish under an id of its own. What they
agreed on, and what they were shown when they said yes, is told to the auditor in plain words: the auditor believes
people, never the programs.
"""

import asyncio
from collections.abc import Awaitable, Callable
from decimal import Decimal
from typing import TYPE_CHECKING, Any

from benchmarks.simulating.auditor import Agreement, Approval, Window, shut
from benchmarks.simulating.club import (
    APPROVALS,
    CAP,
    DAY_MS,
    DOLLAR,
    FIRMS,
    PAIRS,
    USDT,
    WINDOW,
    WINDOW_MS,
    Firm,
)
from benchmarks.simulating.network import address
from engine.errors import Refusal
from engine.ids import DealId, Instant, OfferId, PayoutId, TrustSessionId, WalletId
from engine.money import Network
from engine.payments.approval import PayoutFields
from engine.payments.freeze import Scope
from engine.payments.payout import Purpose, payout_of_deal
from engine.payments.request import NewPayout
from engine.payments.velocity import PayoutPolicy
from engine.settlement.deals import AcceptOffer, Deal, Mode
from engine.settlement.offers import NewOffer, Side
from storage import deals as deal_rows
from storage import payouts
from storage.address_book import AddressBook
from storage.club_commands import Command
from storage.deals import Deals
from storage.freezes import Freezes
from storage.offers import Offers
from storage.payout_decisions import Decisions
from storage.settlements import Settlements

if TYPE_CHECKING:
    from benchmarks.simulating.world import World

BY_WORD = {firm.word: firm for firm in FIRMS}
OPERATORS = ("op_ada", "op_grace")
LOW_CAP = 1_000 * DOLLAR
LOOKED_AT_AFTER = 3
LATE_MS = 30_000
IN_TIME_MS = 3_600_000
TOLERANCE = 40_000
"""Four cents: within what is let pass, a thousandth of the smallest deal."""


class People:
    """Everybody of one run. `act` lets a step's worth of things happen."""

    def __init__(self, world: "World", payouts: int) -> None:
        self._world = world
        self._random = world.dice.random
        self._agreements: dict[str, Agreement] = {}
        """By payout."""
        self._plans = self._plan(payouts)
        self._parts: dict[str, set[int]] = {}
        self._paying: list[tuple[int, Callable[[], Awaitable[None]]]] = []
        self._said: list[tuple[int, Callable[[], Awaitable[object]]]] = []
        self._numbers = 0
        self._steps = 0
        self._frozen: dict[str, tuple[tuple[str, str], int]] = {}
        self._wants_lower_cap = False
        self._asked_at: dict[str, int] = {}
        self._revoked: set[str] = set()
        self._split: set[tuple[Firm, Firm]] = set()
        self._cap_back_at: int | None = None
        self._awaited_refunds: dict[str, tuple[Firm, int]] = {}
        """Late transfer → who paid, how much."""

    @property
    def _revoked_addresses(self) -> set[str]:
        return {address(wallet) for wallet in self._revoked}

    @property
    def are_busy(self) -> bool:
        """Tell whether somebody has plans or is about to pay."""
        return bool(self._plans or self._paying)

    @property
    def are_done(self) -> bool:
        """Tell whether nothing is left that somebody has planned."""
        return not self.are_busy and not self._frozen and self._cap_back_at is None

    @property
    def unfinished(self) -> list[str]:
        """Name what people wait for in vain."""
        return [f"{len(self._plans)} plans, {len(self._paying)} payments"] if self.are_busy else []

    async def act(self) -> None:
        """Do what is planned for now, and sometimes what nobody has planned."""
        self._steps += 1
        for _ in range(3):
            if self._plans and self._random.random() < 0.6:
                await self._plans.pop(0)()
        due = [pay for step, pay in self._paying if step <= self._steps]
        self._paying = [(step, pay) for step, pay in self._paying if step > self._steps]
        for pay in due:
            await pay()
        await self._look_at_payouts()
        await self._expire_deals()
        if self._wants_lower_cap:
            self._wants_lower_cap = False
            await self._lower_cap()
        if self._world.dice.hits(self._world.dice.odds.people):
            deeds = [self._freeze, self._freeze, self._lower_cap]
            if not self._world.dice.odds.restore:
                # What was redirected and is forgotten goes to the first address, which was approved as well: right
                # by the book, and nobody could say afterwards what had been agreed.
                deeds += [self._revoke, self._redirect]
            await self._random.choice(deeds)()
        await self._change_back()

    def shown(self, payout: str, units: int) -> None:
        """See one transfer of a payout in the list. The largest one says how it is cut."""
        if units == CAP and payout not in self._parts and self._random.random() < 0.4:
            self._wants_lower_cap = self._world.dice.odds.people > 0
        self._parts.setdefault(payout, set()).add(units)
        agreement = self._agreements.get(payout)
        if agreement is not None:
            agreement.cap = max(self._parts[payout])

    async def put_in_order(self) -> None:
        """Lift what is frozen and put the rules back: from here on nothing must be in anybody's way."""
        for freeze in list(self._frozen):
            await self._lift(freeze)
        if self._cap_back_at is not None:
            self._cap_back_at = 0
        await self._change_back()

    async def say_again_since(self, moment: int) -> None:
        """Send everything once more that was said since then: the database has forgotten it, they have not."""
        self._parts.clear()
        for said_at, again in list(self._said):
            if said_at > moment:
                await again()

    # ------------------------------------------------------------------ plans

    def _plan(self, payouts: int) -> list[Callable[[], Awaitable[None]]]:
        eod = 2 if payouts >= 8 else 0
        late, withdrawals = payouts // 10, payouts // 8
        usual = payouts - eod - late - withdrawals
        plans: list[Callable[[], Awaitable[None]]] = [self._deal for _ in range(usual)]
        plans += [self._late_deal] * late + [self._withdraw] * withdrawals
        plans += [self._counterfeit, self._strange_amount, self._dust] if payouts >= 8 else []
        self._random.shuffle(plans)
        if eod:
            middle = len(plans) // 2
            plans[middle:middle] = [lambda pair=pair: self._day_of(pair) for pair in PAIRS]
        return plans

    def _number(self) -> int:
        self._numbers += 1
        return self._numbers

    def _amount(self, number: int, *, whole: bool = False) -> int:
        """Give an amount that no other agreement has, far enough from each other one to be told apart."""
        dollars = self._random.randint(50, 900) if not whole else self._random.randint(5_100, 9_900)
        return dollars * DOLLAR + number * 1_000 + number

    def _command(self, actor: str) -> Command:
        return Command(actor, f"command {self._number()}", self._now())

    def _now(self) -> Instant:
        return self._world.clock()

    async def _say(self, who: str, what: str, wish: Callable[[], Awaitable[Any]]) -> Any:
        """Put a wish to the engine, sometimes twice at once; remember it for the case that it is forgotten."""
        moment = self._world.trace.add(who, what)
        self._said.append((moment, wish))
        if self._world.dice.hits(self._world.dice.odds.people):
            self._world.dice.note("double click", who)
            answers = await asyncio.gather(wish(), wish())
            return answers[0]
        return await wish()

    # ------------------------------------------------------------------ deals

    async def _make(self, payer: Firm, payee: Firm, units: int, mode: Mode, within_ms: int) -> Deal | Refusal:
        number = self._number()
        offer, deal = OfferId(f"of_{number}"), DealId(f"de_{number}")
        house = self._world.house
        new = NewOffer(
            offer,
            payer.id,
            Side.SELL,
            Network.TRON,
            USDT,
            units,
            Decimal("1.01"),
            Instant(self._now() + DAY_MS),
            payer.trader,
        )
        made = self._command(payer.trader)
        await self._say(payer.trader, f"offers {units}", lambda: Offers(house).make(new, made))
        wallet = payee.wallets[0] if mode is Mode.PASS_THROUGH else None
        wish = AcceptOffer(deal, offer, payee.id, payee.trader, mode, wallet)
        accepted = self._command(payee.trader)
        rows = Deals(house, incoming_within_ms=within_ms)
        answer = await self._say(payee.trader, f"accepts {offer}", lambda: rows.accept(wish, accepted))
        if isinstance(answer, Refusal):
            self._world.trace.add(payee.trader, f"is refused: {answer.code}")
        return answer

    def _agree(self, payout: PayoutId, kind: str, payer: Firm, to: str, units: int, initiator: str) -> Agreement:
        agreement = Agreement(
            payout,
            kind,
            payer.id,
            address(payer.hot_wallet),
            to,
            self._world.network.contracts[USDT],
            units,
            CAP,
            frozenset(payer.approvers),
            APPROVALS,
            initiator,
            is_off=True,
        )
        self._agreements[payout] = agreement
        self._world.story.agreements.append(agreement)
        return agreement

    async def _deal(self) -> None:
        payer, payee = self._random.sample(FIRMS, 2)
        if payee.wallets[0] in self._revoked:
            return
        # Two payments in parts on one way could not be told apart: their full parts are alike.
        is_split = (payer, payee) not in self._split and (not self._split or self._random.random() < 0.15)
        if is_split:
            self._split.add((payer, payee))
        units = self._amount(self._numbers, whole=is_split)
        deal = await self._make(payer, payee, units, Mode.PASS_THROUGH, IN_TIME_MS)
        if isinstance(deal, Refusal):
            return
        to = address(payee.wallets[0])
        agreement = self._agree(payout_of_deal(deal.id), "pass_through", payer, to, units, "engine")
        if self._random.random() < 0.4:
            for approver in self._random.sample(payer.approvers, APPROVALS):
                await self._approve(agreement, approver, agreement.units, agreement.destination)
        sent = units + self._random.choice((0, 0, 0, 0, -TOLERANCE, TOLERANCE))
        self._paying.append(
            (self._steps + self._random.randint(1, 6), lambda: self._pay_in(agreement, payer, sent))
        )

    async def _pay_in(self, agreement: Agreement, payer: Firm, units: int) -> None:
        tx = self._transfer(payer, units)
        agreement.units = min(units, agreement.units)
        agreement.backing, agreement.is_off = tx, False

    def _transfer(self, payer: Firm, units: int) -> str:
        network = self._world.network
        tx = network.pay(payer.wallets[1], address(payer.hot_wallet), network.contracts[USDT], units)
        self._world.trace.add(payer.word, f"pays in {units} with {tx}")
        return tx

    async def _late_deal(self) -> None:
        """Pay long after the deadline: the money must come back, to the address that it came from."""
        payer, payee = self._random.sample(FIRMS, 2)
        if payee.wallets[0] in self._revoked or payer.wallets[1] in self._revoked:
            return
        units = self._amount(self._numbers)
        deal = await self._make(payer, payee, units, Mode.PASS_THROUGH, LATE_MS)
        if isinstance(deal, Refusal):
            return

        async def pay() -> None:
            if self._world.network.time() <= (deal.deadline_ms or 0) + LATE_MS:
                self._paying.append((self._steps + 1, pay))
                return
            tx = self._transfer(payer, units)
            # A refund is known by the transfer that it sends back; people look for it in the list.
            self._awaited_refunds[tx] = (payer, units)

        self._paying.append((self._steps + 8, pay))

    async def _withdraw(self) -> None:
        """Take free money out. Who asks for it has the right to approve, and tries to: that must not count."""
        firm = self._random.choice(FIRMS)
        if firm.wallets[0] in self._revoked:
            return
        number = self._number()
        units, to = self._amount(number), address(firm.wallets[0])
        payout = PayoutId(f"po_wd{number}")
        new = NewPayout(
            payout,
            firm.id,
            firm.id,
            Purpose.WITHDRAWAL,
            f"wd_{number}",
            Network.TRON,
            USDT,
            units,
            to,
            firm.wallets[0],
            firm.hot_wallet,
            firm.trader,
            self._now(),
        )

        async def ask() -> object:
            async with self._world.house.transaction() as connection:
                return (await payouts.request(connection, [new]))[0]

        answer = await self._say(firm.trader, f"withdraws {units}", ask)
        if isinstance(answer, Refusal):
            self._world.trace.add(firm.trader, f"is refused: {answer.code}")
            return
        agreement = self._agree(payout, "withdrawal", firm, to, units, firm.trader)
        agreement.is_off = False
        self._asked_at[payout] = self._steps
        await self._approve(agreement, firm.trader, units, to)
        await self._approve(agreement, self._random.choice(firm.approvers[1:]), units, to)

    async def _day_of(self, pair: tuple[str, str]) -> None:
        """A day of a trust pair: some deals either way, then the close, and one payment for the difference."""
        one, other = (BY_WORD[word] for word in pair)
        if one.wallets[0] in self._revoked or other.wallets[0] in self._revoked:
            return
        balance, session = 0, None
        for payer, payee in ((one, other), (other, one), (one, other)):
            units = self._amount(self._number())
            deal = await self._make(payer, payee, units, Mode.NETTING, IN_TIME_MS)
            if isinstance(deal, Deal):
                balance += units if payer is one else -units
                session = deal.session_id
        if session is None or not balance:
            return
        await self._close(session, *((one, other) if balance > 0 else (other, one)), abs(balance))

    async def _close(self, session: TrustSessionId, payer: Firm, payee: Firm, net: int) -> None:
        command = self._command(OPERATORS[0])
        rows = Settlements(self._world.house)
        report = await self._say(OPERATORS[0], f"closes {session}", lambda: rows.close([session], command))
        if isinstance(report, Refusal):
            self._world.trace.add(OPERATORS[0], f"is refused: {report.code}")
            return
        for row in report.settlements:
            if row.payout_id is not None:
                to = address(payee.wallets[0])
                agreement = self._agree(row.payout_id, "eod", payer, to, net, "engine")
                agreement.is_off = False

    # ------------------------------------------------------------------ money that nobody asked for

    async def _counterfeit(self) -> None:
        """Somebody sends a token that only looks like the one a deal waits for."""
        payer, payee = self._random.sample(FIRMS, 2)
        if payee.wallets[0] in self._revoked:
            return
        units = self._amount(self._numbers)
        deal = await self._make(payer, payee, units, Mode.PASS_THROUGH, IN_TIME_MS)
        if isinstance(deal, Refusal):
            return
        to = address(payee.wallets[0])
        agreement = self._agree(payout_of_deal(deal.id), "pass_through", payer, to, units, "engine")
        for approver in self._random.sample(payer.approvers, APPROVALS):
            await self._approve(agreement, approver, units, to)
        tx = self._world.network.counterfeit_for(address(payer.hot_wallet), units)
        self._world.trace.add(payer.word, f"pays in {units} of another token with {tx}")
        agreement.backing = tx

    async def _strange_amount(self) -> None:
        payer = self._random.choice(FIRMS)
        self._transfer(payer, self._amount(self._number()) * 3)

    async def _dust(self) -> None:
        self._transfer(self._random.choice(FIRMS), self._random.randint(1, 9_000))

    # ------------------------------------------------------------------ approving

    async def _look_at_payouts(self) -> None:
        """See what waits for approvals, and approve what is as it was agreed."""
        rows = await self._world.house.rows(
            """
            SELECT payout.id, purpose, purpose_id, to_address, amount_token, payee_id,
                   ARRAY(SELECT member_id FROM payout_approval AS given WHERE given.payout_id = payout.id
                         AND given.fields_hash = payout.fields_hash ORDER BY member_id) AS approved_by
            FROM payout WHERE EXISTS (SELECT FROM payout_task AS task WHERE task.payout_id = payout.id
                                      AND task.state IN ('queued', 'signing')) ORDER BY payout.id
            """
        )
        for row in rows:
            agreement = self._agreements.get(row["id"]) or self._refund_shown(row)
            is_new = self._steps - self._asked_at.get(row["id"], 0) < LOOKED_AT_AFTER
            if agreement is None or is_new or self._random.random() < 0.4:
                continue
            if row["to_address"] in self._revoked_addresses:
                await self._send_elsewhere(agreement, next(firm for firm in FIRMS if firm.id == row["payee_id"]))
                continue
            if (agreement.destination, agreement.units) != (row["to_address"], int(row["amount_token"])):
                # Not what was agreed. Nobody says yes to it.
                self._world.trace.add("people", f"find {row['id']} strange: {row['amount_token']}")
                continue
            missing = [each for each in sorted(agreement.approvers) if each not in row["approved_by"]]
            able = [each for each in missing if each != agreement.initiator]
            given = [each for each in row["approved_by"] if each != agreement.initiator]
            wanted = min(APPROVALS - len(given), len(able))
            if wanted > 0:
                chosen = self._random.sample(able, self._random.randint(1, wanted))
                shown = int(row["amount_token"]), row["to_address"]
                await self._approve_at_once(agreement, chosen, *shown)

    def _refund_shown(self, row: Any) -> Agreement | None:
        for tx, (payer, units) in self._awaited_refunds.items():
            if row["purpose"] == Purpose.REFUND and tx in row["purpose_id"]:
                to = address(payer.wallets[1])
                agreement = self._agree(PayoutId(row["id"]), "refund", payer, to, units, "engine")
                agreement.backing, agreement.is_off = tx, False
                return agreement
        return None

    async def _approve(self, agreement: Agreement, approver: str, units: int, destination: str) -> None:
        await self._approve_at_once(agreement, [approver], units, destination)

    async def _approve_at_once(
        self, agreement: Agreement, approvers: list[str], units: int, destination: str
    ) -> None:
        """Say yes, all in the same moment. Whose answer comes first is luck, so they are told in one order."""
        wishes = [self._yes(agreement, approver, units, destination) for approver in approvers]
        answers = await asyncio.gather(*(wish() for _, wish in wishes))
        for approver, (moment, _), answer in zip(approvers, wishes, answers, strict=True):
            if answer is None:
                self._world.story.approvals.append(Approval(agreement.name, approver, destination, units, moment))
            else:
                self._world.trace.add(approver, f"is refused: {answer.code}")

    def _yes(
        self, agreement: Agreement, approver: str, units: int, destination: str
    ) -> tuple[int, Callable[[], Awaitable[Refusal | None]]]:
        fields = PayoutFields(PayoutId(agreement.name), Network.TRON, USDT, units, destination)
        command = self._command(approver)
        decisions = Decisions(self._world.house)
        company = agreement.company
        moment = self._world.trace.add(approver, f"approves {agreement.name}")

        async def wish() -> Refusal | None:
            return await decisions.approve(fields, company, command)

        self._said.append((moment, wish))
        return moment, wish

    # ------------------------------------------------------------------ what nobody has planned

    async def _freeze(self) -> None:
        firm = self._random.choice(FIRMS)
        scope, subject, place = self._random.choice(
            (
                (Scope.GLOBAL, "", ("global", "")),
                (Scope.WALLET, firm.hot_wallet, ("wallet", address(firm.hot_wallet))),
                (Scope.COMPANY, firm.id, ("company", firm.id)),
            )
        )
        if any(there == place for there, _ in self._frozen.values()):
            return
        command = self._command(OPERATORS[0])
        rows = Freezes(self._world.house)
        freeze = await self._say(
            OPERATORS[0], f"freezes {scope} {subject}", lambda: rows.enter(scope, subject, "", command)
        )
        self._world.dice.note("freeze", scope)
        self._world.story.frozen[place].append(Window(self._world.trace.moment))
        self._frozen[freeze] = (place, self._steps + self._random.randint(2, 12))

    async def _lift(self, freeze: str) -> None:
        place, _ = self._frozen.pop(freeze)
        # From the first wish to lift it on, nobody can say when it stops being in force.
        shut(self._world.story.frozen[place], self._world.trace.moment)
        await self._lift_as_both(freeze)

    async def _lift_as_both(self, freeze: str) -> None:
        rows = Freezes(self._world.house)
        for operator in OPERATORS:
            command = self._command(operator)
            answer = await self._say(
                operator, f"lifts {freeze}", lambda command=command: rows.lift(freeze, command)
            )
            if isinstance(answer, Refusal):
                self._world.trace.add(operator, f"is refused: {answer.code}")

    async def _change_back(self) -> None:
        for freeze, (_, until) in list(self._frozen.items()):
            if until <= self._steps:
                await self._lift(freeze)
        if self._cap_back_at is not None and self._cap_back_at <= self._steps:
            self._cap_back_at = None
            await self._set_cap(CAP)
        if self._steps % 3 == 0:
            for row in await Freezes(self._world.house).current():
                if row.is_safe_mode:
                    await self._lift_as_both(row.id)

    async def _revoke(self) -> None:
        """Take an address off the list while payouts to it are under way."""
        firm = self._random.choice(FIRMS)
        wallet = firm.wallets[0]
        if self._revoked:
            return
        self._revoked.add(wallet)
        command = self._command(firm.trader)
        rows = AddressBook(self._world.house)
        await self._say(firm.trader, f"revokes {wallet}", lambda: rows.revoke(wallet, command))
        self._world.dice.note("address revoked", wallet)
        story, contract = self._world.story, self._world.network.contracts[USDT]
        shut(story.allowed[contract, address(wallet)], self._world.trace.moment)

    async def _lower_cap(self) -> None:
        """Change the rule between a payout's creation and its signature."""
        if self._cap_back_at is None:
            self._world.dice.note("cap lowered")
            await self._set_cap(LOW_CAP)
            self._cap_back_at = self._steps + self._random.randint(3, 10)

    async def _set_cap(self, cap: int) -> None:
        command = self._command(OPERATORS[1])
        policy = PayoutPolicy(USDT, cap, APPROVALS, WINDOW_MS, WINDOW)
        rows = Decisions(self._world.house)

        async def set_it() -> None:
            await rows.set_policy(policy, command)
            self._world.story.caps.append((self._world.trace.moment, cap))

        await self._say(OPERATORS[1], f"sets the cap to {cap}", set_it)

    async def _redirect(self) -> None:
        """Send a payout that is not signed yet to the payee's other address. What was approved is void then."""
        for row in await self._world.house.rows(
            "SELECT DISTINCT payout.id, payee_id FROM payout "
            "JOIN payout_task AS task ON task.payout_id = payout.id WHERE task.state = 'queued' ORDER BY payout.id"
        ):
            agreement = self._agreements.get(row["id"])
            payee = next(firm for firm in FIRMS if firm.id == row["payee_id"])
            if agreement is not None and agreement.destination == address(payee.wallets[0]):
                await self._send_elsewhere(agreement, payee)
                return

    async def _send_elsewhere(self, agreement: Agreement, payee: Firm) -> None:
        payer = next(firm for firm in FIRMS if firm.id == agreement.company)
        wallet = WalletId(payee.wallets[1])
        actor = payer.approvers[0]
        command = self._command(actor)
        rows = Decisions(self._world.house)
        payout = PayoutId(agreement.name)
        answer = await self._say(actor, f"redirects {payout}", lambda: rows.redirect(payout, wallet, command))
        if isinstance(answer, Refusal):
            self._world.trace.add(actor, f"is refused: {answer.code}")
            if answer.code == "already_signed" and agreement.destination in self._revoked_addresses:
                await self._give_up(agreement, payer)
            return
        self._world.dice.note("payout redirected")
        agreement.destination, agreement.initiator = address(wallet), actor

    async def _give_up(self, agreement: Agreement, payer: Firm) -> None:
        """Leave the rest unpaid: a part has gone to an address that is revoked since; no other may get it."""
        actor = payer.approvers[1]
        command = self._command(actor)
        rows = Decisions(self._world.house)
        payout = PayoutId(agreement.name)
        answer = await self._say(actor, f"gives {payout} up", lambda: rows.give_up(payout, "revoked", command))
        if answer is None:
            self._world.dice.note("payout given up")
            agreement.is_off = True

    async def _expire_deals(self) -> None:
        if self._steps % 5 == 0:
            async with self._world.house.transaction() as connection:
                await deal_rows.expire(connection, self._now())
