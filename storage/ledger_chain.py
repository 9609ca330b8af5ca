"""Whether the ledger's record still is what was posted: its chain of hashes, computed again from the rows.

`ledger_post` adds one step per batch, over the accounts that the batch opened and every column of its transfers.
Here the same is done in Python, so that a changed function in the database hides nothing of what it did. Somebody
with full access could write the whole chain anew: keep the head outside, and hand it to `verify`.
"""

import hashlib
import json
from collections.abc import Sequence
from itertools import groupby
from typing import Any

import asyncpg

from storage.audit import AuditHead, AuditReport
from storage.database import Database

_PAGE_BATCHES = 200
_PAGE_TRANSFERS = 20_000


class LedgerChain:
    """The chain under the ledger's batches. Heads and reports are those of the audit chain, counted in batches."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def head(self) -> AuditHead:
        """Give the end of the chain, to be anchored outside."""
        record = await self._database.row("SELECT batch, hash FROM ledger_head")
        assert record is not None
        return AuditHead(record["batch"], record["hash"])

    async def verify(self, anchor: AuditHead | None = None) -> AuditReport:
        """Recompute the whole chain; with `anchor`, also check that it still contains that head.

        What is posted meanwhile is not looked at.
        """
        head = await self._database.row(
            "SELECT batch, transfer, hash, (SELECT count(*) FROM ledger_account) AS accounts FROM ledger_head"
        )
        assert head is not None
        at, transfers, accounts = AuditHead(0, b""), 0, 0
        while at.seq < head["batch"]:
            batches = await self._batches(at.seq, head["batch"])
            if not batches:
                return AuditReport(at.seq, at, at.seq + 1, "batches are missing at the end")
            opened, posted = await self._content(batches)
            for batch in batches:
                mine = posted.get(batch["seq"], [])
                reason = _fault(at, transfers, batch, opened.get(batch["seq"], []), mine)
                if reason:
                    return AuditReport(at.seq, at, at.seq + 1, reason)
                at, transfers = AuditHead(batch["seq"], batch["hash"]), batch["last_transfer"]
                accounts += len(opened.get(batch["seq"], []))
                if anchor is not None and at.seq == anchor.seq and at.hash != anchor.hash:
                    return AuditReport(at.seq, at, at.seq, "differs from the anchor: the chain was rewritten")
        if (at.hash, transfers) != (head["hash"], head["transfer"]):
            return AuditReport(at.seq, at, at.seq, "the stored head does not match the last batch")
        if accounts != head["accounts"]:
            return AuditReport(at.seq, at, at.seq, "there are accounts that no batch has opened")
        if await self._outside(head["transfer"]):
            return AuditReport(at.seq, at, at.seq, "there are transfers that no batch has posted")
        if anchor is not None and anchor.seq > at.seq:
            return AuditReport(at.seq, at, at.seq + 1, "the chain is shorter than the anchor")
        return AuditReport(at.seq, at)

    async def _batches(self, after: int, until: int) -> list[asyncpg.Record]:
        found = await self._database.rows(
            "SELECT seq, first_transfer, last_transfer, accounts, before, hash FROM ledger_batch "
            "WHERE seq > $1 AND seq <= $2 ORDER BY seq LIMIT $3",
            after,
            until,
            _PAGE_BATCHES,
        )
        count = 0
        for place, batch in enumerate(found):
            count += batch["last_transfer"] - batch["first_transfer"] + 1
            if place and count > _PAGE_TRANSFERS:
                return found[:place]
        return found

    async def _content(
        self, batches: Sequence[asyncpg.Record]
    ) -> tuple[dict[int, list[asyncpg.Record]], dict[int, list[asyncpg.Record]]]:
        """Read what belongs to the batches: the accounts that they opened and the transfers that they posted."""
        opened = await self._database.rows(
            "SELECT code, asset, normal, floor::text, opened_in FROM ledger_account "
            "WHERE opened_in BETWEEN $1 AND $2 ORDER BY opened_in, code",
            batches[0]["seq"],
            batches[-1]["seq"],
        )
        posted = await self._database.rows(
            """
            SELECT batch.seq AS batch, transfer.seq, id, kind, debit, credit, units::text, reference, at_ms, phase,
                   resolves, expires_at_ms
            FROM ledger_batch AS batch
            JOIN ledger_transfer AS transfer ON transfer.seq BETWEEN batch.first_transfer AND batch.last_transfer
            WHERE batch.seq BETWEEN $1 AND $2 ORDER BY batch.seq, transfer.seq
            """,
            batches[0]["seq"],
            batches[-1]["seq"],
        )
        return (
            {batch: list(rows) for batch, rows in groupby(opened, lambda row: row["opened_in"])},
            {batch: list(rows) for batch, rows in groupby(posted, lambda row: row["batch"])},
        )

    async def _outside(self, last: int) -> bool:
        """Look for transfers before the first number, or beyond the last and older than the newest batch."""
        found = await self._database.value(
            "SELECT EXISTS (SELECT FROM ledger_transfer WHERE seq < 1) OR EXISTS (SELECT FROM ledger_transfer "
            "WHERE seq > $1 AND seq > (SELECT transfer FROM ledger_head))",
            last,
        )
        return bool(found)


def _fault(
    before: AuditHead,
    transfers: int,
    batch: asyncpg.Record,
    opened: Sequence[asyncpg.Record],
    posted: Sequence[asyncpg.Record],
) -> str:
    if batch["seq"] != before.seq + 1:
        return "a batch is missing"
    if batch["first_transfer"] != transfers + 1:
        return "it does not follow the transfers before it"
    if [row["seq"] for row in posted] != list(range(transfers + 1, batch["last_transfer"] + 1)):
        return "a transfer is missing"
    places = {code: place for place, code in enumerate(batch["accounts"], start=1)}
    if not all(row["debit"] in places and row["credit"] in places for row in posted):
        return "a transfer was changed"
    text = _text(batch, places, opened, posted)
    is_same = batch["hash"] == hashlib.sha256(before.hash + text.encode()).digest()
    return "" if is_same else "a transfer or an account was changed, or the batch itself"


def _text(
    batch: asyncpg.Record,
    places: dict[str, int],
    opened: Sequence[asyncpg.Record],
    posted: Sequence[asyncpg.Record],
) -> str:
    """Write a batch down as `ledger_post` does before it takes the hash."""
    lines = [str(batch["seq"]), str(batch["first_transfer"]), _opened(opened)]
    if posted:
        lines += [
            _json(batch["accounts"]),
            _json(batch["before"]),
            _json([row["id"] for row in posted]),
            _json([row["kind"] for row in posted]),
            _json([places[row["debit"]] for row in posted]),
            _json([places[row["credit"]] for row in posted]),
            f"[{','.join(row['units'] for row in posted)}]",
            *(
                _json([row[name] for row in posted])
                for name in ("reference", "at_ms", "phase", "resolves", "expires_at_ms")
            ),
        ]
    return "\n".join(lines)


def _opened(accounts: Sequence[asyncpg.Record]) -> str:
    rows = [
        [row["code"], row["asset"], row["normal"], None if row["floor"] is None else int(row["floor"])]
        for row in accounts
    ]
    return json.dumps(rows, ensure_ascii=False)


def _json(values: Sequence[Any]) -> str:
    return json.dumps(values, ensure_ascii=False, separators=(",", ":"))
