"""Two companies, a hot wallet with money, an allow-list, and a devnet with its clock: what payouts need to happen.

The database and the chain are real (the devnet's core without its sockets), the clock is the test's.
"""

import hashlib
import itertools
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import msgspec

from actors.broadcast_journal import BroadcastJournal
from actors.payout_signer import PayoutSigner, Signer, SignerPolicy, TurnReport
from adapters.chains.direct import DirectTransport
from adapters.chains.rpc import NodePool
from adapters.chains.tron import addresses
from adapters.chains.tron.devnet.devnet import Devnet, Funding
from adapters.chains.tron.keys import HotWalletKey
from adapters.chains.tron.payouts import TronPayouts
from engine.errors import Refusal
from engine.ids import CompanyId, DealId, HotWalletId, Instant, MemberId, PayoutId, WalletId
from engine.ledger import templates
from engine.money import Asset, AssetId, Network
from engine.payments.approval import PayoutFields
from engine.payments.payout import Purpose, payout_of_deal
from engine.payments.request import NewPayout
from engine.payments.velocity import PayoutPolicy
from storage import assets, ledger, payouts
from storage.club_commands import Command
from storage.database import Connection, Database
from storage.leases import Leases
from storage.payout_memory import SignerRights
from storage.payouts import PayoutRow, Payouts

USDT = AssetId("tron:USDT")
TRX = AssetId("tron:TRX")
PAYER = CompanyId("co_payer")
PAYEE = CompanyId("co_payee")
HOT = HotWalletId("hw_payer")
WALLET = WalletId("wa_payee")
ANNA, BORIS, VERA, STRANGER = (MemberId(f"mb_{name}") for name in ("anna", "boris", "vera", "stranger"))
"""Anna and Boris approve for the payer, Vera looks after the payee's addresses."""
DAY_MS = 86_400_000
COIN = 1_000_000
"""Base units of one USDT or one TRX."""


def secret(name: str) -> bytearray:
    """Give somebody's key."""
    return bytearray(hashlib.sha256(name.encode()).digest())


def address(name: str) -> str:
    """Give somebody's address."""
    return HotWalletKey(secret(name)).address


