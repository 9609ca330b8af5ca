"""What every harness of real kills needs: somebody who keeps the engine busy, the judgement, PostgreSQL's death.

The club asks and pays as people do, and tells the auditor what it has asked for. Whether everything is over it
reads from the database; whether money moved once, the auditor says by the chain alone.
"""

import asyncio
import os
import signal
import time
from collections.abc import Awaitable, Callable
from contextlib import suppress

import msgspec

from benchmarks.simulating.auditor import Agreement, Approval, Story, Window, audit
from benchmarks.simulating.checks import broken
from benchmarks.simulating.club import APPROVALS, CAP, DOLLAR, FIRMS, USDT, Firm, withdrawal
from benchmarks.simulating.network import SOLID_LAG, Network, address
from engine.errors import OutcomeUnknown, Retryable
from engine.ids import PayoutId
from storage import payouts
from storage.club_commands import Command
from storage.database import Database
from storage.embedded import EmbeddedPostgres
from storage.payout_decisions import Decisions
from storage.payout_memory import DatabaseRestored

SETTLE_S = 120.0
AFTER_ALL = 2**40
"""A moment later than everything that people say."""


class KillReport(msgspec.Struct):
    """What was killed, and what was found afterwards."""

    kills: dict[str, int] = {}
    payouts: int = 0
    confirmed: int = 0
    findings: list[str] = []
    settled_s: float = 0.0


class Club:
    """Who keeps the engine busy: a withdrawal and a payment in for every kill, and the auditor's story of it."""

    def __init__(self, database: Database, network: Network) -> None:
        self._database = database
        self._network = network
        self._number = 0
        self.paid_in = 0
        self.story = Story(
            solid_depth=SOLID_LAG,
            our_addresses=frozenset(address(firm.hot_wallet) for firm in FIRMS),
            contracts=frozenset(at for at in network.contracts.values() if at),
        )
        for firm in FIRMS:
            self.story.allowed[network.contracts[USDT], address(firm.wallets[0])].append(Window(0))

    @property
    def next_firm(self) -> Firm:
        """Say whose address the next question concerns."""
        return self._firm(self._number + 1)

    async def ask(self) -> None:
        """Ask for one payout, approve it, and pay something in."""
        self._number += 1
        await self._wish(self._number)
        firm = self._firm(self._number)
        self._network.pay(
            firm.wallets[1], address(firm.hot_wallet), self._network.contracts[USDT], DOLLAR + self._number
        )
        self.paid_in += DOLLAR + self._number

    async def say_again(self, database: Database) -> None:
        """Say everything once more to a database that may have forgotten it, as soon as its signers listen."""
        self._database = database
        async with asyncio.timeout(SETTLE_S):
            for number in range(1, self._number + 1):
                while not await self._is_heard(number):  # noqa: ASYNC110  the signers are another process
                    await asyncio.sleep(0.1)

    async def _is_heard(self, number: int) -> bool:
        try:
            await self._wish(number)
        except DatabaseRestored:
            return False
        return True

    def _firm(self, number: int) -> Firm:
        return FIRMS[number % len(FIRMS)]

    async def _wish(self, number: int) -> None:
        firm = self._firm(number)
        units, to = 10 * DOLLAR + number, address(firm.wallets[0])
        now = self._network.time()
        new = withdrawal(firm, f"kill{number}", units, to, now)
        payout = new.id
        await self._database.repeat(lambda connection: payouts.request(connection, [new]))
        fields = new.fields
        for approver in firm.approvers[1 : 1 + APPROVALS]:
            command = Command(approver, f"approve {payout}", now)
            await Decisions(self._database).approve(fields, firm.id, command)
            self.story.approvals.append(Approval(payout, approver, to, units, number))
        if number > len(self.story.agreements):
            self.story.agreements.append(self._agreement(payout, firm, units, to))

    def _agreement(self, payout: PayoutId, firm: Firm, units: int, to: str) -> Agreement:
        return Agreement(
            payout,
            "withdrawal",
            firm.id,
            address(firm.hot_wallet),
            to,
            self._network.contracts[USDT],
            units,
            CAP,
            frozenset(firm.approvers),
            APPROVALS,
            firm.trader,
        )

    async def are_served(self) -> bool:
        """Tell whether every payout is over and everything that was paid in is credited."""
        left = await self._database.value(
            "SELECT count(*) FROM payout_task WHERE state NOT IN ('confirmed', 'failed')"
        )
        return not left and await self._credited() == self.paid_in

    async def judge(self, report: KillReport) -> None:
        """Write down what was asked for, what was paid, the auditor's findings, and the database's own."""
        story = self.story
        story.movements = self._network.movements()
        story.signed = {movement.tx: AFTER_ALL for movement in story.movements}
        rows = await self._database.rows("SELECT id, state, coalesce(tx_hash, '') AS tx FROM payout_task")
        story.final_states = {row["id"]: (row["state"], row["tx"]) for row in rows}
        credited = await self._credited()
        wrong = [] if credited == self.paid_in else [f"{self.paid_in} was paid in, {credited} credited"]
        report.payouts = len(story.agreements)
        report.confirmed = sum(state == "confirmed" for state, _ in story.final_states.values())
        report.findings = [*audit(story).all(), *wrong, *await broken(self._database)]

    async def _credited(self) -> int:
        # The companies' first money is more than anybody here pays in.
        return int(
            await self._database.value(
                "SELECT coalesce(sum(amount_token), 0) FROM incoming_tx WHERE amount_token < $1", 100 * DOLLAR
            )
        )


async def _nothing() -> None:
    """Do nothing meanwhile."""


async def settle(club: Club, also: Callable[[], Awaitable[None]] = _nothing) -> float:
    """Wait until everybody is served, or for as long as that may take; give the seconds."""
    began_s = time.monotonic()
    with suppress(TimeoutError):
        async with asyncio.timeout(SETTLE_S):
            while not await club.are_served():
                await also()
                await asyncio.sleep(0.2)
    return round(time.monotonic() - began_s, 1)


async def kill_postgres(postgres: EmbeddedPostgres, database: Database) -> None:
    """Kill the server, start it again on its folder, and come back when it answers."""
    assert postgres.pid is not None
    os.kill(postgres.pid, signal.SIGKILL)
    while postgres.pid is not None:  # noqa: ASYNC110  a process that dies sets no event
        await asyncio.sleep(0.01)
    await postgres.start()
    while True:
        with suppress(Retryable, OutcomeUnknown):
            await database.ping()
            return
        await asyncio.sleep(0.05)
