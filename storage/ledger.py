"""The ledger's door: transfers in, answers and balances out. What a transfer means is the engine's business.

One transaction posts at a time: whoever posts has the ledger's turn until its commit, so what it decided from
balances still holds when it is written. Same id and same content: same answer, whatever time it was said at.
"""

from collections.abc import Sequence
from itertools import islice
from typing import Any

import msgspec

from engine.ids import Instant, TransferId
from engine.ledger.accounts import Account, AccountCode, Normal
from engine.ledger.balances import Balance
from engine.ledger.postings import Phase, Posted, Posting, Transfer
from engine.money import AssetId
from storage.database import Connection, Database
from storage.rows import Page, decode_cursor, page_limit, page_of, to_row, to_rows

_POST = """
SELECT results, ways FROM ledger_post(
    $1::text[], $2::text[], $3::text[], $4::text[]::numeric[], $5::text[], $6::text[], $7::integer[],
    $8::integer[], $9::text[]::numeric[], $10::text[], $11::bigint[], $12::text[], $13::text[], $14::bigint[],
    $15::integer[])
"""

_ENTRY = """
SELECT transfer.seq, transfer.id, transfer.kind, debit.code AS debit, credit.code AS credit, debit.asset,
       transfer.units, transfer.reference, transfer.at_ms, transfer.phase, transfer.resolves,
       transfer.expires_at_ms
"""

_JOINS = """
JOIN ledger_account AS debit ON debit.number = transfer.debit
JOIN ledger_account AS credit ON credit.number = transfer.credit
"""


class Entry(msgspec.Struct, frozen=True):
    """A transfer as the ledger has it. `units` of a VOID or EXPIRE is what it released."""

    seq: int
    id: TransferId
    kind: str
    debit: AccountCode
    credit: AccountCode
    asset: AssetId
    units: int
    reference: str
    at_ms: Instant
    phase: Phase
    resolves: TransferId | None
    expires_at_ms: Instant | None


class AccountRow(msgspec.Struct, frozen=True):
    """An account with what it has, on its normal side."""

    code: AccountCode
    asset: AssetId
    normal: Normal
    floor: int | None
    balance: int
    held: int


# ---------------------------------------------------------------------- in the caller's transaction


async def take_turn(connection: Connection) -> None:
    """Become the ledger's one writer until the transaction ends. Call it before reading what a decision needs."""
    await connection.execute("SELECT FROM ledger_head FOR UPDATE")


async def post(connection: Connection, transfers: Sequence[Transfer]) -> list[Posted]:
    """Post transfers in the caller's transaction, as if one after another, and answer each.

    Takes the ledger's turn and opens the accounts that are named for the first time. A group is posted as a whole
    where its first transfer stands. A refusal is an answer; the other transfers are posted all the same.
    """
    return await _post(connection, transfers, [transfer.group for transfer in transfers])


async def post_each(connection: Connection, submissions: Sequence[Sequence[Transfer]]) -> list[list[Posted]]:
    """Post what several callers submitted, in one statement; nobody's groups meet another's."""
    transfers = [transfer for submission in submissions for transfer in submission]
    groups = [
        transfer.group and (number, transfer.group)
        for number, submission in enumerate(submissions)
        for transfer in submission
    ]
    posted = iter(await _post(connection, transfers, groups))
    return [list(islice(posted, len(submission))) for submission in submissions]


async def balances(connection: Connection, accounts: Sequence[Account]) -> dict[AccountCode, Balance]:
    """Read balances, 0 where nothing was posted. Only in one's turn do they stay so until the commit."""
    records = await connection.fetch(
        "SELECT code, balance, held FROM ledger_account WHERE code = ANY ($1::text[])",
        [account.code for account in accounts],
    )
    found = {record["code"]: Balance(int(record["balance"]), int(record["held"])) for record in records}
    return {account.code: found.get(account.code, Balance()) for account in accounts}


async def expire_holds(connection: Connection, now: Instant) -> list[TransferId]:
    """End the holds whose time is up, and name them. Until this runs they still count as held."""
    await take_turn(connection)
    due = await connection.fetch(
        """
        SELECT hold.id, transfer.reference, hold.units,
               debit.code AS debit, debit.asset, debit.normal AS debit_normal, debit.floor AS debit_floor,
               credit.code AS credit, credit.normal AS credit_normal, credit.floor AS credit_floor
        FROM ledger_hold AS hold JOIN ledger_transfer AS transfer USING (id)
        JOIN ledger_account AS debit ON debit.number = hold.debit
        JOIN ledger_account AS credit ON credit.number = hold.credit
        WHERE hold.expires_at_ms <= $1 ORDER BY hold.expires_at_ms, hold.id
        """,
        now,
    )
    endings = [
        Transfer(
            id=TransferId(f"hold_expired:{each['id']}"),
            kind="hold_expired",
            debit=Account(each["debit"], each["asset"], Normal(each["debit_normal"]), each["debit_floor"]),
            credit=Account(each["credit"], each["asset"], Normal(each["credit_normal"]), each["credit_floor"]),
            units=int(each["units"]),
            reference=each["reference"],
            at_ms=now,
            phase=Phase.EXPIRE,
            resolves=TransferId(each["id"]),
        )
        for each in due
    ]
    for answer in await post(connection, endings):
        assert answer.ok, f"{answer.id}: {answer.result}"
    return [TransferId(each["id"]) for each in due]


