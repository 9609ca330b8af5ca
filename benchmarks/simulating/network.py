"""The chain of every simulation: the devnet, the engine's wire to its nodes, and the truth for the auditor.

The engine asks nodes through its own `Transport`; there are no sockets, so everything happens in one order. Payers
outside sign their own transfers and send them again until they are in a block, as people do.
"""

from coincurve import PrivateKey

from adapters.chains.tron.devnet.addresses import base58_text, of_key, parse
from adapters.chains.tron.devnet.artifact import TRANSFER, call_data
from adapters.chains.tron.devnet.chain import Rules
from adapters.chains.tron.devnet.devnet import Devnet, Funding
from adapters.chains.tron.devnet.transactions import Call, Transaction
from adapters.chains.tron.devnet.world import Refused
from benchmarks.simulating.auditor import Movement
from benchmarks.simulating.club import BEGAN_MS, DAY_MS, DEPOSIT, FIRMS, FUNDS, TRX, USDC, USDT, secret
from engine.ids import Instant
from engine.money import AssetId

SOLID_LAG = 6
BLOCK_MS = 3_000
GENESIS_MS = BEGAN_MS + 3 * DAY_MS
NODES = ("alpha", "beta", "gamma")
SUN = 10**12
"""What each address of ours has for fees: a million TRX."""
PAYERS_TOKENS = 50_000_000 * 10**6


class Time:
    """The one clock of a simulated world. Only the world moves it."""

    def __init__(self, now_ms: int = GENESIS_MS) -> None:
        self.now_ms = now_ms

    def __call__(self) -> Instant:
        """Give the true time."""
        return Instant(self.now_ms)


def key(name: str) -> PrivateKey:
    """Give the key that belongs to a name."""
    return PrivateKey(secret(name))


def address(name: str) -> str:
    """Give the address of a name's key."""
    return base58_text(of_key(key(name)))


class Network:
    """A devnet with the club's addresses on it. The same calls give the same blocks."""

    def __init__(self, time: Time, block_ms: int = BLOCK_MS) -> None:
        self.time = time
        funding = {}
        for firm in FIRMS:
            funding[address(firm.hot_wallet)] = Funding(sun=SUN)
            for wallet in firm.wallets:
                funding[address(wallet)] = Funding(sun=SUN, tokens={"USDT": PAYERS_TOKENS})
        rules = Rules(seed="simulation", genesis_ms=GENESIS_MS, block_ms=block_ms, solid_lag=SOLID_LAG)
        self.devnet = Devnet(time, rules, funding, NODES)
        self.counterfeit = self.devnet.deploy_token("Tether USD", "USDT")
        self.devnet.tokens["FALSE"] = self.counterfeit
        """Another contract under USDT's name and symbol. Worth nothing."""
        for firm in FIRMS:
            # Issued after the first block, so that the watcher sees it come in.
            self.devnet.give_token("USDT", address(firm.hot_wallet), DEPOSIT + FUNDS)
        self._payments: dict[str, Transaction] = {}

    @property
    def contracts(self) -> dict[AssetId, str]:
        """Give the listed assets and where they are."""
        return {USDT: self.devnet.tokens["USDT"], USDC: self.devnet.tokens["USDC"], TRX: ""}

    @property
    def head(self) -> int:
        """Give the newest block's number."""
        return self.devnet.head.number

    def produce(self, blocks: int = 1) -> None:
        """Let time pass and blocks be made; payers whose transfer was lost send it again."""
        for _ in range(blocks):
            self.time.now_ms += BLOCK_MS
            self.devnet.produce()
        chain = self.devnet.chain
        for payment in self._payments.values():
            if payment.id not in chain.included_in and payment.id not in chain.waiting:
                self._push(payment)

    def counterfeit_for(self, recipient: str, units: int) -> str:
        """Issue the false token to an address, as its maker may; give the transaction's id."""
        return self.devnet.use_token("FALSE", call_data("issue(address,uint256)", parse(recipient), units))

    def pay(self, payer: str, recipient: str, contract: str, units: int) -> str:
        """Send tokens as the owner of a name's key; give the transaction's id."""
        data = call_data("transfer(address,uint256)", parse(recipient), units)
        payment = self.devnet.sign(Call(parse(address(payer)), parse(contract), data), key(payer))
        self._payments[payment.id] = payment
        self._push(payment)
        return payment.id

    def is_final(self, tx: str) -> bool:
        """Tell whether a transaction is in a block that never changes."""
        number = self.devnet.chain.included_in.get(tx)
        return number is not None and number <= self.devnet.solid_number

    def movements(self, since: int = 0) -> list[Movement]:
        """Tell every token transfer that the chain has made, from its own records."""
        return [
            Movement(
                included.transaction.id,
                block.number,
                base58_text(log.address),
                base58_text(b"\x41" + log.topics[1][-20:]),
                base58_text(b"\x41" + log.topics[2][-20:]),
                int.from_bytes(log.data),
            )
            for block in self.devnet.chain.blocks[since:]
            for included in block.included
            if included.result == "SUCCESS"
            for log in included.logs
            if log.topics[0] == TRANSFER
        ]

    def failures(self) -> int:
        """Count the transactions that were included and failed."""
        return sum(each.result != "SUCCESS" for block in self.devnet.chain.blocks for each in block.included)

    def _push(self, payment: Transaction) -> None:
        try:
            self.devnet.chain.push(payment)
        except Refused:
            # Expired, or its ground is gone: what its owner does about it is the people's business.
            self._payments = {tx: each for tx, each in self._payments.items() if tx != payment.id}
