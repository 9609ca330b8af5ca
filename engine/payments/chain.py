"""What is true on a chain, in words that hold for TRON, EVM and TON: blocks, transfers, receipts, outcomes.

Facts only. How they are asked for is an adapter's business; what follows from them is decided beside this file.
"""

from enum import StrEnum

import msgspec

from engine.ids import HotWalletId, Instant, PayoutTaskId, TxId
from engine.money import AssetId, Network


class BlockRef(msgspec.Struct, frozen=True):
    """A block, by what identifies it for ever. `id` commits to every block before it."""

    number: int
    id: str
    parent_id: str
    time_ms: Instant


class TokenTransfer(msgspec.Struct, frozen=True):
    """One transfer that a successful transaction of a final block has made, as the chain's own log tells it.

    `contract` is the token's address, "" for the network's own coin. Addresses are in the network's usual text
    form. `units` is what arrived, never what a caller asked for.
    """

    tx_id: TxId
    log_index: int
    contract: str
    sender: str
    recipient: str
    units: int


class Receipt(msgspec.Struct, frozen=True):
    """What became of an included transaction. `fee_units` is in the network's own coin, spent either way."""

    tx_id: TxId
    succeeded: bool
    result: str
    """The chain's own word, as `SUCCESS` or `OUT_OF_ENERGY`."""
    fee_units: int
    payer: str = ""
    """Who paid the fee."""


class Block(msgspec.Struct, frozen=True):
    """A final block with everything in it that may concern us."""

    ref: BlockRef
    transfers: tuple[TokenTransfer, ...] = ()
    receipts: tuple[Receipt, ...] = ()
    """One for each transaction of the block, failed ones too."""


class PayoutIntent(msgspec.Struct, frozen=True):
    """What one payout transaction must do: every field is checked again in the bytes that are signed."""

    task: PayoutTaskId
    attempt: int
    network: Network
    asset: AssetId
    contract: str
    hot_wallet: HotWalletId
    sender: str
    recipient: str
    units: int
    fee_limit: int
    expires_at_ms: Instant
    timestamp_ms: Instant
    """Unique among the wallet's attempts: two transfers alike in everything else would be one transaction."""
    reference: BlockRef
    """A final block: no reorganisation takes the transaction's ground away."""


class SignedPayout(msgspec.Struct, frozen=True):
    """Bytes that pay when they are broadcast. Known by `tx_id` before anybody has seen them."""

    tx_id: TxId
    content: bytes
    expires_at_ms: Instant
    reference_number: int
    """The chain cannot include the bytes before this block."""


class BroadcastAnswer(StrEnum):
    """What a node said. A metric and a word for the screen; it never changes a state."""

    TAKEN = "taken"
    KNOWN = "known"
    """The node has seen it. It may still never have been accepted."""
    REFUSED = "refused"
    """The node says no. It may still have passed it on."""
    SILENT = "silent"


class Pending(msgspec.Struct, frozen=True, tag="pending"):
    """Nothing is certain yet: not included, and it still could be."""


class Included(msgspec.Struct, frozen=True, tag="included"):
    """In a final block. Paid only if `receipt.succeeded` and the transfer is the intended one (`moved_units`)."""

    block: BlockRef
    receipt: Receipt
    moved_units: int
    """What the chain's log says moved from our wallet to the intended recipient in the intended token."""


class Absent(msgspec.Struct, frozen=True, tag="absent"):
    """Proved dead: `witnesses` independent nodes have final chains past the expiration without it."""

    up_to: BlockRef
    witnesses: tuple[str, ...]


Outcome = Pending | Included | Absent


class Shortage(StrEnum):
    """What a wallet lacks to send."""

    ENERGY = "insufficient_energy"
    COIN = "insufficient_coin"
    """Not enough of the network's own coin for the worst fee."""
    TOKEN = "insufficient_token"  # noqa: S105  a word, no password
    RECIPIENT_NOT_ACTIVE = "recipient_not_active"


class Preflight(msgspec.Struct, frozen=True):
    """What sending would need now. `shortage` is None when the wallet can send."""

    fee_limit: int
    coin_units: int
    """The wallet's balance of the network's own coin."""
    token_units: int
    energy_left: int
    energy_needed: int
    shortage: Shortage | None = None
    worst_fee_units: int = 0
    """What this transfer alone may take of `coin_units`."""
