"""A small town on a devnet: three people with keys, a clock that only moves when told, and a way to pay."""

import hashlib
import time
from typing import Any

from coincurve import PrivateKey

from adapters.chains.tron.devnet import Devnet, Funding, Rules
from adapters.chains.tron.devnet.addresses import base58_text, of_key, parse
from adapters.chains.tron.devnet.artifact import call_data
from adapters.chains.tron.devnet.transactions import (
    Call,
    Contract,
    Raw,
    Transaction,
    Transfer,
    make,
    signed_with,
)

TRX = 1_000_000
USDT = 1_000_000
ENOUGH = 100 * TRX
MINUTE_MS = 60_000


class Person:
    """Somebody with a key."""

    def __init__(self, name: str) -> None:
        self.key = PrivateKey(hashlib.sha256(name.encode()).digest())
        self.raw_address = of_key(self.key)
        self.address = base58_text(self.raw_address)


ALICE, BOB, CAROL = Person("alice"), Person("bob"), Person("carol")


class Town:
    """A devnet, its clock, and requests to one node."""

    def __init__(self, rules: Rules | None = None, **funding: Funding) -> None:
        self.now_ms = (rules or Rules()).genesis_ms
        people = {"alice": ALICE, "bob": BOB, "carol": CAROL}
        funding = funding or {"alice": Funding(sun=10_000 * TRX, tokens={"USDT": 1_000_000 * USDT})}
        self.devnet = Devnet(
            lambda: self.now_ms, rules, {people[name].address: each for name, each in funding.items()}
        )
        self.usdt = self.devnet.tokens["USDT"]
        self.node = self.devnet.node("main")

    def produce(self, blocks: int = 1) -> None:
        """Let the time of some blocks pass, and make each of them."""
        for _each in range(blocks):
            self.now_ms += self.devnet.rules.block_ms
            self.devnet.produce()

    def ask(self, path: str, **body: Any) -> Any:
        """Ask the main node, and expect an answer."""
        answer = self.node.answer(path if "/" in path else f"wallet/{path}", body)
        assert answer.status == 200, answer
        return answer.json

    def transfer(self, units: int, to: Person = BOB, **how: Any) -> Transaction:
        """Sign a transfer of USDT by Alice."""
        data = call_data("transfer(address,uint256)", to.raw_address, units)
        return self.sign(Call(ALICE.raw_address, parse(self.usdt), data), **how)

    def sign(
        self,
        contract: Contract,
        *keys: PrivateKey,
        fee_limit: int = ENOUGH,
        expires_in_ms: int = MINUTE_MS,
        reference: int | None = None,
        **raw: Any,
    ) -> Transaction:
        """Sign a transaction against the solid block, by default with Alice's key."""
        chain = self.devnet.chain
        block = chain.blocks[chain.solid_number if reference is None else reference]
        unsigned = make(
            Raw(
                contract,
                reference_bytes=bytes.fromhex(block.id[12:16]),
                reference_hash=bytes.fromhex(block.id[16:32]),
                expiration_ms=chain.head.time_ms + expires_in_ms,
                timestamp_ms=self.now_ms,
                fee_limit=fee_limit if isinstance(contract, Call) else 0,
                **raw,
            )
        )
        digest = bytes.fromhex(unsigned.id)
        return signed_with(
            unsigned, *(each.sign_recoverable(digest, hasher=None) for each in keys or (ALICE.key,))
        )

    def send(self, transaction: Transaction, node: str = "main") -> Any:
        """Broadcast bytes; give the answer's JSON, None where there was no body."""
        return (
            self.devnet.node(node).answer("wallet/broadcasthex", {"transaction": transaction.content.hex()}).json
        )

    def code(self, transaction: Transaction) -> str:
        """Broadcast and give the answer's code."""
        return str(self.send(transaction)["code"])

    def paid(self, transaction: Transaction) -> Any:
        """Broadcast, make a block, give the receipt."""
        assert self.code(transaction) == "SUCCESS"
        self.produce()
        return self.receipt(transaction)

    def receipt(self, transaction: Transaction, area: str = "wallet") -> Any:
        """Give the receipt, {} where there is none."""
        return self.ask(f"{area}/gettransactioninfobyid", value=transaction.id)

    def usdt_of(self, person: Person) -> int:
        """Give somebody's USDT as it truly is."""
        return self.devnet.token_balance("USDT", person.address)

    def trx_of(self, person: Person) -> int:
        """Give somebody's TRX, in sun, as it truly is."""
        return self.devnet.trx_balance(person.address)


def devnet_of_real_time(block_ms: int) -> Devnet:
    """Give a devnet whose thirty blocks end now: for clients that read the machine's clock."""
    behind_ms = 31 * block_ms
    now_ms = time.time_ns() // 1_000_000

    def clock() -> int:
        return time.time_ns() // 1_000_000 - behind_ms

    rules = Rules(block_ms=block_ms, genesis_ms=(now_ms - behind_ms) // block_ms * block_ms)
    funding = {ALICE.address: Funding(sun=10_000 * TRX, tokens={"USDT": 1_000_000 * USDT})}
    devnet = Devnet(clock, rules, funding)
    devnet.produce(30)
    behind_ms = 0
    return devnet


def transfer_of_trx(sun: int, to: Person = BOB) -> Transfer:
    """Give Alice's transfer of TRX."""
    return Transfer(ALICE.raw_address, to.raw_address, sun)
