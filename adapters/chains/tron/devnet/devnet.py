"""A TRON network in one object: a chain, nodes that answer for it, tokens, and a bank that funds whoever asks.

Pure: no sockets, no threads, no clock and no chance of its own. `server.py` puts it behind HTTP.
"""

import hashlib
from collections import Counter
from collections.abc import Container, Mapping, Sequence

import msgspec
from coincurve import PrivateKey

from .addresses import base58_text, of_key, parse
from .artifact import call_data, token_code
from .blocks import Block
from .chain import Chain, Clock, Reorganisation, Rules
from .faults import Chooser
from .nodes import Node, Shared
from .transactions import Call, Contract, Raw, Transaction, Transfer, make, signed_with, with_signers
from .world import Decree, Deploy, Issue, SetAccount, World

BANK_TRX = 10**17
"""In sun, a hundred thousand million TRX: the bank never runs out."""
BANK_FEE_LIMIT = 1_000_000_000
NODES = ("main", "fallback")
TOKENS = {"USDT": "Tether USD", "USDC": "USD Coin"}
EXPIRATION_MS = 600_000


class Funding(msgspec.Struct, frozen=True):
    """What an account begins with. TRX in sun, tokens in base units by symbol."""

    sun: int = 0
    energy_limit: int = 0
    tokens: dict[str, int] = {}


