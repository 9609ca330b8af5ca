"""Reads what books and blocks say of an address at one block, and keeps what came of comparing them.

A break stops the address at once (safe mode) and tells people; only they let it go again. The alarm ends when
every asset of the address agrees.
"""

from collections.abc import Iterable, Mapping, Sequence
from decimal import Decimal

import msgspec

from engine.ids import HotWalletId, Instant
from engine.ledger import accounts, templates
from engine.money import Asset, AssetId, Network
from engine.payments.alarms import AlarmKind, Severity
from engine.payments.chain import BlockRef
from engine.payments.freeze import Scope
from engine.payments.payout import ENGINE
from engine.payments.reconcile import Difference, Finding, Position, Why, in_words
from storage import alarms, chain_cursor, freezes, ledger
from storage.database import Connection, Database
from storage.leases import guard

ATTEMPT_LIFE_MS = 24 * 3_600_000
"""Signed bytes are paid or dead long before: older ones are certain on both sides."""
KEPT_MS = 30 * 24 * 3_600_000


class Reading(msgspec.Struct, frozen=True):
    """What the chain says an address holds, all at one final block."""

    hot_wallet: HotWalletId
    block: BlockRef
    units: dict[AssetId, int]


class ReconciledRow(msgspec.Struct, frozen=True):
    """The newest comparison of one asset at one address."""

    hot_wallet_id: HotWalletId
    token: AssetId
    block_number: int
    ledger_units: int
    chain_units: int
    unexplained_units: int
    explained: list[Difference]
    at_ms: Instant


async def position_now(connection: Connection, wallet: HotWalletId, token: AssetId) -> Position | None:
    """Compare the books of now with what the chain said at the last comparison.

    In the ledger's turn: nothing is posted in between. None where nothing was compared, or so long ago that its
    block is forgotten.
    """
    record = await connection.fetchrow(
        """
        SELECT block.number, block.block_id AS id, block.parent_id, block.time_ms, chain_units
        FROM reconciliation
        JOIN hot_wallet ON hot_wallet.id = hot_wallet_id
        JOIN chain_block AS block ON block.network = hot_wallet.network AND block.number = block_number
        WHERE hot_wallet_id = $1 AND token = $2 ORDER BY block_number DESC LIMIT 1
        """,
        wallet,
        token,
    )
    if record is None:
        return None
    *block, chain_units = record
    reading = Reading(wallet, BlockRef(*block), {token: int(chain_units)})
    return (await _positions(connection, reading))[0]


def reconciler_lease(network: Network) -> str:
    """Name the lease that a network is reconciled under."""
    return f"reconciler:{network}"


