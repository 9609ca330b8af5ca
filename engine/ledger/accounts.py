"""The chart of accounts. Business code names an account by calling a function here, never by writing its code.

    wallet:<hot wallet>:<asset>      what an address of ours holds            debit    never below 0
    funds:<company>:<asset>          a company's money at the platform        credit   never below 0
    deposit:<company>:<asset>        its collateral, which gives its limit    credit   never below 0
    reserve:<company>:<asset>        collateral set aside for trust pairs     credit   never below 0
    clearing:<what>:<asset>          came in for a deal or settlement,        credit   never below 0
                                     goes out for it and for nothing else
    suspense:<hot wallet>:<asset>    arrived, and nobody knows what for       credit   never below 0
    tolerance:<asset>                small differences of amounts             credit
    penalties:<asset>                what companies forfeited                 credit
    network_fees:<asset>             burned for transactions                  debit
    claims:<company>:<asset>         paid out for an incoming that vanished   debit
    owner:<asset>                    what the operator put in: coin for fees  credit
    losses:<asset>                   left an address, proved, by no payout    debit

"Never below 0" counts holds: pending transfers lower what is available at once. The floor of a clearing account is
what keeps the payouts of a deal within what came in for it.
"""

from enum import StrEnum
from typing import NewType

import msgspec

from engine.ids import CompanyId, DealId, HotWalletId, SettlementId
from engine.money import AssetId

AccountCode = NewType("AccountCode", str)


class Normal(StrEnum):
    """The side on which an account's balance grows."""

    DEBIT = "debit"
    CREDIT = "credit"


class Account(msgspec.Struct, frozen=True):
    """An account as the ledger opens it when it is first named. `floor` None: may go below zero."""

    code: AccountCode
    asset: AssetId
    normal: Normal
    floor: int | None = None


def wallet(wallet_id: HotWalletId, asset: AssetId) -> Account:
    """What an address of ours holds on its chain, by our books."""
    return _account(f"wallet:{wallet_id}:{asset}", asset, Normal.DEBIT, 0)


def funds(company: CompanyId, asset: AssetId) -> Account:
    """A company's free money at the platform: pays settlements, becomes deposit, is withdrawn."""
    return _account(f"funds:{company}:{asset}", asset, Normal.CREDIT, 0)


def deposit(company: CompanyId, asset: AssetId) -> Account:
    """A company's collateral. What is held or reserved of it gives no limit."""
    return _account(f"deposit:{company}:{asset}", asset, Normal.CREDIT, 0)


def reserve(company: CompanyId, asset: AssetId) -> Account:
    """Collateral that is set aside for trust pairs."""
    return _account(f"reserve:{company}:{asset}", asset, Normal.CREDIT, 0)


def clearing(what: DealId | SettlementId, asset: AssetId) -> Account:
    """What came in for one deal or settlement and is to go out for it."""
    return _account(f"clearing:{what}:{asset}", asset, Normal.CREDIT, 0)


def suspense(wallet_id: HotWalletId, asset: AssetId) -> Account:
    """What arrived at an address and waits for somebody to say what for."""
    return _account(f"suspense:{wallet_id}:{asset}", asset, Normal.CREDIT, 0)


def tolerance(asset: AssetId) -> Account:
    """Small differences between what was asked and what came."""
    return _account(f"tolerance:{asset}", asset, Normal.CREDIT, None)


def penalties(asset: AssetId) -> Account:
    """What companies forfeited."""
    return _account(f"penalties:{asset}", asset, Normal.CREDIT, None)


def network_fees(asset: AssetId) -> Account:
    """What transactions have burned of a network's own coin."""
    return _account(f"network_fees:{asset}", asset, Normal.DEBIT, None)


def claims(company: CompanyId, asset: AssetId) -> Account:
    """What a company owes because its incoming transfer vanished after it was paid out."""
    return _account(f"claims:{company}:{asset}", asset, Normal.DEBIT, None)


def owner(asset: AssetId) -> Account:
    """What the operator has put in, coin for fees above all."""
    return _account(f"owner:{asset}", asset, Normal.CREDIT, None)


def losses(asset: AssetId) -> Account:
    """What has left an address of ours by no payout, as two operators have proved. It is the operator's loss."""
    return _account(f"losses:{asset}", asset, Normal.DEBIT, None)


def _account(code: str, asset: AssetId, normal: Normal, floor: int | None) -> Account:
    return Account(AccountCode(code), asset, normal, floor)
