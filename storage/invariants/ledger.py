"""I: the books. Balances and holds are computed again from the transfers; nothing of them is believed."""

from storage.invariants.model import Invariant

LEDGER = (
    Invariant(
        "I1 balance is its postings",
        "an account's balance and what is held of it are the sums of its transfers",
        """
        WITH side AS (
            SELECT debit AS code, id, units, phase, true AS is_debit FROM ledger_transfer
            UNION ALL SELECT credit, id, units, phase, false FROM ledger_transfer
        ), summed AS (
            SELECT code, account.normal, account.balance, account.held,
                   coalesce(sum(CASE WHEN is_debit = (account.normal = 'debit') THEN units ELSE -units END)
                       FILTER (WHERE phase IN ('posted', 'post')), 0) AS posted,
                   coalesce(sum(units) FILTER (
                       WHERE phase = 'pending' AND is_debit <> (account.normal = 'debit')
                       AND NOT EXISTS (SELECT FROM ledger_transfer AS ending WHERE ending.resolves = side.id)), 0)
                       AS pending
            FROM ledger_account AS account LEFT JOIN side USING (code)
            GROUP BY code, account.normal, account.balance, account.held
        )
        SELECT code, balance, posted, held, pending FROM summed WHERE balance <> posted OR held <> pending
        """,
    ),
    Invariant(
        "I1 debits equal credits",
        "of each asset, what is on the debit side is on the credit side",
        """
        SELECT asset, sum(CASE normal WHEN 'debit' THEN balance ELSE -balance END) AS difference
        FROM ledger_account GROUP BY asset
        HAVING sum(CASE normal WHEN 'debit' THEN balance ELSE -balance END) <> 0
        """,
    ),
    Invariant(
        "I1 a transfer moves one asset",
        "both accounts of a transfer exist and are of one asset",
        """
        SELECT transfer.id, debit.asset AS debit, credit.asset AS credit
        FROM ledger_transfer AS transfer
        LEFT JOIN ledger_account AS debit ON debit.code = transfer.debit
        LEFT JOIN ledger_account AS credit ON credit.code = transfer.credit
        WHERE debit.asset IS DISTINCT FROM credit.asset OR debit.asset IS NULL
        """,
    ),
    Invariant(
        "I2 floors hold",
        "no account is below its floor, what is held counted as gone; whose money must be there has a floor of 0",
        """
        SELECT code, floor, balance, held FROM ledger_account
        WHERE balance - held < floor
           OR held < 0
           OR (split_part(code, ':', 1) IN ('wallet', 'funds', 'deposit', 'reserve', 'clearing', 'suspense')
               AND floor IS DISTINCT FROM 0)
           OR (split_part(code, ':', 1) IN ('wallet', 'network_fees', 'claims', 'losses')) <> (normal = 'debit')
        """,
    ),
    Invariant(
        "I2 a hold ends once",
        "what resolves a hold is the only one, of a hold of the same accounts, of no more, and in its time",
        """
        SELECT ending.id, ending.phase, ending.resolves
        FROM ledger_transfer AS ending
        LEFT JOIN ledger_transfer AS hold ON hold.id = ending.resolves
        WHERE ending.resolves IS NOT NULL
          AND (hold.phase IS DISTINCT FROM 'pending'
               OR (hold.debit, hold.credit) <> (ending.debit, ending.credit)
               OR ending.units > hold.units
               OR ending.phase <> 'post' AND ending.units <> hold.units
               OR ending.seq < hold.seq
               OR (ending.phase = 'expire') <> coalesce(hold.expires_at_ms <= ending.at_ms, false))
        UNION ALL
        SELECT min(id), 'twice', resolves FROM ledger_transfer WHERE resolves IS NOT NULL
        GROUP BY resolves HAVING count(*) > 1
        """,
    ),
    Invariant(
        "I2 open holds are listed",
        "the list of open holds is the pending transfers that nothing resolves",
        """
        WITH pending AS (
            SELECT id, debit, credit, units, expires_at_ms FROM ledger_transfer AS hold
            WHERE phase = 'pending'
              AND NOT EXISTS (SELECT FROM ledger_transfer AS ending WHERE ending.resolves = hold.id)
        )
        SELECT 'not listed' AS what, missing.* FROM (TABLE pending EXCEPT TABLE ledger_hold) AS missing
        UNION ALL
        SELECT 'not open', ended.* FROM (TABLE ledger_hold EXCEPT TABLE pending) AS ended
        """,
    ),
    Invariant(
        "I4 postings are for ever",
        "no number of a transfer or a batch is missing, and what refuses changes is on guard",
        """
        SELECT 'transfers' AS what, count(*) AS rows, max(seq) AS newest FROM ledger_transfer
        HAVING (count(*), coalesce(max(seq), 0)) <> (SELECT transfer, transfer FROM ledger_head)
        UNION ALL
        SELECT 'batches', count(*), max(seq) FROM ledger_batch
        HAVING (count(*), coalesce(max(seq), 0)) <> (SELECT batch, batch FROM ledger_head)
        UNION ALL
        SELECT guard, 0, 0
        FROM unnest(ARRAY['ledger_transfer_is_append_only', 'ledger_batch_is_append_only', 'ledger_account_stays',
                          'ledger_head_stays', 'audit_is_append_only', 'audit_head_stays']) AS guard
        WHERE NOT EXISTS (SELECT FROM pg_trigger WHERE tgname = guard AND tgenabled IN ('O', 'A'))
        """,
    ),
    Invariant(
        "I5 corrections are of two people",
        "what two operators confirmed is booked to the unit, and no loss is booked that they did not confirm",
        """
        SELECT asked.id, amount_token, posted.units, confirmed_by FROM book_correction AS asked
        LEFT JOIN ledger_transfer AS posted ON posted.id
            = CASE asked.kind WHEN 'opening_balance' THEN 'owner_put_in:' ELSE 'proved_loss:' END || asked.id
        WHERE (confirmed_by IS NULL) <> (posted.id IS NULL) OR posted.units <> amount_token
           OR confirmed_by = proposed_by
        UNION ALL
        SELECT posted.id, 0, posted.units, NULL FROM ledger_transfer AS posted
        WHERE posted.kind = 'proved_loss' AND NOT EXISTS (
            SELECT FROM book_correction WHERE 'proved_loss:' || id = posted.id)
        """,
    ),
    Invariant(
        "I4 accounts find their batches",
        "walking back from an account's newest batch meets every batch that touched it",
        """
        WITH touched AS (
            SELECT code, earlier, seq, lag(seq, 1, 0::bigint) OVER (PARTITION BY code ORDER BY seq) AS expected
            FROM ledger_batch CROSS JOIN LATERAL unnest(accounts, before) AS account (code, earlier)
        )
        SELECT code, seq, earlier, expected FROM touched WHERE earlier <> expected
        UNION ALL
        SELECT account.code, account.touched_in, 0, coalesce(newest.seq, 0)
        FROM ledger_account AS account
        LEFT JOIN (SELECT code, max(seq) AS seq FROM touched GROUP BY code) AS newest USING (code)
        WHERE account.touched_in <> coalesce(newest.seq, 0)
        """,
    ),
)