class Reconciliation:
    """Books and chain of one network."""

    def __init__(self, database: Database, network: Network) -> None:
        self._database = database
        self._network = network

    async def positions(self, reading: Reading) -> list[Position] | None:
        """Lay the books beside a reading, at its block. None: that block is not taken yet, or is not ours."""

        async def read(connection: Connection) -> list[Position] | None:
            # One moment for all: a payout that is confirmed between two statements would be counted twice or not.
            await connection.execute("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ, READ ONLY")
            taken = await chain_cursor.known(connection, self._network, [reading.block.number])
            if taken.get(reading.block.number) != reading.block.id:
                return None
            return await _positions(connection, reading)

        return await self._database.repeat(read)

    async def keep(
        self, epoch: int, positions: Sequence[Position], findings: Mapping[AssetId, Finding], at_ms: Instant
    ) -> None:
        """Write what was found of one address, and act on it: safe mode and alarm for a break."""

        async def write(connection: Connection) -> None:
            await guard(connection, reconciler_lease(self._network), epoch)
            await _insert(connection, positions, at_ms)
            wallet = positions[0].hot_wallet
            broken = [each for each in positions if findings[each.asset] is Finding.BROKEN]
            if broken:
                detail = "; ".join(map(in_words, broken))
                await alarms.raise_alarm(
                    connection, AlarmKind.RECONCILIATION_BREAK, wallet, Severity.SEV1, detail, at_ms
                )
                await freezes.enter(connection, Scope.WALLET, wallet, detail, ENGINE, at_ms, is_safe_mode=True)
            elif all(findings[each.asset] is Finding.AGREES for each in positions):
                await alarms.clear_alarm(connection, AlarmKind.RECONCILIATION_BREAK, wallet, at_ms)

        await self._database.repeat(write)

    async def book_waiting_fees(self, epoch: int, coin: Asset, at_ms: Instant) -> int:
        """Book the fees that the books had no coin for, as far as they have some now; count them."""
        waiting = await self._database.value(
            "SELECT count(*) FROM chain_fee WHERE network = $1 AND NOT booked AND reversed_at_ms IS NULL",
            self._network,
        )
        if not waiting:
            return 0

        async def write(connection: Connection) -> int:
            await guard(connection, reconciler_lease(self._network), epoch)
            await ledger.take_turn(connection)
            records = await connection.fetch(
                "SELECT id, hot_wallet_id, fee_token FROM chain_fee "
                "WHERE network = $1 AND NOT booked AND reversed_at_ms IS NULL "
                "ORDER BY block_number, id LIMIT 1000",
                self._network,
            )
            fees = [
                transfer
                for fee, wallet, units in records
                for transfer in templates.network_fee(wallet, coin.id, int(units), fee, at_ms)
            ]
            posted = await ledger.post(connection, fees)
            booked = [fee.reference for fee, answer in zip(fees, posted, strict=True) if answer.ok]
            await connection.execute("UPDATE chain_fee SET booked = true WHERE id = ANY ($1)", booked)
            return len(booked)

        return await self._database.repeat(write)

    async def newest(self) -> list[ReconciledRow]:
        """List the newest comparison of every asset at every address."""
        records = await self._database.rows(
            """
            SELECT DISTINCT ON (hot_wallet_id, token) hot_wallet_id, token, block_number, ledger_units,
                   chain_units, unexplained_units, explained, at_ms
            FROM reconciliation JOIN hot_wallet ON hot_wallet.id = hot_wallet_id
            WHERE network = $1 ORDER BY hot_wallet_id, token, block_number DESC
            """,
            self._network,
        )
        return [
            msgspec.convert(
                {name: int(value) if isinstance(value, Decimal) else value for name, value in record.items()},
                ReconciledRow,
                strict=False,
            )
            for record in records
        ]


async def _positions(connection: Connection, reading: Reading) -> list[Position]:
    codes = {asset: accounts.wallet(reading.hot_wallet, asset) for asset in reading.units}
    balances = await ledger.balances(connection, list(codes.values()))
    found = await _differences(connection, reading)
    return [
        Position(
            reading.hot_wallet,
            asset,
            reading.block,
            balances[codes[asset].code].units,
            units,
            tuple(found.get(asset, ())),
        )
        for asset, units in reading.units.items()
    ]


async def _insert(connection: Connection, positions: Iterable[Position], at_ms: Instant) -> None:
    await connection.executemany(
        """
        INSERT INTO reconciliation (hot_wallet_id, token, block_number, ledger_units, chain_units, explained,
                                    unexplained_units, at_ms)
        VALUES ($1, $2, $3, $4, $5, $6, $7, $8) ON CONFLICT DO NOTHING
        """,
        [
            (
                each.hot_wallet,
                each.asset,
                each.block.number,
                each.ledger_units,
                each.chain_units,
                msgspec.to_builtins(each.differences),
                each.unexplained_units,
                at_ms,
            )
            for each in positions
        ],
    )
    await connection.execute(
        "DELETE FROM reconciliation WHERE hot_wallet_id = $1 AND at_ms < $2 AND unexplained_units = 0",
        next(iter(positions)).hot_wallet,
        at_ms - KEPT_MS,
    )


