"""One simulated world: the club, its chain, the engine's writers, people, and everything that goes wrong, by one
seed.

Time moves in steps. In each, blocks are made, something may break, people do something, and every writer has a
turn. A run has two phases: safety, in which anything may happen, and liveness, in which nothing does any more
and every payout must come to its end. Then the auditor judges. Nothing in here looks at a real clock or draws
unseeded luck.
"""

from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

from adapters.chains.direct import DirectTransport
from adapters.chains.tron.devnet.faults import HONEST, Conduct, Reading, Request, Sending, View
from adapters.chains.tron.devnet.world import SetParameters
from benchmarks.simulating.auditor import Findings, Story, Window, audit
from benchmarks.simulating.checks import broken
from benchmarks.simulating.club import FIRMS, USDT
from benchmarks.simulating.databases import Copies
from benchmarks.simulating.faults import CALM, Crash, CrashPoints, CutDatabase, Dice, Odds
from benchmarks.simulating.lives import Edges, Life, begin_signer, begin_watcher, journals
from benchmarks.simulating.network import NODES, SOLID_LAG, Network, address
from benchmarks.simulating.people import People
from benchmarks.simulating.trace import Trace
from engine.errors import OutcomeUnknown, VenueError
from engine.ids import Instant
from storage import invariants, payout_memory, payouts
from storage.database import Database
from storage.leases import StaleEpoch
from storage.payout_memory import DatabaseRestored

SAFETY_STEPS_MAX = 140
LIVENESS_STEPS_MAX = 90
BLOCKS_A_STEP = (1, 2, 2, 3, 4)
BLOCKS_MEANWHILE = (3, 4, 6, 8)
"""When nobody has anything to say and all wait for the chain."""
GHOST_TURNS = 4
ENERGY_DEAR = 4
UNKIND = tuple(sending for sending in Sending if sending is not Sending.ANSWERED)
FAILURES = (Reading.SILENT, Reading.BROKEN, Reading.UNAVAILABLE, Reading.TOO_MANY)
LIES = ("other fork", "old branch", "withholds")
OPEN_STATES = ("queued", "signing", "broadcast")
_NOT_COMPARED = "SELECT count(*) FROM payout_database_seen WHERE timeline = -1"
_TASKS = "SELECT id, payout_id, state, amount_token, hot_wallet_id AS wallet FROM payout_task ORDER BY id"


