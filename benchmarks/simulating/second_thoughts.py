"""What nobody has planned: people freeze and lift, take addresses off the list, change rules and their minds.

Each of it is told to the auditor as the world would see it: from when on a freeze is certain, until when an
address was allowed.
"""

from typing import TYPE_CHECKING

from benchmarks.simulating.auditor import Agreement, Window, shut
from benchmarks.simulating.club import APPROVALS, CAP, DOLLAR, FIRMS, USDT, WINDOW, WINDOW_MS, Firm
from benchmarks.simulating.network import address
from benchmarks.simulating.talk import OPERATORS, Talk
from engine.errors import Refusal
from engine.ids import PayoutId, WalletId
from engine.payments.freeze import Scope
from engine.payments.velocity import PayoutPolicy
from storage.address_book import AddressBook
from storage.freezes import Freezes
from storage.payout_decisions import Decisions

if TYPE_CHECKING:
    from benchmarks.simulating.world import World

LOW_CAP = 1_000 * DOLLAR


class SecondThoughts:
    """Whatever people do besides their plans. `act` once a step; `agreements` are theirs, by payout."""

    def __init__(self, world: "World", talk: Talk, agreements: dict[str, Agreement]) -> None:
        self.revoked: set[str] = set()
        self._world = world
        self._talk = talk
        self._agreements = agreements
        self._random = world.dice.random
        self._steps = 0
        self._frozen: dict[str, tuple[tuple[str, str], int]] = {}
        """Freeze → its place, and the step at which it is lifted."""
        self._wants_lower_cap = False
        self._cap_back_at: int | None = None

    @property
    def revoked_addresses(self) -> set[str]:
        """Give the addresses that nobody may be paid at any more."""
        return {address(wallet) for wallet in self.revoked}

    @property
    def are_in_force(self) -> bool:
        """Tell whether something holds that somebody is going to take back."""
        return bool(self._frozen) or self._cap_back_at is not None

    async def act(self) -> None:
        """Do what comes to somebody's mind now, and take back what is over."""
        self._steps += 1
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

    def want_lower_cap(self) -> None:
        """Have a payout in parts waiting whose rule is changed at the next step."""
        self._wants_lower_cap = self._world.dice.odds.people > 0

    async def put_in_order(self) -> None:
        """Lift what is frozen and put the rules back."""
        for freeze in list(self._frozen):
            await self._lift(freeze)
        if self._cap_back_at is not None:
            self._cap_back_at = 0
        await self._change_back()

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
        command = self._talk.command(OPERATORS[0])
        rows = Freezes(self._world.house)
        freeze = await self._talk.say(
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
            command = self._talk.command(operator)
            answer = await self._talk.say(
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
        if self.revoked:
            return
        self.revoked.add(wallet)
        command = self._talk.command(firm.trader)
        rows = AddressBook(self._world.house)
        await self._talk.say(firm.trader, f"revokes {wallet}", lambda: rows.revoke(wallet, command))
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
        command = self._talk.command(OPERATORS[1])
        policy = PayoutPolicy(USDT, cap, APPROVALS, WINDOW_MS, WINDOW)
        rows = Decisions(self._world.house)

        async def set_it() -> None:
            await rows.set_policy(policy, command)
            self._world.story.caps.append((self._world.trace.moment, cap))

        await self._talk.say(OPERATORS[1], f"sets the cap to {cap}", set_it)

    async def _redirect(self) -> None:
        """Send a payout that is not signed yet to the payee's other address. What was approved is void then."""
        for row in await self._world.house.rows(
            "SELECT DISTINCT payout.id, payee_id FROM payout "
            "JOIN payout_task AS task ON task.payout_id = payout.id WHERE task.state = 'queued' ORDER BY payout.id"
        ):
            agreement = self._agreements.get(row["id"])
            payee = next(firm for firm in FIRMS if firm.id == row["payee_id"])
            if agreement is not None and agreement.destination == address(payee.wallets[0]):
                await self.send_elsewhere(agreement, payee)
                return

    async def send_elsewhere(self, agreement: Agreement, payee: Firm) -> None:
        """Redirect a payout to the payee's other address; give it up where a part has gone to the first one."""
        payer = next(firm for firm in FIRMS if firm.id == agreement.company)
        wallet = WalletId(payee.wallets[1])
        actor = payer.approvers[0]
        command = self._talk.command(actor)
        rows = Decisions(self._world.house)
        payout = PayoutId(agreement.name)
        answer = await self._talk.say(actor, f"redirects {payout}", lambda: rows.redirect(payout, wallet, command))
        if isinstance(answer, Refusal):
            self._world.trace.add(actor, f"is refused: {answer.code}")
            if answer.code == "already_signed" and agreement.destination in self.revoked_addresses:
                await self._give_up(agreement, payer)
            return
        self._world.dice.note("payout redirected")
        agreement.destination, agreement.initiator = address(wallet), actor

    async def _give_up(self, agreement: Agreement, payer: Firm) -> None:
        """Leave the rest unpaid: a part has gone to an address that is revoked since; no other may get it."""
        actor = payer.approvers[1]
        command = self._talk.command(actor)
        rows = Decisions(self._world.house)
        payout = PayoutId(agreement.name)
        answer = await self._talk.say(
            actor, f"gives {payout} up", lambda: rows.give_up(payout, "revoked", command)
        )
        if answer is None:
            self._world.dice.note("payout given up")
            agreement.is_off = True
