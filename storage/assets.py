"""The listed assets: what the club keeps books of. The contract's address decides, the symbol is for people."""

from engine.money import Asset, AssetId
from storage.database import Connection
from storage.rows import AlreadyExistsDifferently, columns, to_rows

_COLUMNS = columns(Asset)


async def put(connection: Connection, asset: Asset) -> None:
    """List an asset. Once listed it stays as it is: `AlreadyExistsDifferently` for other facts under its id."""
    await connection.execute(
        f"INSERT INTO assets ({_COLUMNS}) VALUES ($1, $2, $3, $4, $5, $6) ON CONFLICT (id) DO NOTHING",
        asset.id,
        asset.network,
        asset.symbol,
        asset.contract,
        asset.decimals,
        asset.is_dollar,
    )
    if (await listed(connection))[asset.id] != asset:
        raise AlreadyExistsDifferently(f"{asset.id} is listed with other facts")


async def listed(connection: Connection) -> dict[AssetId, Asset]:
    """Give every listed asset."""
    records = await connection.fetch(f"SELECT {_COLUMNS} FROM assets ORDER BY id")
    return {asset.id: asset for asset in to_rows(records, Asset)}