class World:
    """Everything of one run. `network` is at the state that the copied database belongs to."""

    def __init__(
        self,
        seed: int,
        network: Network,
        copies: Copies,
        folder: Path,
        *,
        odds: Odds,
        payouts: int,
        tell: Callable[[str], None] | None = None,
        before: str = "",
    ) -> None:
        """`before`: what is done to the database before anything else."""
        self.trace = Trace(tell)
        self.dice = Dice(seed, odds, self.trace)
        self.network = network
        self.story = Story(
            solid_depth=SOLID_LAG,
            our_addresses=frozenset(address(firm.hot_wallet) for firm in FIRMS),
            contracts=frozenset(at for asset, at in network.contracts.items() if at),
        )
        self.passed: Counter[str] = Counter()
        self.hit: Counter[str] = Counter()
        self.house = Database(copies.dsn, pool_size=3, name="house")
        self.people = People(self, payouts)
        for firm in FIRMS:
            for wallet in firm.wallets:
                self.story.allowed[network.contracts[USDT], address(wallet)].append(Window(0))
        self.findings = Findings()
        self._copies = copies
        self._before = before
        self._skew_ms = 0
        self.conducts: dict[str, Conduct] = dict.fromkeys(NODES, HONEST)
        self._fate: tuple[int, Sending] = (-1, Sending.ANSWERED)
        self._lives: dict[str, Life] = {}
        self._ghosts: list[tuple[Life, int]] = []
        self._states: dict[str, str] = {}
        self._busy: set[str] = set()
        self._kept_at: int | None = None
        self._dear_until = 0
        self._seen_at_nodes: set[str] = set()
        self._journals = folder
        self.edges = Edges(
            house=self.house,
            folder=folder,
            clock=self.clock,
            wire=DirectTransport(network.devnet, self._on_the_wire),
            database=lambda: CutDatabase(self.house, self.dice),
            crash_points=lambda who: CrashPoints(who, self.dies_at, self.passed, self.hit),
            signed=self._signed,
        )

    # ------------------------------------------------------------------ the run

    async def run(self) -> Findings:
        """Live through both phases and give the auditor's verdict."""
        await self._copies.fresh()
        await self.house.open()
        if self._before:
            async with self.house.transaction() as connection:
                await connection.execute(self._before)
        self.network.devnet.choose_with(self._conduct)
        try:
            await self._safety()
            await self._liveness()
            await self._judge()
        finally:
            for life in [*self._lives.values(), *(ghost for ghost, _ in self._ghosts)]:
                life.tear()
            await self.house.close()
        return self.findings

    async def _safety(self) -> None:
        for number in range(SAFETY_STEPS_MAX):
            await self.step()
            if self.people.are_done and not await self._unfinished() and number > 20:
                break

    async def _liveness(self) -> None:
        """Everything is well from now on. Whatever was begun must come to its end."""
        self.trace.add("world", "nothing goes wrong from now on")
        self.dice.odds = CALM
        self._skew_ms = 0
        self.conducts = dict.fromkeys(NODES, HONEST)
        self._bury_ghosts()
        await self.people.put_in_order()
        for _ in range(LIVENESS_STEPS_MAX):
            await self.step()
            if self.people.are_done and not await self._unfinished() and await self._is_all_read():
                return

    async def step(self) -> None:
        """Let a few seconds pass."""
        self._weather()
        self.network.produce(self.dice.random.choice(BLOCKS_A_STEP if self.people.are_busy else BLOCKS_MEANWHILE))
        self.trace.add("chain", f"head {self.network.devnet.head.id}")
        await self.people.act()
        if self.dice.hits(self.dice.odds.restore):
            await self._keep_or_restore()
        await self._turns()
        await self._watch_states()

    # ------------------------------------------------------------------ the engine's turns

    async def _turns(self) -> None:
        names = ["watcher", *(firm.word for firm in FIRMS)]
        self.dice.random.shuffle(names)
        for name in names:
            # A signer without work sleeps until it is woken; now and then it looks all the same.
            if name == "watcher" or name in self._busy or name not in self._lives or self.dice.hits(150):
                await self.turn(name)
        for ghost, left in list(self._ghosts):
            self._ghosts.remove((ghost, left))
            if await self._haunt(ghost) and left > 1:
                self._ghosts.append((ghost, left - 1))
            else:
                ghost.tear()

    async def turn(self, name: str) -> None:
        """Give one writer its turn, as the shell around it would: what it raises decides whether it lives on."""
        try:
            if name not in self._lives:
                self._lives[name] = await self._begin(name)
            told = await self._lives[name].turn()
            self.trace.add(name, str(told))
        except Crash as crash:
            self.dice.note("crash", str(crash))
            self._crashed(name)
        except (OutcomeUnknown, StaleEpoch, DatabaseRestored) as error:
            self.trace.add(name, f"{type(error).__name__}, begins anew")
            self._lives.pop(name).tear()
        except VenueError as error:
            self.trace.add(name, f"{type(error).__name__}: {error}")
        except Exception as error:
            # Whatever production code raises is a finding; the world goes on to show what follows from it.
            self.trace.add(name, f"{type(error).__name__}: {error}")
            self.findings.crashes.append(f"{name}: {type(error).__name__}: {error}"[:300])
            self._lives.pop(name).tear()

    async def _begin(self, name: str) -> Life:
        if name == "watcher":
            return await begin_watcher(self.edges)
        return await begin_signer(self.edges, next(firm for firm in FIRMS if firm.word == name))

    def _crashed(self, name: str) -> None:
        life = self._lives.pop(name)
        if self.dice.hits(self.dice.odds.split_brain):
            # Ray lost sight of it and has started another one; it does not know that it is dead.
            self.dice.note("split brain", name)
            self._ghosts.append((life, GHOST_TURNS))
        else:
            life.tear()

    async def _haunt(self, ghost: Life) -> bool:
        try:
            told = await ghost.turn()
            self.trace.add(f"ghost of {ghost.name}", str(told))
        except Crash:
            return False
        except (StaleEpoch, VenueError, DatabaseRestored) as error:
            self.trace.add(f"ghost of {ghost.name}", type(error).__name__)
            return not isinstance(error, StaleEpoch)
        except Exception as error:
            # A finding, as above: not even an old life beside the new one may fall over a mistake.
            self.findings.crashes.append(f"ghost of {ghost.name}: {type(error).__name__}: {error}"[:300])
            return False
        return True

    def _bury_ghosts(self) -> None:
        for ghost, _ in self._ghosts:
            ghost.tear()
        self._ghosts.clear()

    # ------------------------------------------------------------------ what goes wrong

    def clock(self) -> Instant:
        """Give the engine's clock, which may be wrong."""
        return Instant(self.network.time.now_ms + self._skew_ms)

    def dies_at(self, place: str) -> bool:
        """Decide whether a life ends at a crash point."""
        return self.dice.hits(self.dice.odds.crash)

    def _weather(self) -> None:
        odds = self.dice.odds
        if self.dice.hits(odds.clock_jump):
            self._skew_ms = self.dice.random.randint(-120_000, 120_000)
            self.dice.note("clock jump", f"{self._skew_ms} ms")
        for node in NODES:
            if self.dice.hits(odds.node_changes):
                self.conducts[node] = self._new_conduct(node)
        if self.dice.hits(odds.reorganisation):
            self._reorganise()
        devnet = self.network.devnet
        if self._dear_until and self.network.head >= self._dear_until:
            self._dear_until = 0
            devnet.decree(SetParameters(devnet.rules.parameters))
        elif self.dice.hits(odds.energy_price):
            self._dear_until = self.network.head + 12
            self.dice.note("energy is dear")
            usual = devnet.rules.parameters
            fee = usual.energy_fee * ENERGY_DEAR
            devnet.decree(SetParameters(type(usual)(**{**_fields(usual), "energy_fee": fee})))

    def _new_conduct(self, node: str) -> Conduct:
        kind = self.dice.random.choice(
            ("well", "well", "lags", "flaps", "other fork", "withholds", "old branch", "cache")
        )
        if kind == "well":
            return HONEST
        # Two nodes must agree before anything is believed. Two that tell the same lie are more than it stands.
        if kind in LIES and any(_is_liar(self.conducts[other]) for other in NODES if other != node):
            return HONEST
        self.dice.note(f"node {kind}", node)
        match kind:
            case "lags":
                return Conduct(View(lag=self.dice.random.randint(1, 8)))
            case "flaps":
                return Conduct(reading=self.dice.random.choice(FAILURES))
            case "other fork":
                back = self.dice.random.randint(0, SOLID_LAG)
                return Conduct(View(branch_from=max(1, self.network.devnet.solid_number - back)))
            case "withholds":
                return Conduct(View(withholds_all=True))
            case "old branch":
                return Conduct(View(on_abandoned=True))
            case _:
                return Conduct(caches_ids=True)

    def _reorganise(self) -> None:
        chain = self.network.devnet.chain
        deepest = min(SOLID_LAG - 1, chain.head.number - chain.solid_number)
        if deepest < 1:
            return
        depth = self.dice.random.randint(1, deepest)
        done = self.network.devnet.fork(depth, drop_share=0.2)
        self.dice.note("reorganisation", f"depth {depth}, {len(done.lost)} lost")

    def _conduct(self, request: Request) -> Conduct | None:
        own = self.conducts[request.node]
        odds = self.dice.odds
        if request.is_broadcast:
            sending = self._sending()
            if sending is Sending.ANSWERED:
                return own
            self.dice.note(f"broadcast {sending}", request.node)
            return Conduct(own.view, own.reading, sending, self.dice.random.randint(1, 15), own.caches_ids)
        if self.dice.hits(odds.reading):
            self.dice.note("reading fails", request.node)
            return Conduct(own.view, self.dice.random.choice(FAILURES))
        if self.dice.hits(odds.empty_list) and request.path.endswith("byblocknum"):
            self.dice.note("empty list", request.node)
            return Conduct(View(lag=own.view.lag, branch_from=own.view.branch_from, empty_receipts=True))
        return own

    def _sending(self) -> Sending:
        """Choose a fate: often the same for all nodes that are asked within one turn."""
        moment, fate = self._fate
        if moment == self.network.head:
            return fate
        if not self.dice.hits(self.dice.odds.broadcast):
            return Sending.ANSWERED
        fate = self.dice.random.choice(UNKIND)
        if self.dice.hits(self.dice.odds.all_nodes):
            self._fate = (self.network.head, fate)
        return fate

    # ------------------------------------------------------------------ what the world sees

    def _signed(self, tx: str) -> None:
        self.story.signed.setdefault(tx, self.trace.add("key", f"signed {tx}"))
        # Not the block that pays: a reorganisation may put the payment itself into an earlier one.
        self.story.signed_at.setdefault(tx, self.network.head)

    def _on_the_wire(self, node: str, path: str, body: dict[str, Any]) -> None:
        if not path.endswith("broadcasthex"):
            return
        content = bytes.fromhex(body["transaction"])
        tx = self._tx_of(content)
        self.trace.add("wire", f"{tx} to {node}")
        if tx not in self._seen_at_nodes:
            self._seen_at_nodes.add(tx)
            if not any(tx.encode() in journal.read_bytes() for journal in self._journals.glob("*.journal")):
                self.story.leaks.append(f"{tx[:12]} left before its line was in the journal")

    @staticmethod
    def _tx_of(content: bytes) -> str:
        from adapters.chains.tron.devnet.transactions import unpack

        return unpack(content).id

    async def _watch_states(self) -> None:
        self._busy.clear()
        for row in await self.house.rows(_TASKS):
            self.people.shown(row["payout_id"], int(row["amount_token"]))
            if row["state"] in OPEN_STATES:
                self._busy.add(row["wallet"].removeprefix("hw_"))
            if self._states.get(row["id"]) != row["state"]:
                self._states[row["id"]] = row["state"]
                moment = self.trace.add("task", f"{row['id']} is {row['state']}")
                self.story.states.append((moment, row["id"], row["state"]))

    async def _unfinished(self) -> int:
        return sum(state in OPEN_STATES for state in self._states.values())

    async def _is_all_read(self) -> bool:
        """Tell whether the watcher has read all that was paid in: payouts may follow that nobody sees yet."""
        paid_in = self.people.paid_in
        read = "SELECT count(DISTINCT tx_hash) FROM incoming_tx WHERE tx_hash = ANY ($1)"
        return await self.house.value(read, list(paid_in)) == len(paid_in)

    # ------------------------------------------------------------------ restoring

    async def _keep_or_restore(self) -> None:
        """Take a copy of the database, or come back to the one that was taken: everything since has not been."""
        self._bury_ghosts()
        for name in list(self._lives):
            self._lives.pop(name).tear()
        await self.house.close()
        if self._kept_at is None:
            await self._copies.keep()
            self._kept_at = self.trace.add("world", "a copy of the database is taken")
            await self.house.open()
            return
        await self._copies.bring_back()
        await self.house.open()
        kept_at, self._kept_at = self._kept_at, None
        self._states.clear()
        self.story.restored.append(self.trace.add("world", f"the database is restored to moment {kept_at}"))
        self.dice.note("restore")
        await self._begin_again()
        await self.people.say_again_since(kept_at)

    async def _begin_again(self) -> None:
        """Let every signer compare its journal with the database before anybody asks for anything."""
        # A real restore begins another timeline, and a copy on the same server does not: whoever remembers a
        # database is made to remember another one.
        async with self.house.transaction() as connection:
            await connection.execute("UPDATE payout_database_seen SET timeline = -1")
            system = (await payout_memory.identity(connection)).system
            cap = (await payouts.policies(connection))[USDT].cap_units
        for journal in journals(self._journals):
            journal.open()
            journal.note_database(system, -1)
            journal.close()
        self.story.caps.append((self.trace.moment, cap))
        while await self.house.value(_NOT_COMPARED):
            await self._turns()

    # ------------------------------------------------------------------ the verdict

    def counts(self) -> dict[str, int]:
        """Count what the run has done and what was found."""
        found = self.findings
        states = Counter(state for state, _ in self.story.final_states.values())
        return {
            "payouts": len(self.story.agreements),
            "transfers": sum(states.values()),
            "confirmed": states["confirmed"],
            "given up": states["failed"],
            "attempts": len(self.story.signed),
            "blocks": self.network.head,
            "included and failed": self.network.failures(),
            "crash points passed": sum(self.passed.values()),
            "doubles": len(found.doubles),
            "losses": len(found.losses),
            "stuck": len(found.stuck),
            "other findings": len(found.all()) - len(found.doubles) - len(found.losses) - len(found.stuck),
        }

    async def _judge(self) -> None:
        self.network.produce(SOLID_LAG + 1)
        self.story.movements = self.network.movements()
        rows = await self.house.rows("SELECT id, state, coalesce(tx_hash, '') AS tx FROM payout_task ORDER BY id")
        self.story.final_states = {row["id"]: (row["state"], row["tx"]) for row in rows}
        crashes = self.findings.crashes
        self.findings = audit(self.story)
        self.findings.crashes = crashes
        self.findings.invariants += await self.invariants()
        self.findings.stuck += self.people.unfinished

    async def invariants(self) -> list[str]:
        """Ask the database everything that must always hold of it."""
        return [*map(str, await invariants.check(self.house)), *await broken(self.house)]


def _is_liar(conduct: Conduct) -> bool:
    view = conduct.view
    return view.branch_from is not None or view.on_abandoned or view.withholds_all


def _fields(struct: Any) -> dict[str, Any]:
    return {name: getattr(struct, name) for name in struct.__struct_fields__}
