-- What the seeds call the deposit and its ledger.
CREATE VIEW deposit AS
SELECT code AS id, split_part(code, ':', 2) AS company_id, asset AS token, split_part(asset, ':', 1) AS network,
       balance AS balance_token
FROM ledger_account WHERE code LIKE 'deposit:%';

CREATE VIEW deposit_ledger AS
SELECT transfer.id, split_part(account.code, ':', 2) AS company_id,
       CASE transfer.kind WHEN 'reserve_release' THEN 'reserve_trust' ELSE transfer.kind END AS type,
       CASE WHEN transfer.kind = 'reserve_release' OR transfer.kind = 'adjustment' AND transfer.debit = account.code
            THEN -transfer.units ELSE transfer.units END AS amount_token,
       account.asset AS token, transfer.reference AS ref, transfer.at_ms AS created_at
FROM ledger_account AS account
JOIN ledger_transfer AS transfer ON account.code IN (transfer.debit, transfer.credit)
WHERE account.code LIKE 'deposit:%'
  AND transfer.kind IN ('fund', 'hold_open', 'hold_release', 'penalty', 'reserve_trust', 'reserve_release',
                        'adjustment');
