"""Asking for a payout: all that one must say, and the account that its money is in until it is paid."""

import msgspec

from engine.ids import CompanyId, DealId, HotWalletId, Instant, PayoutId, SettlementId, WalletId
from engine.ledger.accounts import Account, clearing, funds, suspense
from engine.money import AssetId, Network
from engine.payments.approval import PayoutFields
from engine.payments.payout import Purpose


class NewPayout(msgspec.Struct, frozen=True):
    """A wish to pay. `initiator` is the member who asked, or `engine` where nobody did."""

    id: PayoutId
    company_id: CompanyId
    """Whose money it is: its APPROVERs approve."""
    payee_id: CompanyId
    purpose: Purpose
    purpose_id: str
    """The deal, the settlement, the incoming transfer …"""
    network: Network
    token: AssetId
    units: int
    to_address: str
    wallet_id: WalletId
    """The row of the payee's allow-list that the address is in."""
    hot_wallet_id: HotWalletId
    initiator: str
    at_ms: Instant

    @property
    def fields(self) -> PayoutFields:
        """Give what people approve."""
        return PayoutFields(self.id, self.network, self.token, self.units, self.to_address)

    @property
    def source(self) -> Account:
        """Give the account that the money is in until it is paid."""
        return source_of(self.purpose, self.purpose_id, self.company_id, self.hot_wallet_id, self.token)


def source_of(
    purpose: str, purpose_id: str, company: CompanyId, hot_wallet: HotWalletId, token: AssetId
) -> Account:
    """Name the account that a payout's money is in until it is paid."""
    match purpose:
        case Purpose.PASS_THROUGH:
            return clearing(DealId(purpose_id), token)
        case Purpose.EOD:
            return clearing(SettlementId(purpose_id), token)
        case Purpose.REFUND:
            return suspense(hot_wallet, token)
        case _:
            return funds(company, token)