async def _differences(connection: Connection, reading: Reading) -> dict[AssetId, list[Difference]]:
    """List every reason between the books of now and the chain at the reading's block."""
    records = await connection.fetch(
        _REASONS,
        reading.hot_wallet,
        reading.block.number,
        reading.block.time_ms - ATTEMPT_LIFE_MS,
    )
    found: dict[AssetId, list[Difference]] = {}
    for token, why, reference, units in records:
        found.setdefault(token, []).append(Difference(Why(why), reference, int(units)))
    return found


_REASONS = """
SELECT token, CASE WHEN status = 'reversed' THEN 'vanished' ELSE 'came_since' END AS why, id AS reference,
       -amount_token AS units
FROM incoming_tx
WHERE hot_wallet_id = $1 AND token IS NOT NULL
  AND (block_number > $2 AND status <> 'reversed' OR undone = 'waits')

UNION ALL
SELECT gone.token,
       CASE WHEN attempt.status = 'dead' THEN 'dead_and_paid'
            WHEN attempt.task_id IS NULL AND forgotten.tx_id IS NULL THEN 'not_ours'
            ELSE 'in_flight' END,
       gone.tx_hash, -gone.amount_token
FROM outgoing_tx AS gone
LEFT JOIN payout_attempt AS attempt ON attempt.network = gone.network AND attempt.tx_id = gone.tx_hash
LEFT JOIN payout_forgotten AS forgotten ON forgotten.tx_id = gone.tx_hash
WHERE gone.hot_wallet_id = $1 AND gone.block_number <= $2 AND attempt.status IS DISTINCT FROM 'confirmed'

UNION ALL
SELECT lost.token, 'loss_booked', lost.tx_hash, lost.amount_token
FROM book_correction AS lost
WHERE lost.hot_wallet_id = $1 AND lost.tx_hash <> '' AND lost.confirmed_at_ms IS NOT NULL
  AND EXISTS (SELECT FROM outgoing_tx AS gone
              WHERE gone.hot_wallet_id = $1 AND (gone.token, gone.tx_hash) = (lost.token, lost.tx_hash))

UNION ALL
SELECT payout.token,
       CASE WHEN (attempt.evidence->'block'->>'number')::bigint > $2 THEN 'paid_since' ELSE 'not_on_chain' END,
       attempt.tx_id, task.amount_token
FROM payout_attempt AS attempt
JOIN payout_task AS task ON task.id = attempt.task_id
JOIN payout ON payout.id = task.payout_id
WHERE attempt.hot_wallet_id = $1 AND attempt.signed_at_ms >= $3 AND attempt.status = 'confirmed'
  AND NOT EXISTS (SELECT FROM outgoing_tx AS gone WHERE gone.network = attempt.network
                  AND gone.tx_hash = attempt.tx_id AND gone.block_number <= $2)

UNION ALL
SELECT coin.id, CASE WHEN booked THEN 'fee_since' ELSE 'fee_unbooked' END, fee.tx_hash,
       CASE WHEN booked THEN fee_token ELSE -fee_token END
FROM chain_fee AS fee JOIN assets AS coin ON coin.network = fee.network AND coin.contract = ''
WHERE fee.hot_wallet_id = $1 AND fee.reversed_at_ms IS NULL
  AND (booked AND block_number > $2 OR NOT booked AND block_number <= $2)

UNION ALL
SELECT coin.id, 'fee_since', attempt.tx_id, fee.units
FROM payout_attempt AS attempt
JOIN assets AS coin ON coin.network = attempt.network AND coin.contract = ''
JOIN ledger_transfer AS fee ON fee.id = 'network_fee:' || attempt.tx_id
WHERE attempt.hot_wallet_id = $1 AND attempt.signed_at_ms >= $3
  AND NOT EXISTS (SELECT FROM chain_fee AS seen WHERE seen.id = attempt.tx_id)

ORDER BY 1, 2, 3
"""