class Devnet:
    """The whole network. All that it does follows from its rules, its funding and the calls in their order."""

    def __init__(
        self,
        clock: Clock,
        rules: Rules | None = None,
        funding: Mapping[str, Funding] | None = None,
        nodes: Sequence[str] = NODES,
    ) -> None:
        self.rules = rules or Rules()
        self._bank_key = PrivateKey(hashlib.sha256(f"{self.rules.seed}/bank".encode()).digest())
        bank = of_key(self._bank_key)
        self.bank = base58_text(bank)
        """The account that owns the tokens and funds others."""
        funding = funding or {}
        self.chain = Chain(self.rules, clock, _genesis(bank, funding))
        self.tokens = {each.name: base58_text(each.address) for each in self.chain.head_world.contracts.values()}
        """The tokens' addresses by symbol."""
        self._shared = Shared(self.chain)
        self.nodes = {name: Node(name, self._shared) for name in nodes}
        self._signed = 0

    def node(self, name: str) -> Node:
        """Give a node by its name; KeyError where there is none."""
        return self.nodes[name]

    # ------------------------------------------------------------------ the chain

    @property
    def head(self) -> Block:
        """Give the newest block."""
        return self.chain.head

    @property
    def solid_number(self) -> int:
        """Give the number of the newest block that never changes."""
        return self.chain.solid_number

    def produce(self, blocks: int = 1) -> Block:
        """Make blocks, the first of them in the clock's slot or the next free one; give the last."""
        for _each in range(blocks):
            block = self.chain.produce()
        return block

    def fork(
        self,
        depth: int,
        *,
        drop_share: float = 0.0,
        delay_share: float = 0.5,
        lost: Container[str] = (),
        rewrite_solid: bool = False,
    ) -> Reorganisation:
        """Replace the newest blocks, as `Chain.fork` tells."""
        return self.chain.fork(
            depth, drop_share=drop_share, delay_share=delay_share, lost=lost, rewrite_solid=rewrite_solid
        )

    # ------------------------------------------------------------------ faults

    @property
    def injected(self) -> Counter[str]:
        """Give how often each fault was injected, as `sending:silent_late`, `reading:too_many` or `view:lag`."""
        return self._shared.injected

    @property
    def requests(self) -> Counter[str]:
        """Give how often each endpoint was asked."""
        return self._shared.requests

    def choose_with(self, chooser: Chooser | None) -> None:
        """Let a function choose each request's conduct."""
        self._shared.chooser = chooser

    # ------------------------------------------------------------------ the bank and what only the operator can do

    def give_trx(self, address: str, sun: int) -> str:
        """Send TRX from the bank; give the transaction's id. It is in the next block."""
        return self._by_bank(Transfer(parse(self.bank), parse(address), sun))

    def give_token(self, symbol: str, address: str, units: int) -> str:
        """Issue a token to an address; give the transaction's id. It is in the next block."""
        return self.use_token(symbol, call_data("issue(address,uint256)", parse(address), units))

    def use_token(self, symbol: str, data: bytes) -> str:
        """Call a token as its owner, to pause it or to block somebody; give the transaction's id."""
        return self._by_bank(Call(parse(self.bank), parse(self.tokens[symbol]), data))

    def decree(self, decree: Decree) -> None:
        """Have accounts, fees or contracts changed at the beginning of the next block."""
        self.chain.decree(decree)

    def set_energy(self, address: str, limit: int) -> None:
        """Give an account energy a day from staked TRX, from the next block on."""
        self.decree(SetAccount(parse(address), energy_limit=limit))

    def set_balance(self, address: str, sun: int) -> None:
        """Set an account's TRX from the next block on."""
        self.decree(SetAccount(parse(address), balance=sun))

    def deploy_token(self, name: str, symbol: str) -> str:
        """Create another token, a false USDT perhaps, in a block of its own; give its address."""
        self.decree(Deploy(symbol, parse(self.bank), token_code(name, symbol)))
        known = set(self.chain.head_world.contracts)
        self.produce()
        return base58_text(next(each for each in self.chain.head_world.contracts if each not in known))

    def token_balance(self, symbol_or_address: str, address: str, *, solid: bool = False) -> int:
        """Give a token balance as it truly is."""
        contract = parse(self.tokens.get(symbol_or_address, symbol_or_address))
        owner = parse(address)
        return int.from_bytes(
            self._world(solid).look(owner, contract, call_data("balanceOf(address)", owner)).output
        )

    def trx_balance(self, address: str, *, solid: bool = False) -> int:
        """Give a balance of TRX, in sun, as it truly is."""
        found = self._world(solid).accounts.get(parse(address))
        return 0 if found is None else found.balance

    def _world(self, solid: bool) -> World:
        return self.chain.world_at(self.chain.solid_number if solid else self.chain.head.number)

    def sign(self, contract: Contract, key: PrivateKey, fee_limit: int = BANK_FEE_LIMIT) -> Transaction:
        """Sign a transaction against the solid block, different from any other of the same content."""
        reference = self.chain.blocks[self.chain.solid_number]
        self._signed += 1
        raw = Raw(
            contract,
            reference_bytes=bytes.fromhex(reference.id[12:16]),
            reference_hash=bytes.fromhex(reference.id[16:32]),
            expiration_ms=self.chain.head.time_ms + EXPIRATION_MS,
            timestamp_ms=self.chain.head.time_ms + self._signed,
            fee_limit=fee_limit if isinstance(contract, Call) else 0,
        )
        unsigned = make(raw)
        signature = key.sign_recoverable(bytes.fromhex(unsigned.id), hasher=None)
        return with_signers(signed_with(unsigned, signature))

    def _by_bank(self, contract: Contract) -> str:
        transaction = self.sign(contract, self._bank_key)
        self.chain.push(transaction)
        return transaction.id


def demo_account(seed: str, name: str) -> tuple[str, PrivateKey]:
    """Give the address and the key of somebody on a demonstration's chain. Anybody can work them out."""
    key = PrivateKey(hashlib.sha256(f"{seed}/account/{name}".encode()).digest())
    return base58_text(of_key(key)), key


def _genesis(bank: bytes, funding: Mapping[str, Funding]) -> list[Decree]:
    decrees: list[Decree] = [SetAccount(bank, balance=BANK_TRX)]
    decrees += [
        SetAccount(parse(address), balance=each.sun, energy_limit=each.energy_limit)
        for address, each in funding.items()
    ]
    decrees += [Deploy(symbol, bank, token_code(name, symbol)) for symbol, name in TOKENS.items()]
    decrees += [
        Issue(symbol, parse(address), units)
        for address, each in funding.items()
        for symbol, units in each.tokens.items()
    ]
    return decrees
