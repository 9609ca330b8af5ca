"""Arrivals, deals and wallets for the tests of matching."""

from collections.abc import Sequence

from engine.ids import CompanyId, DealId, HotWalletId, Instant, TxId, WalletId
from engine.money import Asset, AssetId, Network
from engine.payments.allowlist import AllowedWallet
from engine.payments.incoming import Arrival, Expectations, incoming_id
from engine.settlement.deals import DealStatus, Expected

BLOCK_TIME = Instant(1_000_000)
DEADLINE = Instant(BLOCK_TIME + 60_000)

PAYER = CompanyId("co_payer")
HOT = HotWalletId("hw_payer")

USDT = Asset(AssetId("tron:USDT"), Network.TRON, "USDT", "TUsdt", 6, True)
USDC = Asset(AssetId("tron:USDC"), Network.TRON, "USDC", "TUsdc", 6, True)
TRX = Asset(AssetId("tron:TRX"), Network.TRON, "TRX", "", 6)


def arrival(
    units: int,
    *,
    sender: str = "TAnybody",
    asset: Asset | None = USDT,
    log_index: int = 0,
    tx: int = 1,
    hot_wallet: HotWalletId = HOT,
    company: CompanyId = PAYER,
) -> Arrival:
    tx_id = TxId(f"{tx:064x}")
    return Arrival(
        id=incoming_id(Network.TRON, tx_id, log_index),
        network=Network.TRON,
        tx_id=tx_id,
        log_index=log_index,
        contract="TUnknown" if asset is None else asset.contract,
        sender=sender,
        units=units,
        hot_wallet=hot_wallet,
        company=company,
        asset=asset,
    )


def deal(
    name: str,
    units: int,
    *,
    asset: Asset = USDT,
    status: DealStatus = DealStatus.AWAITING_INCOMING,
    hot_wallet: str = HOT,
    deadline_ms: Instant = DEADLINE,
) -> Expected:
    return Expected(
        id=DealId(name),
        company=PAYER,
        hot_wallet=HotWalletId(hot_wallet),
        asset=asset.id,
        units=units,
        status=status,
        deadline_ms=deadline_ms,
        payee=CompanyId("co_payee"),
        wallet_id=WalletId("wa_payee"),
        to_address="TPayeesWallet",
        created_at_ms=Instant(0),
    )


def expecting(
    *deals: Expected, wallets: Sequence[AllowedWallet] = (), assets: tuple[Asset, ...] = (USDT, USDC, TRX)
) -> Expectations:
    """Give expectations; deals are named oldest first."""
    return Expectations(assets, deals, tuple(wallets))


def unproved_wallet(name: str, address: str, *, units: int, until_ms: int = BLOCK_TIME + 1) -> AllowedWallet:
    return _wallet(name, address, units, Instant(until_ms), None)


def proved_wallet(name: str, address: str, *, active_from_ms: int = 1) -> AllowedWallet:
    return _wallet(name, address, None, None, Instant(active_from_ms))


def _wallet(
    name: str, address: str, units: int | None, until_ms: Instant | None, active_from_ms: Instant | None
) -> AllowedWallet:
    return AllowedWallet(
        id=WalletId(name),
        company_id=PAYER,
        network=Network.TRON,
        token=USDT.id,
        address=address,
        label="",
        challenge_units=units,
        challenge_until_ms=until_ms,
        verified_at_ms=None if active_from_ms is None else Instant(0),
        active_from_ms=active_from_ms,
        revoked_at_ms=None,
        created_at_ms=Instant(0),
    )
