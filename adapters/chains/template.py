"""How to add a chain: copy this file, fill the rows, run the shared suite.

1. Copy it to `adapters/chains/<name>/` and split it as `tron/` is split: addresses, codec (bytes and nothing
   else), keys, wire (a node's answers, typed), node (its questions), reader, scan (what proves an outcome), fees,
   payouts. The pool and the transport in `rpc` and `http` are there to be used.
2. Add the network to `engine.money.Network`, and a row and three branches to `registry`.
3. Make `tests/adapters/chains/test_suite_<name>.py` inherit `tests.adapters.chains.suite.ChainSuite`, on a devnet
   whose nodes can lag, lie, lose and fall silent. It passes, or the chain is not added.

| promise | what breaks when it is not kept |
| --- | --- |
| only `Retryable`, `Rejected`, `OutcomeUnknown` leave a question to nodes | a signer dies of another's exception |
| only final blocks are read, and two nodes tell them alike | a credit that a reorganisation or a liar made up |
| a list that could be incomplete is refused | a payment that came and is never seen |
| a transfer is what the contract's event says, of any contract | a worthless token counted as the real one |
| `build` asks nobody; `check` holds every byte to the intent | a node makes us sign its own transfer |
| the id is known before the bytes leave, and never changes | a crash between sending and saving pays twice |
| no answer to a broadcast decides anything | an error that pays, a success that does not |
| `Absent` only where no block can include the bytes any more, by two chains | the same payout, twice |
| no key in a repr, a log, a pickle or a second buffer | the hot wallet |
"""

from collections.abc import Collection, Sequence

from engine.payments.chain import (
    Block,
    BlockRef,
    BroadcastAnswer,
    Outcome,
    PayoutIntent,
    Preflight,
    SignedPayout,
)


class TemplateChain:
    """All rows are required: a chain that cannot fill one cannot pay out."""

    async def final_head(self) -> BlockRef:
        """Required. The newest block that two nodes call final (EVM: `finalized`; TON: a masterchain block)."""
        raise NotImplementedError

    async def block(self, number: int, touching: Collection[str] | None = None) -> Block:
        """Required. Transfers from events of successful transactions; receipts of failed ones too."""
        raise NotImplementedError

    async def header(self, number: int) -> BlockRef:
        """Required. For finding the common ancestor after a reorganisation."""
        raise NotImplementedError

    async def balance(self, address: str, contract: str) -> int:
        """Required. At the final head; "" is the network's own coin."""
        raise NotImplementedError

    async def reference(self) -> BlockRef:
        """Required. What a transaction hangs on, or at least the chain's own clock."""
        raise NotImplementedError

    async def preflight(self, sender: str, recipient: str, contract: str, units: int) -> Preflight:
        """Required. The dear case of the recipient, the worst fee, what the wallet lacks."""
        raise NotImplementedError

    def build(self, intent: PayoutIntent) -> bytes:
        """Required. Locally; the same intent gives the same bytes."""
        raise NotImplementedError

    def check(self, content: bytes, intent: PayoutIntent) -> None:
        """Required. Decode again; an unknown field or another encoding is a difference too."""
        raise NotImplementedError

    def digest(self, unsigned: bytes) -> bytes:
        """Required. What the key signs."""
        raise NotImplementedError

    def assemble(self, unsigned: bytes, signature: bytes, intent: PayoutIntent) -> SignedPayout:
        """Required. Recover the signer from the signature: it is the sender."""
        raise NotImplementedError

    async def broadcast(self, signed: Sequence[SignedPayout]) -> list[BroadcastAnswer]:
        """Required. To two nodes or more; never raises for one of them."""
        raise NotImplementedError

    async def outcomes(self, signed: Sequence[SignedPayout], intents: Sequence[PayoutIntent]) -> list[Outcome]:
        """Required. What makes a payout impossible differs: TRON's expiration, EVM's nonce, TON's query id."""
        raise NotImplementedError
