"""The people of the club: they trade, pay in, approve and close days.

What they agreed on, and what they were shown when they said yes, is told to the auditor in plain words: he
believes people, never the programs. How they talk to the engine is in `talk`, what nobody has planned in
`second_thoughts`.
"""

import asyncio
from collections.abc import Awaitable, Callable
from decimal import Decimal
from functools import partial
from typing import TYPE_CHECKING, Any

from benchmarks.simulating.auditor import Agreement, Approval
from benchmarks.simulating.club import (
    APPROVALS,
    CAP,
    DAY_MS,
    DOLLAR,
    FIRMS,
    PAIRS,
    USDT,
    Firm,
    withdrawal,
)
from benchmarks.simulating.network import address
from benchmarks.simulating.second_thoughts import SecondThoughts
from benchmarks.simulating.talk import OPERATORS, Talk
from engine.errors import Refusal
from engine.ids import DealId, Instant, OfferId, PayoutId, TrustSessionId
from engine.money import Network
from engine.payments.approval import PayoutFields
from engine.payments.payout import Purpose, payout_of_deal
from engine.settlement.deals import AcceptOffer, Deal, Mode
from engine.settlement.offers import NewOffer, Side
from storage import deals as deal_rows
from storage import payouts
from storage.deals import Deals
from storage.offers import Offers
from storage.payout_decisions import Decisions
from storage.settlements import Settlements

if TYPE_CHECKING:
    from benchmarks.simulating.world import World

