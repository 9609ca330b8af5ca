"""What the database may have forgotten: the broadcast journal is compared with it, and gives back what it lost.

A database that was restored to an earlier time is another timeline. Until a wallet's signer has compared its
journal with it, nobody may sign for the wallet or give a payout up. A signed attempt that only the journal knows
is kept as evidence and becomes an attempt again as soon as its task is there: at once, or when the chain is read
anew.
"""

from collections.abc import Sequence

import msgspec

from engine.ids import HotWalletId, Instant, PayoutId, PayoutTaskId, TxId
from engine.payments.chain import PayoutIntent, SignedPayout
from engine.payments.payout import ENGINE, WaitsFor
from storage import audit
from storage.database import Connection
from storage.leases import guard


class DatabaseRestored(Exception):
    """The database is not the one that the signer compared its journal with: compare again, before all else."""


class DatabaseIdentity(msgspec.Struct, frozen=True):
    """Which database this is. A point-in-time restore keeps the system and begins another timeline."""

    system: str
    timeline: int


class SignerRights(msgspec.Struct, frozen=True):
    """In whose name a signer writes: the lease and its epoch are checked in each transaction."""

    hot_wallet: HotWalletId
    lease: str
    epoch: int


def signer_lease(wallet: HotWalletId) -> str:
    """Name the lease under which payouts of a hot wallet are signed."""
    return f"signer:{wallet}"


async def identity(connection: Connection) -> DatabaseIdentity:
    """Tell which database this is."""
    # The timeline is the first eight hex digits of the file that is written now; pg_control may still tell of the
    # one before, until the first checkpoint after a restore.
    record = await connection.fetchrow(
        "SELECT system_identifier::text AS system, left(pg_walfile_name(pg_current_wal_lsn()), 8) AS timeline "
        "FROM pg_control_system()"
    )
    assert record is not None
    return DatabaseIdentity(record["system"], int(record["timeline"], 16))


async def require_seen(connection: Connection, hot_wallet: HotWalletId) -> None:
    """Raise `DatabaseRestored` unless the wallet's signer has compared its journal with just this database."""
    record = await connection.fetchrow(
        "SELECT system, timeline FROM payout_database_seen WHERE hot_wallet_id = $1", hot_wallet
    )
    if record is None or DatabaseIdentity(**dict(record)) != await identity(connection):
        raise DatabaseRestored(f"the signer of {hot_wallet} has not compared its journal with this database yet")


async def refuse_older(connection: Connection, hot_wallets: Sequence[HotWalletId]) -> None:
    """Raise `DatabaseRestored` where a wallet's signer has compared its journal with another database than this.

    Until it has done so with this one, nobody knows which payouts are forgotten and how they were cut.
    """
    here = await identity(connection)
    older = await connection.fetchval(
        "SELECT min(hot_wallet_id) FROM payout_database_seen "
        "WHERE hot_wallet_id = ANY ($1) AND (system, timeline) <> ($2, $3)",
        list(hot_wallets),
        here.system,
        here.timeline,
    )
    if older is not None:
        raise DatabaseRestored(f"the signer of {older} has not compared its journal with this database yet")


async def signed_parts(connection: Connection, payouts: Sequence[PayoutId]) -> dict[PayoutId, dict[int, int]]:
    """Give the parts of payouts that were signed and are forgotten: units by the part's number."""
    records = await connection.fetch(
        """
        SELECT DISTINCT payout, (regexp_match(task_id, '[0-9]+$'))[1]::int AS part,
               (intent ->> 'units')::numeric AS units
        FROM payout_forgotten JOIN unnest($1::text[]) AS asked (payout) ON starts_with(task_id, payout || '.')
        """,
        list(payouts),
    )
    found: dict[PayoutId, dict[int, int]] = {}
    for record in records:
        found.setdefault(record["payout"], {})[record["part"]] = int(record["units"])
    return found


async def was_compared(connection: Connection, hot_wallet: HotWalletId) -> bool:
    """Tell whether a journal of this wallet was ever compared with this database, or with what it is a copy of."""
    found: bool = await connection.fetchval(
        "SELECT EXISTS (SELECT FROM payout_database_seen WHERE hot_wallet_id = $1)", hot_wallet
    )
    return found


async def note_seen(connection: Connection, rights: SignerRights, seen: DatabaseIdentity, now: Instant) -> None:
    """Note that the journal was compared with this database, and what was forgotten is back."""
    await guard(connection, rights.lease, rights.epoch)
    await connection.execute(
        """
        INSERT INTO payout_database_seen (hot_wallet_id, system, timeline, seen_at_ms) VALUES ($1, $2, $3, $4)
        ON CONFLICT (hot_wallet_id) DO UPDATE SET system = $2, timeline = $3, seen_at_ms = $4
        """,
        rights.hot_wallet,
        seen.system,
        seen.timeline,
        now,
    )


