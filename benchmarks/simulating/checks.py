"""What must be true of the database whenever nothing is under way, as questions that find nothing.

The ledger's and the payouts' own invariants are asked as they are asked in production. The others compare what was
done with what was told about it: a change without its event, or without its entry in the audit, is half a change.
"""

from storage.audit import Audit
from storage.database import Database

_TOLD = {
    "every confirmed transfer was told": """
        SELECT id FROM payout_task WHERE state = 'confirmed' AND NOT EXISTS (
            SELECT FROM outbox WHERE topic = 'payout.attempt_ended' AND key = payout_task.id
            AND payload ->> 'state' = 'confirmed')""",
    "every signature was told": """
        SELECT tx_id FROM payout_attempt WHERE NOT EXISTS (
            SELECT FROM outbox WHERE topic = 'payout.signing' AND payload ->> 'tx_id' = payout_attempt.tx_id)
        AND NOT EXISTS (SELECT FROM payout_forgotten AS forgotten WHERE forgotten.tx_id = payout_attempt.tx_id)""",
    "every transfer came from a payout and all of it is there": """
        SELECT payout.id FROM payout JOIN payout_task AS task ON task.payout_id = payout.id
        GROUP BY payout.id HAVING sum(task.amount_token) <> payout.amount_token""",
    "a task has one live or confirmed attempt at most": """
        SELECT task_id FROM payout_attempt WHERE status <> 'dead' GROUP BY task_id HAVING count(*) > 1""",
    "a confirmed task has its confirmed attempt": """
        SELECT id FROM payout_task WHERE state = 'confirmed' AND NOT EXISTS (
            SELECT FROM payout_attempt WHERE task_id = payout_task.id AND status = 'confirmed'
            AND tx_id = payout_task.tx_hash)""",
    "every incoming transfer has one verdict": """
        SELECT tx_hash FROM incoming_tx WHERE status <> 'reversed'
        GROUP BY network, tx_hash, log_index HAVING count(*) > 1""",
}


async def broken(database: Database) -> list[str]:
    """Name what does not hold."""
    found = []
    for sentence, sql in _TOLD.items():
        rows = await database.rows(sql)
        found += [f"not so: {sentence}: {', '.join(str(row[0]) for row in rows[:3])}"] if rows else []
    report = await Audit(database).verify()
    if not report.is_intact:
        found.append(f"the audit is broken at {report.broken_at}: {report.reason}")
    return found
