"""Every sealed value of the database, for the one command that changes the key they are sealed under.

It knows in which columns they are and to which place each is bound; what they hold is nobody's business here.
"""

import msgspec

from storage.database import Connection, Database


class SealedValue(msgspec.Struct, frozen=True):
    """One sealed value with the place that it is bound to: table, row, owner, field."""

    place: tuple[str, str, str, str]
    content: bytes

    def __repr__(self) -> str:
        return f"SealedValue({self.place!r}, ***)"


async def all_sealed(database: Database) -> list[SealedValue]:
    """List every sealed value."""
    keys = await database.rows(
        "SELECT id, owner, sealed_key FROM exchange_accounts WHERE sealed_key IS NOT NULL ORDER BY id"
    )
    seeds = await database.rows(
        "SELECT user_id, totp_sealed FROM credentials WHERE totp_sealed IS NOT NULL ORDER BY user_id"
    )
    wallets = await database.rows(
        "SELECT id, company_id, sealed_key FROM hot_wallet WHERE sealed_key IS NOT NULL ORDER BY id"
    )
    return [
        *(SealedValue(key_place(row["id"], row["owner"]), row["sealed_key"]) for row in keys),
        *(SealedValue(seed_place(row["user_id"]), row["totp_sealed"]) for row in seeds),
        *(SealedValue(hot_wallet_place(row["id"], row["company_id"]), row["sealed_key"]) for row in wallets),
    ]


async def replace(database: Database, before: SealedValue, content: bytes, sealing_key_id: str) -> bool:
    """Write a value as it is sealed now; False when it has changed meanwhile."""

    async def update(connection: Connection) -> bool:
        table, row, _, _ = before.place
        if table != "credentials":
            done = await connection.fetchval(
                f"UPDATE {table} SET sealed_key = $3, sealing_key_id = $4 "
                "WHERE id = $1 AND sealed_key = $2 RETURNING true",
                row,
                before.content,
                content,
                sealing_key_id,
            )
        else:
            done = await connection.fetchval(
                "UPDATE credentials SET totp_sealed = $3 WHERE user_id = $1 AND totp_sealed = $2 RETURNING true",
                row,
                before.content,
                content,
            )
        return bool(done)

    return await database.repeat(update)


def key_place(account: str, owner: str) -> tuple[str, str, str, str]:
    """Name the one place where an account's sealed key opens."""
    return "exchange_accounts", account, owner, "sealed_key"


def seed_place(user: str) -> tuple[str, str, str, str]:
    """Name the one place where the sealed seed of a person's one-time codes opens."""
    return "credentials", user, user, "totp_sealed"


def hot_wallet_place(wallet: str, company: str) -> tuple[str, str, str, str]:
    """Name the one place where a hot wallet's sealed key opens."""
    return "hot_wallet", wallet, company, "sealed_key"
