"""What is posted: transfers of one unit between ten thousand accounts, or between one of them and all others."""

from enum import StrEnum
from random import Random

from engine.ids import CompanyId, Instant, TransferId
from engine.ledger import accounts
from engine.ledger.accounts import Account
from engine.ledger.postings import Transfer
from engine.money import AssetId
from storage import ledger
from storage.database import Database

ASSET = AssetId("tron:USDT")
OPENING_UNITS = 10**12
_OPENED_AT_ONCE = 1_000


class Shape(StrEnum):
    """Who meets whom."""

    UNIFORM = "uniform"
    HOT = "one hot account"


class Load:
    """An endless supply of transfers, each with an id of its own; the same seed gives the same ones."""

    def __init__(self, count: int, seed: int) -> None:
        self.accounts = [accounts.funds(CompanyId(f"co_{number:05d}"), ASSET) for number in range(count)]
        self._random = Random(seed)  # noqa: S311  the same load each time, guards nothing
        self._said = 0

    def one(self, shape: Shape) -> Transfer:
        """Make the next transfer. Every account has a floor of zero, and money enough."""
        self._said += 1
        debit, credit = self._pair(shape)
        return Transfer(
            TransferId(f"moved:tx_{self._said:012d}"),
            "moved",
            debit,
            credit,
            1,
            f"tx_{self._said:012d}",
            Instant(self._said),
        )

    def batch(self, shape: Shape, size: int) -> list[Transfer]:
        """Make several."""
        return [self.one(shape) for _ in range(size)]

    def _pair(self, shape: Shape) -> tuple[Account, Account]:
        if shape is Shape.UNIFORM:
            first, second = self._random.sample(self.accounts, 2)
            return first, second
        other = self._random.choice(self.accounts[1:])
        return (self.accounts[0], other) if self._random.random() < 0.5 else (other, self.accounts[0])


async def open_accounts(database: Database, load: Load) -> None:
    """Give every account its money."""
    for first in range(0, len(load.accounts), _OPENED_AT_ONCE):
        opening = [
            Transfer(
                TransferId(f"opened:{account.code}"),
                "opened",
                accounts.owner(ASSET),
                account,
                OPENING_UNITS,
                "opening",
                Instant(0),
            )
            for account in load.accounts[first : first + _OPENED_AT_ONCE]
        ]
        async with database.transaction() as connection:
            posted = await ledger.post(connection, opening)
        assert all(answer.ok for answer in posted)