BY_WORD = {firm.word: firm for firm in FIRMS}
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
        self._talk = Talk(world)
        self._thoughts = SecondThoughts(world, self._talk, self._agreements)
        self._plans = self._plan(payouts)
        self._parts: dict[str, set[int]] = {}
        self._paying: list[tuple[int, Callable[[], Awaitable[None]]]] = []
        self._steps = 0
        self._asked_at: dict[str, int] = {}
        self._split: set[tuple[Firm, Firm]] = set()
        self._dollars: set[int] = set()
        """Whole dollars of all amounts so far: two within the tolerance of each other could not be told apart."""
        self._paid_in: dict[str, tuple[Agreement, Firm, int]] = {}
        """Transfer for a deal → for what, by whom, how much."""
        self._awaited_refunds: dict[str, tuple[Firm, int]] = {}
        """Late transfer → who paid, how much."""

    @property
    def are_busy(self) -> bool:
        """Tell whether somebody has plans or is about to pay."""
        return bool(self._plans or self._paying)

    @property
    def are_done(self) -> bool:
        """Tell whether nothing is left that somebody has planned."""
        return not self.are_busy and not self._thoughts.are_in_force

    @property
    def paid_in(self) -> set[str]:
        """Name the transfers that a payout must follow: for a deal, or back where they came from."""
        return {*self._paid_in, *self._awaited_refunds}

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
        await self._thoughts.act()

    async def put_in_order(self) -> None:
        """Take back what is in anybody's way: from here on everything must come to its end."""
        await self._thoughts.put_in_order()

    def shown(self, payout: str, units: int) -> None:
        """See one transfer of a payout in the list. The largest one says how it is cut."""
        if units == CAP and payout not in self._parts and self._random.random() < 0.4:
            self._thoughts.want_lower_cap()
        self._parts.setdefault(payout, set()).add(units)
        agreement = self._agreements.get(payout)
        if agreement is not None:
            agreement.cap = max(self._parts[payout])

    async def say_again_since(self, moment: int) -> None:
        """Send everything once more that was said since then: the database has forgotten it, they have not."""
        self._parts.clear()
        await self._talk.again_since(moment)
        await self._pay_again()

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

    def _amount(self, number: int, *, whole: bool = False) -> int:
        """Give an amount that no other agreement has, far enough from each other one to be told apart."""
        free = set(range(5_100, 9_900) if whole else range(50, 900)) - self._dollars
        dollars = self._random.choice(sorted(free))
        self._dollars.add(dollars)
        return dollars * DOLLAR + number * 1_000 + number

    # ------------------------------------------------------------------ deals

    async def _make(self, payer: Firm, payee: Firm, units: int, mode: Mode, within_ms: int) -> Deal | Refusal:
        number = self._talk.number()
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
            Instant(self._world.clock() + DAY_MS),
            payer.trader,
        )
        made = self._talk.command(payer.trader)
        await self._talk.say(payer.trader, f"offers {units}", lambda: Offers(house).make(new, made))
        wallet = payee.wallets[0] if mode is Mode.PASS_THROUGH else None
        wish = AcceptOffer(deal, offer, payee.id, payee.trader, mode, wallet)
        accepted = self._talk.command(payee.trader)
        rows = Deals(house, incoming_within_ms=within_ms)
        answer = await self._talk.say(payee.trader, f"accepts {offer}", lambda: rows.accept(wish, accepted))
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
        if payee.wallets[0] in self._thoughts.revoked:
            return
        # Two payments in parts on one way could not be told apart: their full parts are alike. A day's net is paid
        # in parts, too, while the cap is low.
        is_split = (payer, payee) not in self._split and (not self._split or self._random.random() < 0.15)
        is_split = is_split and {payer.word, payee.word} not in map(set, PAIRS)
        if is_split:
            self._split.add((payer, payee))
        units = self._amount(self._talk.numbers, whole=is_split)
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
        # Of two, the first: its payout may have been signed before all of it was forgotten.
        agreement.backing, agreement.is_off = agreement.backing or tx, False
        self._paid_in[tx] = (agreement, payer, units)

    async def _pay_again(self) -> None:
        """Pay once more where money was read while its deal was forgotten.

        It is in the payer's free funds then, or, where another deal was open at that address, in suspense.
        """
        rows = await self._world.house.rows(
            "SELECT tx_hash FROM incoming_tx WHERE tx_hash = ANY ($1) AND place IN ('funds', 'suspense') "
            "AND status <> 'reversed' ORDER BY tx_hash",
            list(self._paid_in),
        )
        for row in rows:
            again = partial(self._pay_in, *self._paid_in.pop(row["tx_hash"]))
            self._paying.append((self._steps + 1, again))

    def _transfer(self, payer: Firm, units: int) -> str:
        network = self._world.network
        tx = network.pay(payer.wallets[1], address(payer.hot_wallet), network.contracts[USDT], units)
        self._world.trace.add(payer.word, f"pays in {units} with {tx}")
        return tx

    async def _late_deal(self) -> None:
        """Pay long after the deadline: the money must come back, to the address that it came from."""
        payer, payee = self._random.sample(FIRMS, 2)
        if payee.wallets[0] in self._thoughts.revoked or payer.wallets[1] in self._thoughts.revoked:
            return
        units = self._amount(self._talk.numbers)
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
        if firm.wallets[0] in self._thoughts.revoked:
            return
        number = self._talk.number()
        units, to = self._amount(number), address(firm.wallets[0])
        new = withdrawal(firm, f"wd{number}", units, to, self._world.clock())
        payout = new.id

        async def ask() -> object:
            async with self._world.house.transaction() as connection:
                return (await payouts.request(connection, [new]))[0]

        answer = await self._talk.say(firm.trader, f"withdraws {units}", ask)
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
        if one.wallets[0] in self._thoughts.revoked or other.wallets[0] in self._thoughts.revoked:
            return
        balance, session = 0, None
        for payer, payee in ((one, other), (other, one), (one, other)):
            units = self._amount(self._talk.number())
            deal = await self._make(payer, payee, units, Mode.NETTING, IN_TIME_MS)
            if isinstance(deal, Deal):
                balance += units if payer is one else -units
                session = deal.session_id
        if session is None or not balance:
            return
        await self._close(session, *((one, other) if balance > 0 else (other, one)), abs(balance))

    async def _close(self, session: TrustSessionId, payer: Firm, payee: Firm, net: int) -> None:
        command = self._talk.command(OPERATORS[0])
        rows = Settlements(self._world.house)
        report = await self._talk.say(OPERATORS[0], f"closes {session}", lambda: rows.close([session], command))
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
        if payee.wallets[0] in self._thoughts.revoked:
            return
        units = self._amount(self._talk.numbers)
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
        # No deal is of thousands and below five.
        self._transfer(payer, self._random.randint(1_100, 4_900) * DOLLAR + self._talk.number())

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
            if row["to_address"] in self._thoughts.revoked_addresses:
                await self._thoughts.send_elsewhere(
                    agreement, next(firm for firm in FIRMS if firm.id == row["payee_id"])
                )
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
        command = self._talk.command(approver)
        decisions = Decisions(self._world.house)
        company = agreement.company
        moment = self._world.trace.add(approver, f"approves {agreement.name}")

        async def wish() -> Refusal | None:
            return await decisions.approve(fields, company, command)

        self._talk.remember(moment, wish)
        return moment, wish

    async def _expire_deals(self) -> None:
        if self._steps % 5 == 0:
            async with self._world.house.transaction() as connection:
                await deal_rows.expire(connection, self._world.clock())
