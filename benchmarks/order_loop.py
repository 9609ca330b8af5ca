"""The grid order loop beside its peers: from a price, or from a fill, to the order it causes, in one run.

`python -m benchmarks.order_loop`. Our side is the real bot in a real host, risk checks and journal on; beside it
pybit and ccxt look the same decisions up in a table. All play against one PaperVenue, in turns, so that the noise
of the machine hits all alike, and every order is compared with the same list before a figure counts.
"""

import argparse
import asyncio
import secrets
import shutil
import sys
import tempfile
from base64 import b64encode
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from pathlib import Path

import msgspec
import uvloop
from rich.console import Console

from actors import wiring
from actors.home import Home
from adapters.secrets.keys import ApiKey
from benchmarks.harness import Machine, Spread, introduce, result, save, table
from benchmarks.looping.clients import Client, peers
from benchmarks.looping.costs import costs
from benchmarks.looping.floor import Floor
from benchmarks.looping.our_client import OURS, Orders
from benchmarks.looping.script import FILL_CONFIG, TICK_CONFIG, TICKS_PER_LIFE, Decision, grid
from benchmarks.looping.stage import Seat, Stage
from engine.ids import AccountId
from storage.accounts import Accounts, Environment, NewAccount
from storage.bots import Bots, NewBot
from storage.database import Database
from storage.embedded import EmbeddedPostgres
from storage.migrate import migrate
from storage.seed import OPERATOR, seed

OUR_NAME = "Trellis"
FLOOR_NAME = "raw TCP round trip"
ACCOUNT = AccountId("order-loop")
GAP_S = 0.0015
PACES = {"back to back": 0.0, "with 1.5 ms gaps": GAP_S}
LOOPS = ("tick to order", "fill to next order")
AIMS = {"pybit WebSocket": 3.0, "ccxt WebSocket": 4.0, "pybit HTTP": 8.0}
"""How many times as fast as each peer we want to be."""
FLOOR_AIM = 5.0
"""How many times as slow as the raw round trip we may be."""

Times = dict[str, dict[str, dict[str, list[int]]]]
"""Nanoseconds by loop, pace and client."""


class Verdict(msgspec.Struct, frozen=True):
    """One aim, at one loop and pace."""

    loop: str
    pace: str
    against: str
    aim: str
    ratio: float
    met: bool


class Report(msgspec.Struct):
    """What a run has measured."""

    microseconds: dict[str, dict[str, dict[str, Spread]]]
    floor: dict[str, Spread]
    parts: dict[str, Spread]
    verdicts: list[Verdict]
    orders_compared: int
    orders_that_differ: int


class Play:
    """One run: the stage, the clients in their seats, and the times."""

    def __init__(self, stage: Stage, clients: Sequence[Client]) -> None:
        self.times: Times = {loop: {pace: {each.name: [] for each in clients} for pace in PACES} for loop in LOOPS}
        self.floor: dict[str, list[int]] = {pace: [] for pace in PACES}
        self.compared = 0
        self.differing = 0
        self._stage = stage
        self._clients = clients
        self._decisions: dict[str, dict[str, Decision]] = {loop: {} for loop in LOOPS}

    async def rehearse(self) -> None:
        """Write down what our bot decides, once for every price and fill that will be played."""
        ours = self._stage.seats[0]
        await self._stage.spot_is_armed(ours)
        await self._stage.fill_is_armed(ours)
        for _ in range(TICKS_PER_LIFE):
            seen = await self._stage.tick(ours)
            self._decisions[LOOPS[0]][seen.cause] = seen.order
        for _ in range(4):
            seen = await self._stage.fill(ours)
            self._decisions[LOOPS[1]][seen.cause] = seen.order

    async def start_peers(self) -> None:
        """Give the peers their parts, with the decisions in them."""
        on_fill = self._decisions[LOOPS[1]]
        parts = [
            msgspec.structs.replace(
                self._stage.part(number),
                opening=on_fill["Sell 60000"],
                on_tick=self._decisions[LOOPS[0]],
                on_fill=on_fill,
            )
            for number in range(1, len(self._clients))
        ]
        await asyncio.gather(*(client.start(part) for client, part in zip(self._clients[1:], parts, strict=True)))
        for seat in self._stage.seats[1:]:
            await self._stage.fill_is_armed(seat)

    async def round(self, count: int, turn: int, floor: Floor) -> None:
        """Play `count` of everything to everybody, each round beginning with another client."""
        for pace, gap_s in PACES.items():
            self.floor[pace] += floor.measure(count, gap_s)
        for position in range(len(self._clients)):
            number = (position + turn) % len(self._clients)
            client, seat = self._clients[number], self._stage.seats[number]
            await self._again(client, seat)
            for pace, gap_s in PACES.items():
                for loop in LOOPS:
                    await self._measure(loop, pace, client, seat, count, gap_s)

    async def _measure(self, loop: str, pace: str, client: Client, seat: Seat, count: int, gap_s: float) -> None:
        stimulus = self._stage.tick if loop == LOOPS[0] else self._stage.fill
        times = self.times[loop][pace][client.name]
        for _ in range(count):
            if gap_s:
                await asyncio.sleep(gap_s)
            seen = await stimulus(seat)
            times.append(seen.took_ns)
            self.compared += 1
            self.differing += seen.order != self._decisions[loop].get(seen.cause)

    async def _again(self, client: Client, seat: Seat) -> None:
        """Begin the tick grid again, so that each round plays the same prices."""
        self._stage.lower_spot(seat)
        await client.again()
        if client.name == OUR_NAME:
            await self._stage.spot_is_armed(seat)
        else:
            self._stage.clear_spot(seat)


