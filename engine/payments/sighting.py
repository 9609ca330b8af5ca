"""What in a block concerns us: transfers to and from addresses of ours, and fees that they paid.

It sifts, and decides nothing about money. Transfers of nothing are left out: anybody can make a token log "0 units
left your address", and on TRON thousands of such lines a day try to make people copy a wrong address.
"""

from collections.abc import Iterable

import msgspec

from engine.ids import CompanyId, HotWalletId, TxId
from engine.money import Asset, Network
from engine.payments.chain import Block, BlockRef
from engine.payments.incoming import Arrival, incoming_id


class WatchedWallet(msgspec.Struct, frozen=True):
    """An address of ours, and the company whose money passes there."""

    id: HotWalletId
    company: CompanyId
    address: str


class WatchList(msgspec.Struct, frozen=True):
    """Everything that one network's watcher looks for."""

    network: Network
    wallets: dict[str, WatchedWallet]
    """By address."""
    assets: dict[str, Asset]
    """The listed assets by contract; "" is the network's own coin."""

    @classmethod
    def of(cls, network: Network, wallets: Iterable[WatchedWallet], assets: Iterable[Asset]) -> "WatchList":
        """Make a list of what the database lists."""
        return cls(
            network,
            {wallet.address: wallet for wallet in wallets},
            {asset.contract: asset for asset in assets if asset.network is network},
        )

    @property
    def coin(self) -> Asset | None:
        """Give the network's own coin, if it is listed."""
        return self.assets.get("")


class Departure(msgspec.Struct, frozen=True):
    """A final transfer of a listed asset from an address of ours."""

    tx_id: TxId
    log_index: int
    hot_wallet: HotWalletId
    asset: Asset
    recipient: str
    units: int


class Fee(msgspec.Struct, frozen=True):
    """What a transaction that an address of ours paid for has burned, failed or not."""

    id: str
    """The transaction's id, and `~2` behind it when it came a second time, on another fork. Names the posting."""
    tx_id: TxId
    hot_wallet: HotWalletId
    units: int


class Sighting(msgspec.Struct, frozen=True):
    """A final block, reduced to what concerns us, in the block's order. False when nothing does."""

    block: BlockRef
    arrivals: tuple[Arrival, ...] = ()
    departures: tuple[Departure, ...] = ()
    fees: tuple[Fee, ...] = ()

    def __bool__(self) -> bool:
        return bool(self.arrivals or self.departures or self.fees)


def sift(block: Block, watched: WatchList) -> Sighting:
    """Keep of a block what concerns us. What a failed transaction claims to have moved has not moved.

    Incoming transfers of unlisted tokens are kept, for people who ask where their money is. Outgoing ones are not:
    any contract may claim in its own log that we sent something.
    """
    failed = {receipt.tx_id for receipt in block.receipts if not receipt.succeeded}
    arrivals, departures = [], []
    for transfer in block.transfers:
        if transfer.units <= 0 or transfer.tx_id in failed:
            continue
        asset = watched.assets.get(transfer.contract)
        recipient, sender = watched.wallets.get(transfer.recipient), watched.wallets.get(transfer.sender)
        if recipient is not None:
            arrivals.append(
                Arrival(
                    id=incoming_id(watched.network, transfer.tx_id, transfer.log_index),
                    network=watched.network,
                    tx_id=transfer.tx_id,
                    log_index=transfer.log_index,
                    contract=transfer.contract,
                    sender=transfer.sender,
                    units=transfer.units,
                    hot_wallet=recipient.id,
                    company=recipient.company,
                    asset=asset,
                )
            )
        if sender is not None and asset is not None:
            departures.append(
                Departure(transfer.tx_id, transfer.log_index, sender.id, asset, transfer.recipient, transfer.units)
            )
    fees = [
        Fee(receipt.tx_id, receipt.tx_id, payer.id, receipt.fee_units)
        for receipt in block.receipts
        if receipt.fee_units > 0 and (payer := watched.wallets.get(receipt.payer)) is not None
    ]
    return Sighting(block.ref, tuple(arrivals), tuple(departures), tuple(fees))
