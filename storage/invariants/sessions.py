"""N: the order of a pair's days, their rests, and what lies ready to pay; D: a deal is what was offered."""

from storage.invariants.model import Invariant

SESSIONS = (
    Invariant(
        "N2 one rest",
        "a pair owes one carried rest in an asset at most",
        """
        SELECT pair_id, token, count(*) FROM eod_settlement AS owed
        JOIN trust_session ON trust_session.id = session_id
        WHERE carried_token > 0
          AND NOT EXISTS (SELECT FROM eod_settlement AS later WHERE later.carried_from = owed.id)
        GROUP BY pair_id, token HAVING count(*) > 1
        """,
    ),
    Invariant(
        "N2 what is paid has left",
        "a settlement's clearing account holds no more than is on its way, and nothing once it is paid",
        """
        SELECT owed.id, owed.status, owed.amount_token, balance FROM eod_settlement AS owed
        JOIN ledger_account ON code = 'clearing:' || owed.id || ':' || owed.token
        WHERE (owed.status <> 'queued' AND balance <> 0) OR balance > owed.amount_token
        """,
    ),
    Invariant(
        "N3 days follow each other",
        "the days of a pair do not overlap, and are closed in their order",
        """
        SELECT later.id, earlier.id AS earlier, earlier.status
        FROM trust_session AS earlier JOIN trust_session AS later USING (pair_id)
        WHERE later.cutoff_at_ms > earlier.cutoff_at_ms
          AND (later.opens_at_ms < earlier.cutoff_at_ms
               OR (later.status = 'closed' AND earlier.status = 'open'))
        """,
    ),
    Invariant(
        "N3 no deal after the cut-off",
        "a deal is in a session that was not cut off yet",
        """
        SELECT deal.id, session_id FROM deal JOIN trust_session ON trust_session.id = session_id
        WHERE deal.created_at_ms >= cutoff_at_ms
        """,
    ),
    Invariant(
        "D1 a deal is what was offered",
        "a deal is of its offer's maker, token and amount, and whoever sells pays",
        """
        SELECT deal.id, offer.id AS offer FROM deal JOIN offer ON offer.id = offer_id
        WHERE offer.status <> 'accepted' OR deal.maker_company_id <> offer.company_id
           OR deal.token <> offer.token OR deal.amount_token <> offer.amount_token
           OR (offer.side = 'sell') <> (deal.payer_company_id = offer.company_id)
        """,
    ),
)
