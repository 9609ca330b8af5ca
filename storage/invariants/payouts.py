"""P: payouts. What SQL can see of them; what the chain says is the reconciliation's business."""

from storage.invariants.model import Invariant

PAYOUTS = (
    Invariant(
        "P1 paid once",
        "of all attempts of a transfer at most one is paid, by its own word and by the chain's",
        """
        SELECT task_id, count(*) AS paid FROM payout_attempt AS attempt
        WHERE status = 'confirmed'
           OR EXISTS (SELECT FROM outgoing_tx AS seen
                      WHERE (seen.network, seen.tx_hash) = (attempt.network, attempt.tx_id))
        GROUP BY task_id HAVING count(*) > 1
        """,
    ),
    Invariant(
        "P2 one live attempt",
        "a transfer has at most one attempt that may still pay, and none once it is paid",
        """
        SELECT task_id, count(*) AS attempts FROM payout_attempt WHERE status IN ('live', 'confirmed')
        GROUP BY task_id HAVING count(*) > 1
        """,
    ),
    Invariant(
        "P3 nothing leaves before it is written",
        "an attempt was handed to nodes after it was signed and written, and its bytes are here",
        """
        SELECT task_id, n, signed_at_ms, handed_over_at_ms FROM payout_attempt
        WHERE handed_over_at_ms < signed_at_ms OR length(signed) = 0
        """,
    ),
    Invariant(
        "P4 paid out of what came in",
        "what is to be paid for a deal or a settlement is at most what was credited for it",
        """
        WITH asked AS (
            SELECT 'clearing:' || purpose_id || ':' || token AS code, sum(task.amount_token) AS units,
                   sum(paid.units) AS paid
            FROM payout JOIN payout_task AS task ON task.payout_id = payout.id
            LEFT JOIN ledger_transfer AS paid
                ON paid.id = 'payout_paid:' || task.id AND task.state = 'confirmed'
            WHERE purpose IN ('pass_through', 'eod') AND task.state <> 'failed' GROUP BY 1
        )
        SELECT asked.code, asked.units AS asked, coalesce(account.balance, 0) + coalesce(asked.paid, 0) AS credited
        FROM asked LEFT JOIN ledger_account AS account ON account.code = asked.code
        WHERE asked.units > coalesce(account.balance, 0) + coalesce(asked.paid, 0)
        """,
    ),
    Invariant(
        "P5 paid to the allow-list",
        "what was signed says what the payout says, to an address of the payee that was active then",
        """
        SELECT attempt.task_id, attempt.n, wallet.id AS wallet
        FROM payout_attempt AS attempt
        JOIN payout_task AS task ON task.id = attempt.task_id
        JOIN payout ON payout.id = task.payout_id
        JOIN wallet ON wallet.id = payout.wallet_id
        WHERE attempt.status IN ('live', 'confirmed')
          -- What the journal gave back after a restore was weighed in its time; the rows of that time are lost.
          AND attempt.moment IS NOT NULL
          AND ((attempt.intent ->> 'recipient', attempt.intent ->> 'asset', (attempt.intent ->> 'units')::numeric)
               IS DISTINCT FROM (payout.to_address, payout.token, task.amount_token)
               OR (wallet.company_id, wallet.network, wallet.token, wallet.address)
                  <> (payout.payee_id, payout.network, payout.token, payout.to_address)
               OR coalesce(wallet.active_from_ms > attempt.signed_at_ms, true)
               OR wallet.revoked_moment < attempt.moment)
        """,
    ),
    Invariant(
        "P6 approved by enough",
        "what was signed had been approved, just so, by as many as it needs, and none of them asked for it",
        """
        SELECT attempt.task_id, attempt.n, payout.approvals AS needed, count(approval.member_id) AS given
        FROM payout_attempt AS attempt
        JOIN payout_task AS task ON task.id = attempt.task_id
        JOIN payout ON payout.id = task.payout_id
        LEFT JOIN payout_approval AS approval
            ON approval.payout_id = payout.id AND approval.fields_hash = payout.fields_hash
               AND approval.member_id <> payout.initiator AND approval.moment < attempt.moment
        WHERE attempt.status IN ('live', 'confirmed') AND attempt.moment IS NOT NULL
        GROUP BY attempt.task_id, attempt.n, payout.approvals
        HAVING count(approval.member_id) < payout.approvals
        """,
    ),
    Invariant(
        "P7 split exactly",
        "the transfers of a payout are numbered without gaps and add up to it",
        """
        SELECT payout.id, payout.amount_token, sum(task.amount_token) AS split, max(task.part) AS parts
        FROM payout LEFT JOIN payout_task AS task ON task.payout_id = payout.id
        GROUP BY payout.id, payout.amount_token
        HAVING sum(task.amount_token) IS DISTINCT FROM payout.amount_token OR max(task.part) <> count(*)
        """,
    ),
    Invariant(
        "P8 nothing signed while frozen",
        "no attempt was signed under a freeze of everything, its network, its wallet or its company",
        """
        SELECT attempt.task_id, attempt.n, frozen.id AS freeze
        FROM payout_attempt AS attempt
        JOIN payout_task AS task ON task.id = attempt.task_id
        JOIN payout ON payout.id = task.payout_id
        JOIN payout_freeze AS frozen
            ON (frozen.scope, frozen.subject) IN (('global', ''), ('network', attempt.network),
                                                  ('wallet', attempt.hot_wallet_id),
                                                  ('company', payout.company_id),
                                                  ('company', payout.payee_id))
        WHERE attempt.moment > frozen.entered_moment
          AND (frozen.lifted_moment IS NULL OR attempt.moment < frozen.lifted_moment)
        """,
    ),
    Invariant(
        "P9 ends are proved",
        "an attempt that ended has its proof; a transfer is confirmed by a paid one, and fails with none alive",
        """
        SELECT task_id AS task, status AS state FROM payout_attempt WHERE status <> 'live' AND evidence IS NULL
        UNION ALL
        SELECT task.id, task.state FROM payout_task AS task
        LEFT JOIN payout_attempt AS attempt
            ON attempt.task_id = task.id AND attempt.status IN ('live', 'confirmed')
        WHERE (task.state = 'confirmed') <> (attempt.status IS NOT DISTINCT FROM 'confirmed')
           OR task.state = 'confirmed' AND task.tx_hash IS DISTINCT FROM attempt.tx_id
           OR task.state = 'failed' AND attempt.status IS NOT NULL
           OR task.state = 'queued' AND attempt.status IS NOT NULL
        """,
    ),
    Invariant(
        "P9 the books follow the payouts",
        "what a transfer pays is held while it may be paid, posted once it is, and free when it never will be",
        """
        SELECT task.id, task.state, task.amount_token, hold.units AS held, ending.phase AS ended_by
        FROM payout_task AS task
        LEFT JOIN ledger_transfer AS hold ON hold.id = 'payout_held:' || task.id AND hold.phase = 'pending'
        LEFT JOIN ledger_transfer AS ending ON ending.resolves = hold.id
        WHERE hold.units IS DISTINCT FROM task.amount_token
           OR ending.phase IS DISTINCT FROM
              CASE task.state WHEN 'confirmed' THEN 'post' WHEN 'failed' THEN 'void' END
           OR ending.phase = 'post' AND ending.units <> task.amount_token
        """,
    ),
)
