"""Every crash point × every fate of the broadcast × every view of the nodes, for one payout each; nothing is
drawn.

A row of the table is one crash point and runs in one world, payment after payment. The crash comes when the
point is first passed; the fate meets every broadcast of the first bytes; the view holds until the payment is
over. Whatever the cell: the payment is made once, and comes to its end.
"""

from collections import Counter
from collections.abc import Awaitable, Callable
from pathlib import Path

from actors import chain_watcher, payout_signer
from adapters.chains.tron.devnet.faults import HONEST, Conduct, Reading, Request, Sending, View
from adapters.chains.tron.devnet.transactions import unpack
from benchmarks.simulating.club import APPROVALS, DOLLAR, FIRMS, USDT, withdrawal
from benchmarks.simulating.databases import Copies
from benchmarks.simulating.faults import CALM
from benchmarks.simulating.network import NODES, SOLID_LAG, Network, address
from benchmarks.simulating.work import Job, Report
from benchmarks.simulating.world import World
from engine.ids import PayoutId
from engine.ledger.accounts import funds
from storage import payouts
from storage.club_commands import Command
from storage.ledger import Ledger
from storage.payout_decisions import Decisions

FIRM = FIRMS[2]
STEPS_MAX = 40
HEALED_AFTER_STEPS = 5
"""So long a view lasts. Nodes that contradict each other stop the engine, and must not for ever."""
BLOCKS_A_STEP = 6
POINTS = tuple(f"signer:{name}" for name in payout_signer.CRASH_POINTS) + tuple(
    f"watcher:{name}" for name in chain_watcher.CRASH_POINTS
)
FATES = (
    Sending.ANSWERED,
    Sending.SILENT_ACCEPTED,
    Sending.SILENT_LATE,
    Sending.SILENT_DROPPED,
    Sending.BROKEN_ACCEPTED,
    Sending.ERROR_ACCEPTED,
    Sending.DUP_DROPPED,
    Sending.BUSY,
    Sending.TAKEN_DROPPED,
)
LATE_BLOCKS = 9
VIEWS: dict[str, tuple[Conduct, ...]] = {
    "all are well": (HONEST, HONEST, HONEST),
    "one lags": (Conduct(View(lag=8)), HONEST, HONEST),
    "one is silent": (Conduct(reading=Reading.SILENT), HONEST, HONEST),
    "one is on another fork": (HONEST, Conduct(View(branch_from=5)), HONEST),
    "one withholds everything": (HONEST, HONEST, Conduct(View(withholds_all=True))),
    "all lag differently": (Conduct(View(lag=1)), Conduct(View(lag=4)), Conduct(View(lag=8))),
}


class Row(World):
    """The world of one row: no luck, one planned death, one fate, one view."""

    death: str | None = None
    fate = Sending.ANSWERED
    first_tx: str | None = None

    def dies_at(self, place: str) -> bool:
        """Die where it is planned, once."""
        if place != self.death:
            return False
        self.death = None
        return True

    def plan(self, death: str, fate: Sending, view: str) -> None:
        """Lay out the next cell."""
        self.death, self.fate, self.first_tx = death, fate, None
        self.conducts = dict(zip(NODES, VIEWS[view], strict=True))

    def heal(self) -> None:
        """Let every node be well again."""
        self.conducts = dict.fromkeys(NODES, HONEST)

    def _conduct(self, request: Request) -> Conduct | None:
        own = self.conducts[request.node]
        if not request.is_broadcast or self.fate is Sending.ANSWERED:
            return own
        tx = unpack(bytes.fromhex(request.body["transaction"])).id
        self.first_tx = self.first_tx or tx
        return Conduct(own.view, own.reading, self.fate, LATE_BLOCKS) if tx == self.first_tx else own

    async def begin(self) -> None:
        """Open the world without letting it run by itself."""
        await self._copies.fresh()
        await self.house.open()
        self.network.devnet.choose_with(self._conduct)

    async def end(self) -> None:
        """Close it."""
        for life in self._lives.values():
            life.tear()
        await self.house.close()

    def restart(self, name: str) -> None:
        """Let the next turn begin a new life."""
        life = self._lives.pop(name, None)
        if life is not None:
            life.tear()


