"""Where companies are paid, for deals and closes: rows of the allow-list that `storage.address_book` keeps."""

from engine.ids import CompanyId, Instant, WalletId
from engine.money import AssetId, Network
from engine.payments.allowlist import AllowedWallet
from storage.address_book import allowed_wallet
from storage.database import Connection
from storage.rows import columns

_COLUMNS = columns(AllowedWallet)


async def find(connection: Connection, wallet: WalletId) -> AllowedWallet | None:
    """Give a row of the list, whoever's it is and however it stands."""
    record = await connection.fetchrow(f"SELECT {_COLUMNS} FROM wallet WHERE id = $1", wallet)
    return None if record is None else allowed_wallet(record)


async def oldest_active(
    connection: Connection, company: CompanyId, network: Network, token: AssetId, at_ms: Instant
) -> AllowedWallet | None:
    """Give the address that a company is paid at where nobody names one: the one that has been active longest.

    Not the newest: who has stolen an account adds an address and waits for the next payout.
    """
    record = await connection.fetchrow(
        f"SELECT {_COLUMNS} FROM wallet WHERE company_id = $1 AND network = $2 AND token = $3 "
        "AND revoked_at_ms IS NULL AND active_from_ms <= $4 ORDER BY active_from_ms, id LIMIT 1",
        company,
        network,
        token,
        at_ms,
    )
    return None if record is None else allowed_wallet(record)
