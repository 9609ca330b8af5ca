"""Where a company may be paid: an address is added, proved by a micro-transfer, cooled off, and then active.

A row of the list is a version. What changes is a new row that must prove itself again; the old one is revoked. So
an approval, a deal or a signature that names a row always means the same address.
"""

from enum import StrEnum

import msgspec

from engine.errors import Refusal
from engine.ids import CompanyId, Instant, WalletId
from engine.machine import Transitions
from engine.money import AssetId, Network

CHALLENGE_SPREAD = 90_000
"""How many different micro-transfers there are: from 10,000 base units (one cent of a dollar) on."""
CHALLENGE_LEAST_UNITS = 10_000
LABEL_LENGTH_MAX = 80


class Standing(StrEnum):
    """How far an address has come."""

    CHALLENGED = "challenged"
    """Waits for the micro-transfer that proves it."""
    LAPSED = "lapsed"
    """The micro-transfer did not come in time."""
    COOLING_OFF = "cooling_off"
    """Proved. Who has stolen an account must still wait, in the sight of its owner."""
    ACTIVE = "active"
    REVOKED = "revoked"


MOVES = Transitions(
    {
        Standing.CHALLENGED: {Standing.COOLING_OFF, Standing.LAPSED, Standing.REVOKED},
        Standing.LAPSED: {Standing.REVOKED},
        Standing.COOLING_OFF: {Standing.ACTIVE, Standing.REVOKED},
        Standing.ACTIVE: {Standing.REVOKED},
        Standing.REVOKED: set(),
    }
)


class AllowListPolicy(msgspec.Struct, frozen=True):
    """How long things take."""

    challenge_ms: int = 24 * 3_600_000
    """Within this the micro-transfer must arrive."""
    cooling_off_ms: int = 24 * 3_600_000


class AllowedWallet(msgspec.Struct, frozen=True):
    """One row of the list."""

    id: WalletId
    company_id: CompanyId
    network: Network
    token: AssetId
    address: str
    label: str
    challenge_units: int | None
    challenge_until_ms: Instant | None
    verified_at_ms: Instant | None
    active_from_ms: Instant | None
    revoked_at_ms: Instant | None
    created_at_ms: Instant


def standing(wallet: AllowedWallet, now: Instant) -> Standing:
    """Tell how far an address has come by now."""
    if wallet.revoked_at_ms is not None:
        return Standing.REVOKED
    if wallet.active_from_ms is not None:
        return Standing.ACTIVE if now >= wallet.active_from_ms else Standing.COOLING_OFF
    if wallet.challenge_until_ms is not None and now > wallet.challenge_until_ms:
        return Standing.LAPSED
    return Standing.CHALLENGED


def challenge_units(draw: int) -> int:
    """Turn a random number into the micro-transfer that proves an address, in base units."""
    return CHALLENGE_LEAST_UNITS + draw % CHALLENGE_SPREAD


def proves(wallet: AllowedWallet, sender: str, token: AssetId, units: int, at: Instant) -> bool:
    """Tell whether a transfer to the company's own hot wallet proves the address: sender, unit and time fit."""
    return (
        standing(wallet, at) is Standing.CHALLENGED
        and sender == wallet.address
        and token == wallet.token
        and units == wallet.challenge_units
    )


def is_payable(
    wallet: AllowedWallet | None, payee: CompanyId, network: Network, token: AssetId, address: str
) -> bool:
    """Tell whether a row is of this payee and names just this destination. Its standing is another question."""
    return (
        wallet is not None
        and wallet.company_id == payee
        and wallet.network == network
        and wallet.token == token
        and wallet.address == address
    )


def refuse_label(label: str) -> Refusal | None:
    """Say what is wrong with the name that people give an address."""
    if len(label) > LABEL_LENGTH_MAX or not label.isprintable():
        return Refusal(
            "bad_label", "label", "the label is too long or not printable", f"up to {LABEL_LENGTH_MAX} characters"
        )
    return None
