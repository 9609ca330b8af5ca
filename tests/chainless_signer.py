"""A signer without a chain: what is written in a payout's life, by the storage functions of the real one."""

import hashlib

from engine.ids import HotWalletId, Instant, PayoutId, TxId
from engine.payments.chain import BlockRef, Included, PayoutIntent, Receipt, SignedPayout
from engine.payments.payout import Confirm
from storage import payout_attempts, payout_endings, payout_gates, payout_memory
from storage.database import Database
from storage.leases import Leases
from storage.payout_attempts import Live, Prepared
from storage.payout_endings import Ending
from storage.payout_gates import Candidate
from storage.payout_memory import SignerRights, signer_lease

BATCH = 1_000
LEASE_MS = 60_000
BLOCK = BlockRef(1, "b1", "b0", Instant(1))


async def pay_out(database: Database, wallet: HotWalletId, payout: PayoutId, now: Instant) -> None:
    """Let all that is left of a payout be signed, handed over and found in a block. Every gate must be open."""
    leases = Leases(database)
    lease = await leases.acquire(signer_lease(wallet), "tests", LEASE_MS)
    assert lease is not None
    rights = SignerRights(wallet, lease.name, lease.epoch)
    async with database.transaction() as connection:
        await payout_memory.note_seen(connection, rights, await payout_memory.identity(connection), now)
        due = await payout_gates.due(connection, wallet, now, BATCH)
        first_ms = Instant(await payout_attempts.newest_timestamp(connection, wallet) + 1)
        prepared = [
            _signed(one, wallet, Instant(first_ms + number))
            for number, one in enumerate(each for each in due if each.payout.id == payout)
        ]
        started = await payout_attempts.start(connection, rights, prepared, now)
        assert not started.held_back
        out = [one for one in await payout_attempts.live(connection, wallet) if one.task.id in started.written]
        await payout_attempts.handed_over(connection, rights, out, now)
        out = [one for one in await payout_attempts.live(connection, wallet) if one.task.id in started.written]
        await payout_endings.end(connection, rights, [_included(one) for one in out], 1, now)
    await leases.release(lease)


def _signed(one: Candidate, wallet: HotWalletId, timestamp_ms: Instant) -> Prepared:
    fields = one.payout
    intent = PayoutIntent(
        one.task.id,
        one.next_attempt,
        fields.network,
        fields.asset,
        one.contract,
        wallet,
        one.sender,
        fields.destination,
        one.task.units,
        fee_limit=1,
        expires_at_ms=Instant(timestamp_ms + 1),
        timestamp_ms=timestamp_ms,
        reference=BLOCK,
    )
    tx = TxId(hashlib.sha256(f"{one.task.id} {one.next_attempt}".encode()).hexdigest())
    return Prepared(intent, SignedPayout(tx, b"signed", intent.expires_at_ms, BLOCK.number))


def _included(one: Live) -> Ending:
    receipt = Receipt(one.attempt.signed.tx_id, True, "SUCCESS", 0)
    return Ending(one, Confirm(Included(BLOCK, receipt, one.task.units)))
