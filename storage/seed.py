"""The rows that a fresh installation starts with: the operator at this machine, and their paper account."""

from engine.ids import AccountId, UserId
from storage.accounts import Environment, NewAccount, add_account
from storage.database import Connection, Database
from storage.users import add_user

OPERATOR = UserId("operator")
PAPER_ACCOUNT = AccountId("paper")


async def seed(database: Database) -> None:
    """Add what is missing. Every start calls it; rows that are there stay as they are."""

    async def add(connection: Connection) -> None:
        await add_user(connection, OPERATOR, "Operator")
        await add_account(
            connection, NewAccount(PAPER_ACCOUNT, OPERATOR, "bybit", Environment.PAPER, "Paper trading")
        )

    await database.repeat(add)