async def unknown(connection: Connection, tx_ids: Sequence[TxId]) -> set[TxId]:
    """Give those transactions that the database has no trace of."""
    records = await connection.fetch(
        """
        SELECT tx FROM unnest($1::text[]) AS told (tx)
        WHERE NOT EXISTS (SELECT FROM payout_attempt WHERE tx_id = tx)
          AND NOT EXISTS (SELECT FROM payout_forgotten WHERE tx_id = tx)
        """,
        list(tx_ids),
    )
    return {record["tx"] for record in records}


async def keep(
    connection: Connection, rights: SignerRights, lines: Sequence[tuple[PayoutIntent, SignedPayout]], now: Instant
) -> None:
    """Keep what only the journal knows, as evidence. Said twice is safe."""
    await guard(connection, rights.lease, rights.epoch)
    await connection.execute(
        """
        INSERT INTO payout_forgotten (tx_id, hot_wallet_id, task_id, n, intent, signed, found_at_ms)
        SELECT tx, $1, task, n, intent, signed, $2
        FROM unnest($3::text[], $4::text[], $5::int[], $6::jsonb[], $7::jsonb[])
             AS line (tx, task, n, intent, signed)
        ON CONFLICT DO NOTHING
        """,
        rights.hot_wallet,
        now,
        [signed.tx_id for _, signed in lines],
        [intent.task for intent, _ in lines],
        [intent.attempt for intent, _ in lines],
        [intent for intent, _ in lines],
        [signed for _, signed in lines],
    )


async def is_any_unbound(connection: Connection, hot_wallet: HotWalletId) -> bool:
    """Tell whether evidence of a wallet is kept that no task has got back yet."""
    found: bool = await connection.fetchval(
        "SELECT EXISTS (SELECT FROM payout_forgotten WHERE hot_wallet_id = $1 AND bound_at_ms IS NULL)", hot_wallet
    )
    return found


async def bind(connection: Connection, rights: SignerRights, now: Instant) -> list[PayoutTaskId]:
    """Make kept evidence attempts again where the task exists, each when those before are over; give the tasks.

    Their bytes may have left: they are looked up like all live attempts, and nothing is signed for the task before
    that.
    """
    await guard(connection, rights.lease, rights.epoch)
    records = await connection.fetch(
        """
        WITH next AS (
            SELECT DISTINCT ON (forgotten.task_id) forgotten.*
            FROM payout_forgotten AS forgotten JOIN payout_task AS task ON task.id = forgotten.task_id
            WHERE forgotten.hot_wallet_id = $1 AND forgotten.bound_at_ms IS NULL
              AND task.hot_wallet_id = $1 AND task.state IN ('queued', 'signing', 'broadcast')
              -- The cap may have been another one then, and the payout cut into other parts: bytes of another
              -- amount say nothing about this task. They stay unbound, and safe mode stays until a person looks.
              AND task.amount_token = (forgotten.intent ->> 'units')::numeric
              AND NOT EXISTS (SELECT FROM payout_attempt AS other WHERE other.task_id = task.id
                              AND (other.status IN ('live', 'confirmed') OR other.n = forgotten.n))
            ORDER BY forgotten.task_id, forgotten.n
        ), attempt AS (
            INSERT INTO payout_attempt (task_id, n, network, hot_wallet_id, epoch, tx_id, intent, signed,
                                        timestamp_ms, expires_at_ms, reference_number, status, signed_at_ms,
                                        handed_over_at_ms, moment)
            SELECT task_id, n, intent ->> 'network', $1, $2, tx_id, intent, decode(signed ->> 'content', 'base64'),
                   (intent ->> 'timestamp_ms')::bigint, (signed ->> 'expires_at_ms')::bigint,
                   (signed ->> 'reference_number')::bigint, 'live', (intent ->> 'timestamp_ms')::bigint,
                   -- Our clock may have been set back since: no bytes leave before they are signed.
                   greatest($3, (intent ->> 'timestamp_ms')::bigint), NULL
            FROM next
        ), note AS (
            UPDATE payout_forgotten SET bound_at_ms = $3 FROM next WHERE payout_forgotten.tx_id = next.tx_id
        )
        UPDATE payout_task SET state = 'broadcast', waits_for = $4, attempts = greatest(attempts, next.n)
        FROM next WHERE payout_task.id = next.task_id RETURNING payout_task.id, next.tx_id, next.n
        """,
        rights.hot_wallet,
        rights.epoch,
        now,
        WaitsFor.CHAIN,
    )
    if records:
        await audit.append(
            connection,
            [
                audit.NewEntry(
                    ENGINE,
                    "payout.remembered",
                    f"payout_task:{record['id']}",
                    None,
                    {"tx_id": record["tx_id"], "attempt": record["n"]},
                )
                for record in records
            ],
        )
    return [record["id"] for record in records]
