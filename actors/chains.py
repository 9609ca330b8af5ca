"""The one place that knows concrete chains: which nodes speak for a network, and how a hot wallet's key is opened.

Everything else asks for a Protocol of `engine.payments.ports`. As in `actors.wiring` for exchanges, a key is read
and opened in the process that signs with it, and nowhere else.
"""

import os
import secrets
from collections.abc import Sequence
from pathlib import Path
from urllib.parse import urlsplit

from actors import settings as settings_module
from actors import wiring
from actors.clock import now_ms
from actors.dotenv import merged_environment
from actors.plan import ChainPlan
from adapters.chains import registry
from adapters.chains.http import HttpTransport, NodeAddress
from adapters.chains.rpc import NodePool, OnTrouble
from adapters.secrets.envelope import Sealed
from engine.ids import CompanyId, HotWalletId, Instant
from engine.money import Asset, AssetId, Network
from engine.payments.ports import KeyHolder, PayoutChain
from engine.settlement.companies import HotWallet
from storage.companies import Companies
from storage.database import Database
from storage.sealed_values import hot_wallet_place

KEY_BYTES = 32
_API_KEY_HEADER, _API_KEY_DOMAIN = "TRON-PRO-API-KEY", "trongrid.io"

MAINNET = (
    # https://tron.network/usdt and https://www.circle.com/usdc: the issuers' own pages name the contracts.
    Asset(AssetId("tron:USDT"), Network.TRON, "USDT", "TR7NHqjeKQxGTCi8q8ZY4pL8otSzgjLj6t", 6, is_dollar=True),
    Asset(AssetId("tron:USDC"), Network.TRON, "USDC", "TEkxiTehnzSmSe2XqrBj4w32RUN966rdz8", 6, is_dollar=True),
)
"""What the club trades on TRON's main network."""


class OpenChain:
    """A network's nodes behind the port that watchers and signers ask. Close it when done."""

    def __init__(self, plan: ChainPlan, on_trouble: OnTrouble) -> None:
        names = _named(plan.nodes)
        self._transport = HttpTransport(names)
        self.pool = NodePool(plan.network, list(names), self._transport, now_ms, on_trouble)
        self.port: PayoutChain = registry.payout_chain(self.pool, now_ms)

    async def close(self) -> None:
        """Close every socket."""
        await self._transport.close()


def check_address(network: Network, address: str) -> None:
    """Raise ValueError, saying what is wrong, for text that is no address of the network."""
    registry.check_address(network, address)


# ---------------------------------------------------------------------- keys


def draw_hot_wallet(
    plan: "wiring.Plan", network: Network, company: CompanyId, at_ms: Instant
) -> tuple[HotWallet, bytes, str]:
    """Draw the key of a new hot wallet; give the wallet, the sealed key and the id of what it is sealed with."""
    secret = bytearray(secrets.token_bytes(KEY_BYTES))
    wallet_id = HotWalletId(f"hw_{company.removeprefix('co_')}_{network}")
    sealed = wiring.vault(plan).seal(bytes(secret), *hot_wallet_place(wallet_id, company))
    key = registry.key_holder(network, secret)
    try:
        return HotWallet(wallet_id, network, key.address, company, at_ms), sealed.content, sealed.kek_id
    finally:
        key.wipe()


async def open_key(plan: "wiring.Plan", database: Database, wallet: HotWallet) -> KeyHolder:
    """Open a hot wallet's key, in the process that signs. Raises `SealBroken` or OSError when it does not open."""
    stored = await Companies(database).sealed_key(wallet.id)
    if stored is None:
        raise LookupError(f"the platform holds no key of {wallet.id}")
    plain = wiring.vault(plan).open(Sealed(stored[0]), *hot_wallet_place(wallet.id, wallet.company_id))
    return registry.key_holder(wallet.network, bytearray(plain))


def _named(urls: Sequence[str]) -> dict[str, NodeAddress]:
    """Name nodes by their hosts, without what may be a key in the path; a host that comes twice gets a number."""
    settings = settings_module.load(merged_environment(os.environ, Path(".env")))
    key = settings.tron_api_key
    named: dict[str, NodeAddress] = {}
    for url in urls:
        host = urlsplit(url).netloc
        same = sum(name.partition("#")[0] == host for name in named)
        # The key is one gateway's. Other nodes must not learn it.
        is_its = (urlsplit(url).hostname or "").endswith(_API_KEY_DOMAIN)
        headers = {_API_KEY_HEADER: key.value} if key is not None and is_its else {}
        named[f"{host}#{same + 1}" if same else host] = NodeAddress(url, headers)
    return named
