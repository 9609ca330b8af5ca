"""L and N: what companies may owe, what pairs have agreed to, reserve and net.

Tiers are code: L1 is seen where it was decided.
"""

from storage.invariants.model import Invariant

TRUST = (
    Invariant(
        "L1 within the limits",
        "no deal was accepted beyond what its tightest limit left",
        "SELECT id, exposure_usd, headroom_usd FROM deal WHERE exposure_usd > headroom_usd",
    ),
    Invariant(
        "L2 reserves are set aside",
        "what the ledger has reserved of a company is what its pairs' reserves say",
        """
        WITH asked AS (
            SELECT 'reserve:' || company_id || ':' || token AS code, sum(amount_token) AS units
            FROM trust_reserve WHERE released_at_ms IS NULL GROUP BY 1
        ), there AS (SELECT code, balance AS units FROM ledger_account WHERE starts_with(code, 'reserve:'))
        SELECT code, asked.units AS asked, there.units AS reserved FROM asked FULL JOIN there USING (code)
        WHERE coalesce(asked.units, 0) <> coalesce(there.units, 0)
        """,
    ),
    Invariant(
        "L2 enabled pairs have their reserve",
        "both sides of a pair that takes deals have set its reserve aside, in full",
        """
        SELECT trust_pair.id, side.company, held.usd, daily_limit_usd, reserve_pct FROM trust_pair
        CROSS JOIN LATERAL unnest(ARRAY[a_company_id, b_company_id]) AS side (company)
        CROSS JOIN LATERAL (
            SELECT coalesce(sum(amount_token * 1000000 / power(10::numeric, decimals)), 0) AS usd
            FROM trust_reserve JOIN assets ON assets.id = token
            WHERE pair_id = trust_pair.id AND company_id = side.company AND released_at_ms IS NULL
        ) AS held
        WHERE enabled AND held.usd < daily_limit_usd * reserve_pct / 100.0
        """,
    ),
    Invariant(
        "L3 both sides of a pair said yes",
        "a pair that takes deals has a consent of somebody for each of its companies",
        """
        SELECT trust_pair.id, side.company FROM trust_pair
        CROSS JOIN LATERAL unnest(ARRAY[a_company_id, b_company_id]) AS side (company)
        WHERE enabled AND NOT EXISTS (
            SELECT FROM trust_pair_consent WHERE pair_id = trust_pair.id AND company_id = side.company)
        """,
    ),
    Invariant(
        "N1 net is the difference of the deals",
        "of each closed session and asset, what one side owes is its deals less the other's, and the rest before",
        """
        WITH traded AS (
            SELECT session_id, token, payer_company_id AS payer, sum(amount_token) AS units
            FROM deal WHERE mode = 'netting' AND status <> 'cancelled' GROUP BY 1, 2, 3
        )
        SELECT settled.id, settled.net_token, settled.carried_in_token, ours.units AS owed, theirs.units AS owned
        FROM eod_settlement AS settled
        LEFT JOIN traded AS ours ON (ours.session_id, ours.token, ours.payer)
                                    = (settled.session_id, settled.token, settled.payer_company_id)
        LEFT JOIN traded AS theirs ON (theirs.session_id, theirs.token, theirs.payer)
                                      = (settled.session_id, settled.token, settled.payee_company_id)
        WHERE settled.net_token
              <> coalesce(ours.units, 0) - coalesce(theirs.units, 0) + settled.carried_in_token
        UNION ALL
        SELECT 'none for ' || traded.session_id || ' ' || traded.token, 0, 0, sum(traded.units), 0
        FROM traded JOIN trust_session AS session ON session.id = traded.session_id AND session.status = 'closed'
        WHERE NOT EXISTS (SELECT FROM eod_settlement AS settled
                          WHERE (settled.session_id, settled.token) = (traded.session_id, traded.token))
        GROUP BY traded.session_id, traded.token
        """,
    ),
    Invariant(
        "N1 a deal is in one session of its pair",
        "a netting deal is of the companies of its session's pair; it waits while that is open, and not after",
        """
        SELECT deal.id, deal.status, session.id AS session, session.status AS of_session
        FROM deal
        JOIN trust_session AS session ON session.id = deal.session_id
        JOIN trust_pair AS pair ON pair.id = session.pair_id
        WHERE (least(payer_company_id, payee_company_id), greatest(payer_company_id, payee_company_id))
              <> (a_company_id, b_company_id)
           OR (deal.status = 'in_session') <> (session.status = 'open' AND deal.status <> 'cancelled')
        """,
    ),
    Invariant(
        "N2 settled and carried are the net",
        "what is paid and what is carried make up the net, and what is carried comes in the next session, once",
        """
        SELECT id, net_token, amount_token, carried_token, carried_in_token AS carried_in FROM eod_settlement
        WHERE net_token <> amount_token + carried_token
        UNION ALL
        SELECT next.id, before.net_token, before.amount_token, before.carried_token, next.carried_in_token
        FROM eod_settlement AS next LEFT JOIN eod_settlement AS before ON before.id = next.carried_from
        WHERE abs(next.carried_in_token) <> coalesce(before.carried_token, 0)
           OR next.carried_in_token > 0 AND before.payer_company_id <> next.payer_company_id
           OR next.carried_in_token < 0 AND before.payer_company_id <> next.payee_company_id
        """,
    ),
    Invariant(
        "N2 what is paid has its payout",
        "a settlement's payout is its amount to its payee, and it is settled once that is paid",
        """
        SELECT settled.id, settled.status, settled.amount_token, payout.id AS payout,
               payout.amount_token AS of_payout
        FROM eod_settlement AS settled LEFT JOIN payout ON payout.id = settled.payout_id
        WHERE settled.amount_token > 0
          AND ((payout.purpose, payout.purpose_id, payout.amount_token, payout.payee_id)
               IS DISTINCT FROM ('eod', settled.id, settled.amount_token, settled.payee_company_id)
               OR (settled.status = 'settled') <> NOT EXISTS (
                   SELECT FROM payout_task AS task
                   WHERE task.payout_id = payout.id AND task.state <> 'confirmed'))
        """,
    ),
)