async def run_row(
    job: Job, network: Network, copies: Copies, folder: Path, tell: Callable[[str], None] | None
) -> Report:
    """Run one row of the table."""
    point = POINTS[job.number]
    row = Row(job.number, network, copies, folder, odds=CALM, payouts=0, tell=tell)
    findings: list[str] = []
    faults: Counter[str] = Counter()
    cells = 0
    await row.begin()
    try:
        for view in VIEWS:
            for fate in FATES if point.startswith("signer") else FATES[:1]:
                cells += 1
                row.plan(point, fate, view)
                problem = await _passing(point)(row, cells)
                if row.death is not None:
                    problem = problem or "the crash point was never passed"
                findings += [f"{point} × {fate} × {view}: {problem}"] if problem else []
                faults[f"broadcast {fate}"] += 1
                faults[f"view {view}"] += 1
        findings += row.findings.crashes
        findings += await row.invariants()
    finally:
        await row.end()
    counts = {
        "cells": cells,
        "doubles": sum("paid" in line for line in findings),
        "stuck": sum("still" in line for line in findings),
    }
    return Report(job, row.trace.digest, 0.0, findings, counts, dict(faults), dict(row.hit))


def _passing(point: str) -> Callable[[Row, int], Awaitable[str]]:
    """Give the story in which a crash point is passed."""
    if point.startswith("signer"):
        return _pay_out
    return _pay_in_on_two_chains if point.startswith("watcher:roll_back") else _pay_in


async def _pay_out(row: Row, number: int) -> str:
    """Make one payment through one crash; say what is wrong with it."""
    units, to = 100 * DOLLAR + number, address(FIRM.wallets[0])
    now = row.clock()
    new = withdrawal(FIRM, f"cell{number}", units, to, now)
    payout = new.id
    async with row.house.transaction() as connection:
        await payouts.request(connection, [new])
    fields = new.fields
    for approver in FIRM.approvers[1 : 1 + APPROVALS]:
        await Decisions(row.house).approve(fields, FIRM.id, Command(approver, f"approve {payout}", now))
    row.restart(FIRM.word)
    began = row.network.head
    state = await _until_over(row, payout)
    row.network.produce(SOLID_LAG + LATE_BLOCKS)
    paid = [each for each in row.network.movements(since=began) if (each.recipient, each.units) == (to, units)]
    if len(paid) != 1:
        return f"paid {len(paid)} times, the task is {state}"
    return "" if state == "confirmed" else f"the task is still {state}"


async def _until_over(row: Row, payout: PayoutId) -> str:
    state = "queued"
    for step in range(STEPS_MAX):
        if step == HEALED_AFTER_STEPS:
            row.heal()
        await row.turn(FIRM.word)
        row.network.produce(BLOCKS_A_STEP)
        state = await row.house.value("SELECT state FROM payout_task WHERE payout_id = $1", payout)
        if state in ("confirmed", "failed"):
            break
    return state


async def _pay_in(row: Row, number: int) -> str:
    """Credit one transfer through one crash; say what is wrong with it."""
    payment = await Payment.make(row, number)
    row.restart("watcher")
    return await payment.credited()


async def _pay_in_on_two_chains(row: Row, number: int) -> str:
    """Credit one transfer, let its final block be replaced, and credit it from the other one through one crash."""
    conducts = row.conducts
    row.heal()
    payment = await Payment.make(row, number)
    death, row.death = row.death, None
    problem = await payment.credited()
    if problem:
        return problem
    row.death, row.conducts = death, conducts
    chain = row.network.devnet.chain
    row.network.devnet.fork(chain.head.number - chain.included_in[payment.tx] + 1, rewrite_solid=True)
    return await payment.credited()


class Payment:
    """A transfer to one of our addresses, and what the books say of it."""

    def __init__(self, row: Row, units: int, before: int) -> None:
        self.units = units
        self.tx = row.network.pay(FIRM.wallets[1], address(FIRM.hot_wallet), row.network.contracts[USDT], units)
        self._row = row
        self._before = before

    @classmethod
    async def make(cls, row: Row, number: int) -> "Payment":
        """Send it."""
        balance = await Ledger(row.house).balance(funds(FIRM.id, USDT))
        return cls(row, 50 * DOLLAR + number, balance.units)

    async def credited(self) -> str:
        """Let the watcher work until it has died and credited; say what is wrong then."""
        row = self._row
        for step in range(STEPS_MAX):
            if step == HEALED_AFTER_STEPS:
                row.heal()
            row.network.produce(BLOCKS_A_STEP)
            await row.turn("watcher")
            if row.death is None and await self._is_read():
                break
        for _ in range(3):
            await row.turn("watcher")
        found = await self._units()
        return "" if found == self.units else f"credited {found} of {self.units}"

    async def _is_read(self) -> bool:
        """Tell whether the block that it is in now has been taken."""
        chain = self._row.network.devnet.chain
        number = chain.included_in.get(self.tx, chain.head.number + 1)
        taken = await self._row.house.value("SELECT block_id FROM chain_block WHERE number = $1", number)
        return taken is not None and taken == chain.blocks[number].id

    async def _units(self) -> int:
        return (await Ledger(self._row.house).balance(funds(FIRM.id, USDT))).units - self._before