async def order_loop(count: int, rounds: int, part_repeats: int, folder: Path) -> Report:
    """Run the whole comparison: `rounds` times `count` of each loop and pace for each client."""
    clients = [Client(OUR_NAME, "benchmarks.looping.our_client"), *peers()]
    if 2 * count > TICKS_PER_LIFE:
        raise ValueError(f"at most {TICKS_PER_LIFE // 2} of each in a round")
    async with _stage(folder, clients) as stage:
        play = Play(stage, clients)
        await play.rehearse()
        await play.start_peers()
        floor = Floor()
        try:
            for turn in range(rounds):
                await play.round(count, turn, floor)
        finally:
            floor.close()
    return _report(play, costs(part_repeats))


@asynccontextmanager
async def _stage(folder: Path, clients: Sequence[Client]) -> AsyncIterator[Stage]:
    """Start PostgreSQL, the venue and our own client; end everything whatever happens."""
    home = Home(folder)
    home.create()
    ours = wiring.paper_key(home.path, ACCOUNT)
    keys = [ours, *(ApiKey(f"peer-{number}", secrets.token_hex(16)) for number in range(1, len(clients)))]
    stage = Stage(keys)
    async with EmbeddedPostgres(home.postgres) as postgres:
        await stage.start()
        try:
            await _register(postgres.dsn, stage)
            plan = wiring.Plan(
                dsn=postgres.dsn,
                home=home.path,
                bots_per_host=2,
                log_level="warning",
                paper_port=stage.port,
                paper_node="",
            )
            await clients[0].start(Orders(b64encode(wiring.encode_plan(plan)).decode()))
            yield stage
        finally:
            await asyncio.gather(*(client.stop() for client in clients))
            await stage.stop()


async def _register(dsn: str, stage: Stage) -> None:
    async with Database(dsn, pool_size=1, name="order loop") as database:
        await migrate(database)
        await seed(database)
        await Accounts(database).add(
            NewAccount(ACCOUNT, OPERATOR, "bybit", Environment.PAPER, "Order loop"), "order loop"
        )
        part = stage.part(0)
        configs = grid(part.linear, FILL_CONFIG), grid(part.spot, TICK_CONFIG)
        for bot, config in zip(OURS, configs, strict=True):
            await Bots(database).create(NewBot(bot, OPERATOR, ACCOUNT, bot, config), "order loop")


def _report(play: Play, parts: dict[str, Spread]) -> Report:
    spreads = {
        loop: {pace: {name: Spread.of(times) for name, times in by.items()} for pace, by in paces.items()}
        for loop, paces in play.times.items()
    }
    floor = {pace: Spread.of(times) for pace, times in play.floor.items()}
    verdicts = []
    for loop, paces in spreads.items():
        for pace, by in paces.items():
            ours = by[OUR_NAME].median
            for name, aim in AIMS.items():
                ratio = round(by[name].median / ours, 2)
                verdicts.append(Verdict(loop, pace, name, f"at least {aim:g} x as fast", ratio, ratio >= aim))
            ratio = round(ours / floor[pace].median, 2)
            met = ratio <= FLOOR_AIM
            verdicts.append(Verdict(loop, pace, FLOOR_NAME, f"at most {FLOOR_AIM:g} x as slow", ratio, met))
    return Report(spreads, floor, parts, verdicts, play.compared, play.differing)


def show(report: Report, console: Console) -> None:
    """Print the figures and what they mean for the aims."""
    heads = ("µs", "median", "p99", "count", "times ours", "times the floor")
    for loop, paces in report.microseconds.items():
        for pace, by in paces.items():
            floor, ours = report.floor[pace], by[OUR_NAME].median
            rows = [
                (
                    name,
                    each.median,
                    each.p99,
                    each.count,
                    f"{each.median / ours:.2f}",
                    f"{each.median / floor.median:.1f}",
                )
                for name, each in {FLOOR_NAME: floor, **by}.items()
            ]
            table(console, f"{loop}, {pace}", heads, rows)
    parts = [(name, each.median, each.p99, each.least) for name, each in report.parts.items()]
    table(console, "our parts by themselves, hot", ("µs", "median", "p99", "least"), parts)
    verdicts = [
        (
            f"{each.loop}, {each.pace}",
            each.against,
            each.aim,
            each.ratio,
            "[green]met[/green]" if each.met else "[red]not met[/red]",
        )
        for each in report.verdicts
    ]
    table(console, "what we aim for", ("loop", "against", "aim", "ratio", ""), verdicts)
    console.print(f"{report.orders_compared} orders compared, {report.orders_that_differ} differ")


def main() -> int:
    """Run from the command line; unequal orders make the figures worthless and the exit code 1."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.order_loop", description=__doc__)
    parser.add_argument(
        "--count", type=int, default=80, help="of each loop and pace, for each client in each round"
    )
    parser.add_argument("--rounds", type=int, default=15)
    options = parser.parse_args()
    console = Console()
    machine = Machine.here()
    introduce(console, "order loop", machine)
    # Not below a private folder: PostgreSQL runs under an account of its own when we are root.
    folder = Path(tempfile.mkdtemp(prefix="trellis-loop-"))
    try:
        report = uvloop.run(order_loop(options.count, options.rounds, 5_000, folder))
    finally:
        shutil.rmtree(folder, ignore_errors=True)
    show(report, console)
    settings = {"count": options.count, "rounds": options.rounds, "gap_s": GAP_S}
    packages = ("ccxt", "msgspec", "picows", "pybit", "uvloop")
    path = save(result("order_loop", machine, settings, msgspec.to_builtins(report), packages))
    console.print(f"written to {path.relative_to(Path.cwd()) if path.is_relative_to(Path.cwd()) else path.name}")
    return 1 if report.orders_that_differ else 0


if __name__ == "__main__":
    sys.exit(main())
