"""The ledger's door: transfers in, answers and balances out. What a transfer means is the engine's business.

One transaction posts at a time: whoever posts has the ledger's turn until its commit, so what it decided from
balances still holds when it is written. Same id and same content: same answer, whatever time it was said at.
"""

import json
from collections.abc import Sequence
from decimal import Decimal
from itertools import islice
from typing import Any, TypeVar

import asyncpg
import msgspec
import orjson

from engine.ids import Instant, TransferId
from engine.ledger.accounts import Account, AccountCode, Normal
from engine.ledger.balances import Balance
from engine.ledger.postings import Phase, Posted, Posting, Transfer
from engine.money import AssetId
from storage.database import Connection, Database
from storage.paging import Key, Page, page_limit

Row = TypeVar("Row", bound=msgspec.Struct)

_BY_BATCH = Key(("batch", "seq"), tuple[int, int])

# Arrays travel as text: a column of five hundred is one value for the client to encode, and the server reads an
# array's text faster than the client can write its binary form.
_POST = """
SELECT results, ways FROM ledger_post(
    $1::text::text[], $2::text::text[], $3::text::text[], $4::text::numeric[], $5::text::text[], $6::text::text[],
    $7::text::integer[], $8::text::integer[], $9::text::numeric[], $10::text::text[], $11::text::bigint[],
    $12::text::text[], $13::text::text[], $14::text::bigint[], $15::text::integer[])
"""

_ENTRY = """
SELECT transfer.seq, transfer.id, transfer.kind, transfer.debit, transfer.credit, account.asset, transfer.units,
       transfer.reference, transfer.at_ms, transfer.phase, transfer.resolves, transfer.expires_at_ms
FROM ledger_transfer AS transfer JOIN ledger_account AS account ON account.code = transfer.debit
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
        JOIN ledger_account AS debit ON debit.code = hold.debit
        JOIN ledger_account AS credit ON credit.code = hold.credit
        WHERE hold.expires_at_ms <= $1 ORDER BY hold.expires_at_ms, hold.id
        """,
        now,
    )
    endings = [
        Transfer(
            id=TransferId(f"hold_expired:{each['id']}"),
            kind="hold_expired",
            debit=_side(each, "debit"),
            credit=_side(each, "credit"),
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


def _side(hold: asyncpg.Record, side: str) -> Account:
    floor = hold[f"{side}_floor"]
    return Account(
        hold[side], hold["asset"], Normal(hold[f"{side}_normal"]), None if floor is None else int(floor)
    )


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
        return [_whole(record, AccountRow) for record in records]

    async def entry(self, transfer: TransferId) -> Entry | None:
        """Read one transfer."""
        record = await self._database.row(f"{_ENTRY} WHERE id = $1", transfer)
        return None if record is None else _whole(record, Entry)

    async def about(self, reference: str) -> list[Entry]:
        """List the transfers about one thing (a deal, a payout's task, an incoming transfer), oldest first."""
        records = await self._database.rows(f"{_ENTRY} WHERE reference = $1 ORDER BY seq", reference)
        return [_whole(record, Entry) for record in records]

    async def statement(
        self, account: Account | AccountCode, *, cursor: str | None = None, limit: int = 50
    ) -> Page[Entry]:
        """List an account's transfers, newest first."""
        limit = page_limit(limit)
        batch, before = (None, None) if cursor is None else _BY_BATCH.read(cursor)
        code = account.code if isinstance(account, Account) else account
        # Every batch that touched the account has one transfer of it at least, so `limit` steps back are enough.
        records = await self._database.rows(
            f"""
            WITH RECURSIVE walk (seq, step) AS (
                SELECT coalesce($2, touched_in), 0 FROM ledger_account WHERE code = $1
                UNION ALL
                SELECT batch.before[array_position(batch.accounts, $1)], step + 1
                FROM walk JOIN ledger_batch AS batch USING (seq) WHERE step < $4
            )
            SELECT entry.*, batch.seq AS batch
            FROM walk JOIN ledger_batch AS batch USING (seq)
            CROSS JOIN LATERAL (
                {_ENTRY} WHERE transfer.seq BETWEEN batch.first_transfer AND batch.last_transfer
                         AND $1 IN (transfer.debit, transfer.credit)
            ) AS entry
            WHERE $3::bigint IS NULL OR entry.seq < $3
            ORDER BY entry.seq DESC LIMIT $4
            """,
            code,
            batch,
            before,
            limit + 1,
        )
        return _BY_BATCH.cut(records, limit, Entry, _whole)


def _whole(record: asyncpg.Record, kind: type[Row]) -> Row:
    """Read a record whose NUMERIC columns are base units."""
    return msgspec.convert(
        {name: int(value) if isinstance(value, Decimal) else value for name, value in record.items()}, kind
    )


# ---------------------------------------------------------------------- wire


async def _post(connection: Connection, transfers: Sequence[Transfer], groups: Sequence[object]) -> list[Posted]:
    if not transfers:
        return []
    order, numbers = _in_groups(groups)
    codes, columns = _columns([transfers[position] for position in order])
    columns.append(_numbers([numbers[position] for position in order]))
    answer = await connection.fetchrow(_POST, *columns)
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


def _columns(transfers: Sequence[Transfer]) -> tuple[list[AccountCode], list[str]]:
    """Turn transfers into the arrays of `ledger_post`; each account is named once, and by its place after that."""
    accounts: dict[AccountCode, Account] = {}
    for transfer in transfers:
        accounts.setdefault(transfer.debit.code, transfer.debit)
        accounts.setdefault(transfer.credit.code, transfer.credit)
    places = {code: place for place, code in enumerate(accounts, start=1)}
    return list(accounts), [
        _texts(list(accounts)),
        _texts([account.asset for account in accounts.values()]),
        _texts([account.normal for account in accounts.values()]),
        _numbers([account.floor for account in accounts.values()]),
        _texts([transfer.id for transfer in transfers]),
        _texts([transfer.kind for transfer in transfers]),
        _numbers([places[transfer.debit.code] for transfer in transfers]),
        _numbers([places[transfer.credit.code] for transfer in transfers]),
        _numbers([transfer.units for transfer in transfers]),
        _texts([transfer.reference for transfer in transfers]),
        _numbers([transfer.at_ms for transfer in transfers]),
        _texts([transfer.phase for transfer in transfers]),
        _texts([transfer.resolves for transfer in transfers]),
        _numbers([transfer.expires_at_ms for transfer in transfers]),
    ]


def _texts(values: Sequence[str | None]) -> str:
    text = orjson.dumps(values).decode()
    if "\\" in text:
        return f"{{{','.join(map(_quoted, values))}}}"
    return f"{{{text[1:-1]}}}"  # without escapes, a list of texts is written alike in JSON and in SQL


def _quoted(value: str | None) -> str:
    if value is None:
        return "NULL"
    return '"' + value.replace("\\", "\\\\").replace('"', '\\"') + '"'


def _numbers(values: Sequence[int | None]) -> str:
    try:
        text = orjson.dumps(values).decode()
    except orjson.JSONEncodeError:  # base units of more than 64 bits
        text = json.dumps(values)
    return f"{{{text[1:-1]}}}"