# ---------------------------------------------------------------------- for reading


class Ledger:
    """Accounts and entries, for people and for checks."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def balance(self, account: Account) -> Balance:
        """Read one account."""
        record = await self._database.row("SELECT balance, held FROM ledger_account WHERE code = $1", account.code)
        return Balance() if record is None else Balance(int(record["balance"]), int(record["held"]))

    async def accounts(self, prefix: str = "") -> list[AccountRow]:
        """List accounts in the order of their codes, with all of `prefix` as `funds:co_x:`: a trial balance."""
        records = await self._database.rows(
            "SELECT code, asset, normal, floor, balance, held FROM ledger_account "
            "WHERE starts_with(code, $1) ORDER BY code",
            prefix,
        )
        return to_rows(records, AccountRow)

    async def entry(self, transfer: TransferId) -> Entry | None:
        """Read one transfer."""
        record = await self._database.row(
            f"{_ENTRY} FROM ledger_transfer AS transfer {_JOINS} WHERE id = $1", transfer
        )
        return None if record is None else to_row(record, Entry)

    async def about(self, reference: str) -> list[Entry]:
        """List the transfers about one thing (a deal, a payout's task, an incoming transfer), oldest first."""
        records = await self._database.rows(
            f"{_ENTRY} FROM ledger_transfer AS transfer {_JOINS} WHERE reference = $1 ORDER BY seq", reference
        )
        return to_rows(records, Entry)

    async def statement(
        self, account: Account | AccountCode, *, cursor: str | None = None, limit: int = 50
    ) -> Page[Entry]:
        """List an account's transfers, newest first."""
        limit = page_limit(limit)
        before, _ = decode_cursor(cursor, int, int)
        code = account.code if isinstance(account, Account) else account
        records = await self._database.rows(
            f"""
            WITH wanted AS (SELECT number FROM ledger_account WHERE code = $1), transfer AS (
                (SELECT * FROM ledger_transfer WHERE debit = (SELECT number FROM wanted)
                 AND ($2::bigint IS NULL OR seq < $2) ORDER BY seq DESC LIMIT $3)
                UNION ALL
                (SELECT * FROM ledger_transfer WHERE credit = (SELECT number FROM wanted)
                 AND ($2::bigint IS NULL OR seq < $2) ORDER BY seq DESC LIMIT $3)
            )
            {_ENTRY} FROM transfer {_JOINS} ORDER BY seq DESC LIMIT $3
            """,
            code,
            before,
            limit + 1,
        )
        return page_of(records, Entry, limit, ("seq", "seq"))


# ---------------------------------------------------------------------- wire


async def _post(connection: Connection, transfers: Sequence[Transfer], groups: Sequence[object]) -> list[Posted]:
    if not transfers:
        return []
    order, numbers = _in_groups(groups)
    codes, columns = _columns([transfers[position] for position in order])
    answer = await connection.fetchrow(_POST, *columns, [numbers[position] for position in order])
    assert answer is not None
    if answer["results"] is None:
        return [Posted(transfer.id, Posting.OK) for transfer in transfers]
    posted: list[Any] = [None] * len(transfers)
    for position, result, way in zip(order, answer["results"], answer["ways"], strict=True):
        account = None if way is None else codes[way - 1]
        posted[position] = Posted(transfers[position].id, Posting(result), account)
    return posted


def _in_groups(groups: Sequence[object]) -> tuple[Sequence[int], list[int]]:
    """Order positions so that groups stand together, and number the groups; 0 is no group."""
    firsts: dict[object, int] = {}
    for position, group in enumerate(groups):
        if group:
            firsts.setdefault(group, position)
    if not firsts:
        return range(len(groups)), [0] * len(groups)
    order = sorted(range(len(groups)), key=lambda position: firsts.get(groups[position], position))
    return order, [firsts[group] + 1 if group else 0 for group in groups]


def _columns(transfers: Sequence[Transfer]) -> tuple[list[AccountCode], list[list[Any]]]:
    """Turn transfers into the arrays of `ledger_post`; each account is named once, and by its place after that."""
    places: dict[AccountCode, int] = {}
    accounts: list[Account] = []
    for transfer in transfers:
        for account in (transfer.debit, transfer.credit):
            if account.code not in places:
                accounts.append(account)
                places[account.code] = len(accounts)
    codes = list(places)
    return codes, [
        codes,
        [account.asset for account in accounts],
        [account.normal for account in accounts],
        [None if account.floor is None else str(account.floor) for account in accounts],
        [transfer.id for transfer in transfers],
        [transfer.kind for transfer in transfers],
        [places[transfer.debit.code] for transfer in transfers],
        [places[transfer.credit.code] for transfer in transfers],
        [str(transfer.units) for transfer in transfers],
        [transfer.reference for transfer in transfers],
        [transfer.at_ms for transfer in transfers],
        [transfer.phase for transfer in transfers],
        [transfer.resolves for transfer in transfers],
        [transfer.expires_at_ms for transfer in transfers],
    ]
