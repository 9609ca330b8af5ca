"""What must hold of deals, pairs and sessions at any time: each a query that finds nothing.

For `storage.invariants`: each row is a name, the sentence that is true, and the query for its breaches; its first column says where.
"""

_OUTSTANDING = """
    SELECT owed.* FROM eod_settlement AS owed
    WHERE carried_token > 0 AND NOT EXISTS (SELECT FROM eod_settlement AS later WHERE later.carried_from = owed.id)
"""

SETTLEMENT_INVARIANTS: tuple[tuple[str, str, str], ...] = (
    (
        "L2",
        "What is reserved in the ledger is what the pairs have set aside and not given back.",
        """
        SELECT coalesce(books.code, rows.code) AS subject, books.units AS booked, rows.units AS agreed
        FROM (SELECT code, balance AS units FROM ledger_account
              WHERE code LIKE 'reserve:%' AND balance <> 0) AS books
        FULL JOIN (SELECT 'reserve:' || company_id || ':' || token AS code, sum(amount_token) AS units
                   FROM trust_reserve WHERE released_at_ms IS NULL GROUP BY 1) AS rows USING (code)
        WHERE books.units IS DISTINCT FROM rows.units
        """,
    ),
    (
        "L2_enabled",
        "Both sides of an enabled pair have set its reserve aside, in full.",
        """
        SELECT trust_pair.id AS subject, side.company_id, held.usd FROM trust_pair
        CROSS JOIN LATERAL (VALUES (a_company_id), (b_company_id)) AS side (company_id)
        CROSS JOIN LATERAL (
            SELECT coalesce(sum(amount_token * 1000000 / power(10::numeric, decimals)), 0) AS usd
            FROM trust_reserve JOIN assets ON assets.id = token
            WHERE pair_id = trust_pair.id AND trust_reserve.company_id = side.company_id AND released_at_ms IS NULL
        ) AS held
        WHERE enabled AND held.usd < daily_limit_usd * reserve_pct / 100.0
        """,
    ),
    (
        "N1",
        "A settlement's net is what the deals of its session and the rest before it come to.",
        """
        SELECT owed.id AS subject, owed.net_token, traded.units + carried_in_token AS should_be
        FROM eod_settlement AS owed CROSS JOIN LATERAL (
            SELECT coalesce(sum(CASE WHEN deal.payer_company_id = owed.payer_company_id THEN amount_token
                                     ELSE -amount_token END), 0) AS units
            FROM deal WHERE deal.session_id = owed.session_id AND deal.token = owed.token
        ) AS traded
        WHERE owed.net_token <> traded.units + carried_in_token
        """,
    ),
    (
        "N1_once",
        "Every deal of a closed session is in a settlement of it, and no other deal is netted.",
        """
        SELECT deal.id AS subject, deal.status, trust_session.status AS session
        FROM deal JOIN trust_session ON trust_session.id = session_id
        LEFT JOIN eod_settlement AS owed ON owed.session_id = deal.session_id AND owed.token = deal.token
        WHERE (trust_session.status = 'closed') <> (owed.id IS NOT NULL)
           OR (trust_session.status = 'closed') = (deal.status = 'in_session')
        """,
    ),
    (
        "N2",
        "What is carried is netted again once, whole, with the same two companies.",
        """
        SELECT later.id AS subject, before.carried_token, later.carried_in_token
        FROM eod_settlement AS later JOIN eod_settlement AS before ON before.id = later.carried_from
        JOIN trust_session AS day ON day.id = later.session_id
        JOIN trust_session AS day_before ON day_before.id = before.session_id
        WHERE before.token <> later.token OR day.pair_id <> day_before.pair_id
           OR day.cutoff_at_ms <= day_before.cutoff_at_ms
           OR later.carried_in_token <> CASE WHEN later.payer_company_id = before.payer_company_id
                                             THEN before.carried_token ELSE -before.carried_token END
        """,
    ),
    (
        "N2_one_rest",
        "A pair owes one rest in an asset at most, and it is the newest closed session's.",
        f"""
        SELECT pair_id || ' ' || token AS subject, count(*) FROM ({_OUTSTANDING}) AS rest
        JOIN trust_session ON trust_session.id = session_id GROUP BY 1 HAVING count(*) > 1
        """,
    ),
    (
        "N2_paid",
        "What a settlement pays is one payout of just that amount, from who owes to who is owed.",
        """
        SELECT owed.id AS subject, owed.amount_token, payout.amount_token AS paid_out
        FROM eod_settlement AS owed LEFT JOIN payout ON payout.purpose = 'eod' AND payout.purpose_id = owed.id
        WHERE (owed.amount_token > 0) <> (payout.id IS NOT NULL)
           OR (payout.id, payout.amount_token, payout.company_id, payout.payee_id, payout.token)
              <> (owed.payout_id, owed.amount_token, owed.payer_company_id, owed.payee_company_id, owed.token)
        """,
    ),
    (
        "N2_cleared",
        "A settlement's clearing account holds what is on its way, and nothing once it is paid.",
        """
        SELECT owed.id AS subject, owed.status, balance FROM eod_settlement AS owed
        JOIN ledger_account ON code = 'clearing:' || owed.id || ':' || owed.token
        WHERE (owed.status <> 'queued' AND balance <> 0) OR balance > owed.amount_token
        """,
    ),
    (
        "N3",
        "The days of a pair follow each other without overlap, and are closed in their order.",
        """
        SELECT later.id AS subject, earlier.id AS earlier
        FROM trust_session AS earlier JOIN trust_session AS later USING (pair_id)
        WHERE later.cutoff_at_ms > earlier.cutoff_at_ms
          AND (later.opens_at_ms < earlier.cutoff_at_ms OR (later.status = 'closed' AND earlier.status = 'open'))
        """,
    ),
    (
        "N3_cutoff",
        "No deal joined a session after its cut-off.",
        """
        SELECT deal.id AS subject, session_id FROM deal JOIN trust_session ON trust_session.id = session_id
        WHERE deal.created_at_ms >= cutoff_at_ms
        """,
    ),
    (
        "D1",
        "A deal is of the two companies of its offer, in its amount, and the side that sells pays.",
        """
        SELECT deal.id AS subject FROM deal JOIN offer ON offer.id = offer_id
        WHERE offer.status <> 'accepted' OR deal.maker_company_id <> offer.company_id
           OR deal.token <> offer.token OR deal.amount_token <> offer.amount_token
           OR (offer.side = 'sell') <> (deal.payer_company_id = offer.company_id)
        """,
    ),
)
