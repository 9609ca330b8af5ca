"""The club of every simulation: four companies, their people, addresses, deposits and two trust pairs.

Its rows are written once, into the template that all runs are copied from. What is random about a run is what
these people do, never who they are; so keys and addresses follow from names.
"""

import hashlib
from collections.abc import Callable
from dataclasses import dataclass

from engine.ids import CompanyId, HotWalletId, Instant, MemberId, PayoutId, WalletId
from engine.money import AssetId, Network
from engine.payments.payout import Purpose
from engine.payments.request import NewPayout
from storage.database import Database

USDT = AssetId("tron:USDT")
USDC = AssetId("tron:USDC")
TRX = AssetId("tron:TRX")
DOLLAR = 10**6
CAP = 5_000 * DOLLAR
"""What one transfer carries at most: small, so that splits happen."""
APPROVALS = 2
APPROVERS = 3
DEPOSIT = 400_000 * DOLLAR
FUNDS = 60_000 * DOLLAR
WINDOW_MS = 3_600_000
WINDOW = 2_000_000 * DOLLAR
DAY_MS = 86_400_000
BEGAN_MS = 1_767_225_600_000
"""2026-01-01, 00:00 UTC: when everything was there already. Chains begin later."""


def secret(name: str) -> bytes:
    """Give the private key that belongs to a name."""
    return hashlib.sha256(b"trellis simulation " + name.encode()).digest()


@dataclass(frozen=True)
class Firm:
    """A company with all that belongs to it, by name alone."""

    word: str
    tier: str

    @property
    def id(self) -> CompanyId:
        """Give the company's id."""
        return CompanyId(f"co_{self.word}")

    @property
    def hot_wallet(self) -> HotWalletId:
        """Give the id of its address at the platform."""
        return HotWalletId(f"hw_{self.word}")

    @property
    def trader(self) -> MemberId:
        """Name the person who makes deals."""
        return MemberId(f"mb_{self.word}_trader")

    @property
    def approvers(self) -> tuple[MemberId, ...]:
        """Name the people who may approve; the trader is one of them, and may not approve what is his own wish."""
        checkers = (MemberId(f"mb_{self.word}_{number}") for number in range(1, APPROVERS + 1))
        return (self.trader, *checkers)

    @property
    def wallets(self) -> tuple[WalletId, ...]:
        """Name its allow-listed addresses."""
        return WalletId(f"wa_{self.word}_1"), WalletId(f"wa_{self.word}_2")


FIRMS = (Firm("sigma", "S"), Firm("mistral", "M"), Firm("lumen", "L"), Firm("xenon", "XL"))
PAIRS = (("lumen", "xenon"), ("mistral", "sigma"))


def withdrawal(firm: Firm, word: str, units: int, to: str, now: Instant) -> NewPayout:
    """Ask for a firm's own money, to its first address `to`; `word` names the payout."""
    return NewPayout(
        id=PayoutId(f"po_{word}"),
        company_id=firm.id,
        payee_id=firm.id,
        purpose=Purpose.WITHDRAWAL,
        purpose_id=word,
        network=Network.TRON,
        token=USDT,
        units=units,
        to_address=to,
        wallet_id=firm.wallets[0],
        hot_wallet_id=firm.hot_wallet,
        initiator=firm.trader,
        at_ms=now,
    )


async def write(database: Database, address: Callable[[str], str], contracts: dict[AssetId, str]) -> None:
    """Write the club's rows. `address` gives the address of a name's key."""
    async with database.transaction() as connection:
        await connection.executemany(
            "INSERT INTO assets (id, network, symbol, contract, decimals, is_dollar) "
            "VALUES ($1, 'tron', $2, $3, 6, $4)",
            [(asset, asset.partition(":")[2], contract, bool(contract)) for asset, contract in contracts.items()],
        )
        await connection.executemany(
            "INSERT INTO payout_policy (token, cap_token, approvals, window_ms, window_token, changed_at_ms) "
            "VALUES ($1, $2, $3, $4, $5, $6)",
            [(asset, CAP, APPROVALS, WINDOW_MS, WINDOW, BEGAN_MS) for asset, at in contracts.items() if at],
        )
        for firm in FIRMS:
            await connection.execute(
                "INSERT INTO company (id, name, tz, tier, created_at_ms) VALUES ($1, $2, 'Europe/Berlin', $3, $4)",
                firm.id,
                firm.word.title(),
                firm.tier,
                BEGAN_MS,
            )
            await connection.executemany(
                "INSERT INTO member (id, name, created_at_ms) VALUES ($1, $1, $2)",
                [(member, BEGAN_MS) for member in firm.approvers],
            )
            roles = [(firm.id, member, "APPROVER") for member in firm.approvers]
            await connection.executemany(
                "INSERT INTO company_member (company_id, member_id, role) VALUES ($1, $2, $3)",
                [*roles, (firm.id, firm.trader, "TRADER"), (firm.id, firm.trader, "ADMIN")],
            )
            await connection.execute(
                "INSERT INTO hot_wallet (id, network, address, company_id, created_at_ms) "
                "VALUES ($1, 'tron', $2, $3, $4)",
                firm.hot_wallet,
                address(firm.hot_wallet),
                firm.id,
                BEGAN_MS,
            )
            await connection.executemany(
                "INSERT INTO wallet (id, company_id, network, token, address, verified, verified_at_ms, "
                "active_from_ms, added_by, created_at_ms) VALUES ($1, $2, 'tron', $3, $4, true, $5, $6, $7, $5)",
                [
                    (wallet, firm.id, USDT, address(wallet), BEGAN_MS, BEGAN_MS + DAY_MS, firm.trader)
                    for wallet in firm.wallets
                ],
            )
        await connection.executemany(
            "INSERT INTO trust_pair (id, a_company_id, b_company_id, daily_limit_usd, cutoff_local, tz, "
            "reserve_pct, enabled, automatic_eod, created_at_ms) "
            "VALUES ($1, $2, $3, $4, '18:00', 'Europe/Berlin', 10, false, false, $5)",
            [(f"tp_{a}_{b}", f"co_{a}", f"co_{b}", 100_000 * DOLLAR, BEGAN_MS) for a, b in PAIRS],
        )