class World:
    """Everything, and verbs for what a test does with it."""

    def __init__(self, database: Database, folder: Path) -> None:
        self.database = database
        self.folder = folder
        self.now = Instant(1_767_225_600_000)
        self.hot_address, self.payee_address = address("hot"), address("payee")
        self.devnet = Devnet(
            lambda: self.now,
            funding={
                self.hot_address: Funding(sun=100_000 * COIN, tokens={"USDT": 10_000_000 * COIN}),
                self.payee_address: Funding(sun=10 * COIN, tokens={"USDT": COIN}),
            },
        )
        self.troubles: list[str] = []
        self._numbers = itertools.count(1)
        self.produce(25)

    # ------------------------------------------------------------------ the club

    async def open(self, *, approvals: int = 0, cap_units: int = 200_000 * COIN) -> "World":
        """Fill an empty database."""

        async def fill(connection: Connection) -> None:
            contract = self.devnet.tokens["USDT"]
            await assets.put(connection, Asset(USDT, Network.TRON, "USDT", contract, 6, True))
            await assets.put(connection, Asset(TRX, Network.TRON, "TRX", "", 6))
            await connection.executemany(
                "INSERT INTO company (id, name, tz, tier, created_at_ms) VALUES ($1, $1, 'Europe/Berlin', 'S', 0)",
                [(PAYER,), (PAYEE,)],
            )
            await connection.executemany(
                "INSERT INTO member (id, name, created_at_ms) VALUES ($1, $1, 0)",
                [(ANNA,), (BORIS,), (VERA,), (STRANGER,)],
            )
            await connection.executemany(
                "INSERT INTO company_member (company_id, member_id, role) VALUES ($1, $2, $3)",
                [
                    (PAYER, ANNA, "APPROVER"),
                    (PAYER, BORIS, "APPROVER"),
                    (PAYER, ANNA, "TRADER"),
                    (PAYEE, VERA, "ADMIN"),
                ],
            )
            await connection.execute(
                "INSERT INTO hot_wallet (id, network, address, company_id, created_at_ms) "
                "VALUES ($1, 'tron', $2, $3, 0)",
                HOT,
                self.hot_address,
                PAYER,
            )
            await self.put_wallet(connection, WALLET, self.payee_address)
            policy = PayoutPolicy(USDT, cap_units, approvals, DAY_MS, 5_000_000 * COIN)
            await payouts.put_policy(connection, policy, self.now)
            await ledger.post(connection, templates.owner_put_in(HOT, TRX, 100_000 * COIN, "coin", self.now))

        async with self.database.transaction() as connection:
            await fill(connection)
        return self

    async def put_wallet(
        self, connection: Connection, wallet: WalletId, to: str, *, active_from_ms: int | None = 0
    ) -> None:
        """Write a row of the payee's allow-list; one that is not verified when `active_from_ms` is None."""
        await connection.execute(
            """
            INSERT INTO wallet (id, company_id, network, token, address, verified, verified_at_ms, active_from_ms,
                                challenge_units, challenge_until_ms, added_by, created_at_ms)
            VALUES ($1, $2, 'tron', $3, $4, $5::bigint IS NOT NULL, $5, $5, 12345, $6, $7, 0)
            """,
            wallet,
            PAYEE,
            USDT,
            to,
            active_from_ms,
            self.now + DAY_MS,
            VERA,
        )

    async def add_wallet(self, name: str, *, active_from_ms: int | None = 0) -> WalletId:
        """Write another row of the payee's allow-list."""
        async with self.database.transaction() as connection:
            await self.put_wallet(connection, WalletId(f"wa_{name}"), address(name), active_from_ms=active_from_ms)
        return WalletId(f"wa_{name}")

    def wish(self, units: int = 100 * COIN, **changes: object) -> NewPayout:
        """Want a pass-through payout of a new deal."""
        deal = DealId(f"de_{next(self._numbers)}")
        facts: dict[str, object] = {
            "id": payout_of_deal(deal),
            "company_id": PAYER,
            "payee_id": PAYEE,
            "purpose": Purpose.PASS_THROUGH,
            "purpose_id": deal,
            "network": Network.TRON,
            "token": USDT,
            "units": units,
            "to_address": self.payee_address,
            "wallet_id": WALLET,
            "hot_wallet_id": HOT,
            "initiator": "engine",
            "at_ms": self.now,
        }
        return msgspec.convert(facts | changes, NewPayout)

    async def ask(self, *wishes: NewPayout, is_funded: bool = True) -> Sequence[PayoutId | Refusal]:
        """Credit the deals and ask for their payouts, in one transaction as the watcher does."""
        async with self.database.transaction() as connection:
            if is_funded:
                await ledger.post(connection, [came for wish in wishes for came in _came(wish)])
            return await payouts.request(connection, wishes)

    async def pay(self, units: int = 100 * COIN) -> PayoutId:
        """Ask for one payout and give its id."""
        asked = (await self.ask(self.wish(units)))[0]
        assert not isinstance(asked, Refusal)
        return asked

    def says(self, who: MemberId, word: str = "") -> Command:
        """Give a command of somebody's, with an id of its own or the one given."""
        return Command(who, word or f"c{next(self._numbers)}", self.now)

    async def fields(self, payout: PayoutId) -> PayoutFields:
        """Give what people approve of a payout."""
        return (await self.payout(payout)).fields

    async def payout(self, payout: PayoutId) -> PayoutRow:
        """Look at a payout."""
        row = await Payouts(self.database).get(payout)
        assert row is not None
        return row

    async def alarms(self) -> list[str]:
        """List the kinds of the alarms that are on."""
        records = await self.database.rows("SELECT kind FROM alarm WHERE cleared_at_ms IS NULL ORDER BY kind")
        return [record["kind"] for record in records]

    async def balance(self, code: str) -> tuple[int, int]:
        """Give an account's balance and what of it is held."""
        record = await self.database.row("SELECT balance, held FROM ledger_account WHERE code = $1", code)
        return (0, 0) if record is None else (int(record["balance"]), int(record["held"]))

    # ------------------------------------------------------------------ the signer

    async def signer(
        self,
        holder: str = "me",
        *,
        policy: SignerPolicy | None = None,
        crash_point: Callable[[str], None] = lambda name: None,
        journal: str = "journal",
        database: Database | None = None,
    ) -> PayoutSigner:
        """Take the lease as `holder` and boot a signer."""
        signer = await self.unbooted(
            holder, policy=policy, crash_point=crash_point, journal=journal, database=database
        )
        await signer.boot()
        return signer

    async def unbooted(
        self,
        holder: str = "me",
        *,
        policy: SignerPolicy | None = None,
        crash_point: Callable[[str], None] = lambda name: None,
        journal: str = "journal",
        database: Database | None = None,
    ) -> PayoutSigner:
        """Take the lease as `holder` and give a signer that has not looked around yet."""
        database = database or self.database
        lease = await Leases(database).acquire(f"signer:{HOT}", holder, 60_000)
        assert lease is not None
        return PayoutSigner(
            Signer(SignerRights(HOT, lease.name, lease.epoch), Network.TRON),
            database,
            self.chain(),
            HotWalletKey(secret("hot")),
            BroadcastJournal(self.folder / journal, HOT),
            lambda: self.now,
            policy,
            crash_point,
        )

    def chain(self) -> TronPayouts:
        """Open the chain anew, as a process does that begins."""
        wire = DirectTransport(self.devnet)
        pool = NodePool(
            "tron", tuple(self.devnet.nodes), wire, lambda: self.now, lambda kind, _: self.troubles.append(kind)
        )
        return TronPayouts(pool, lambda: self.now)

    async def release_lease(self, database: Database | None = None) -> None:
        """End whoever's lease it is, as if its time had run out."""
        async with (database or self.database).transaction() as connection:
            await connection.execute("UPDATE leases SET expires_at_ms = 0 WHERE name = $1", f"signer:{HOT}")

    async def settle(self, signer: PayoutSigner, rounds: int = 8, blocks: int = 5) -> list[TurnReport]:
        """Let blocks pass and the signer do its rounds."""
        reports = []
        for _ in range(rounds):
            reports.append(await signer.turn())
            self.produce(blocks)
        return reports

    # ------------------------------------------------------------------ the chain

    def produce(self, blocks: int = 1) -> None:
        """Let time pass and blocks be made."""
        for _ in range(blocks):
            self.now = Instant(self.now + self.devnet.rules.block_ms)
            self.devnet.produce()

    def transfers_to(self, to: str) -> list[int]:
        """List what the chain itself has moved from the hot wallet to an address, in base units of any token."""
        moved = []
        for block in self.devnet.chain.blocks:
            for log in (log for included in block.included for log in included.logs):
                sides = [addresses.text(topic[-20:]) for topic in log.topics[1:3]]
                if sides == [self.hot_address, to]:
                    moved.append(int.from_bytes(log.data))
        return moved


def _came(wish: NewPayout) -> list[Any]:
    return templates.incoming_to_deal(
        wish.hot_wallet_id, DealId(wish.purpose_id), wish.token, wish.units, 0, f"in:{wish.purpose_id}", wish.at_ms
    )
