-- Write transfers that are decided: rows, holds, balances. `before` are the batches that touched the accounts last; `in_danger`
-- says that one of them could have fallen below its floor if what it gains had come last. Without nested loops the
-- accounts are met in one pass over their index, instead of one search for each.
CREATE FUNCTION ledger_write(
    batch bigint, first_transfer bigint, codes text[], assets text[], normals text[],
    ids text[], kinds text[], debits integer[], credits integer[], moved numeric[], subjects text[], times bigint[],
    phases text[], resolved text[], expiries bigint[], holds numeric[],
    OUT before bigint[], OUT in_danger boolean
) LANGUAGE plpgsql SET plan_cache_mode = force_generic_plan SET enable_nestloop = off AS $$
BEGIN
    WITH side AS (
        SELECT debit AS place, normals[debit] = 'debit' AS grows, units, phase, hold
        FROM unnest(debits, moved, phases, holds) AS said (debit, units, phase, hold)
        UNION ALL
        SELECT credit, normals[credit] = 'credit', units, phase, hold
        FROM unnest(credits, moved, phases, holds) AS said (credit, units, phase, hold)
    ), change AS (
        SELECT place,
               sum(CASE WHEN grows AND phase IN ('posted', 'post') THEN units ELSE 0 END) AS gained,
               sum(CASE WHEN NOT grows AND phase IN ('posted', 'post') THEN units ELSE 0 END) AS lost,
               sum(CASE WHEN grows OR phase = 'posted' THEN 0 WHEN phase = 'pending' THEN units ELSE -hold END) AS held
        FROM side GROUP BY place
    ), changed AS (
        UPDATE ledger_account AS account
        SET balance = account.balance + change.gained - change.lost, held = account.held + change.held,
            touched_in = batch, touched_before = account.touched_in
        FROM change
        WHERE account.code = ANY (codes) AND account.code = codes[change.place]
              AND account.asset = assets[change.place] AND account.normal = normals[change.place]
        RETURNING change.place, account.touched_before,
                  account.balance - account.held - change.gained < account.floor AS in_danger
    )
    SELECT array_agg(touched_before ORDER BY place), bool_or(changed.in_danger) INTO before, in_danger FROM changed;

    INSERT INTO ledger_transfer
        (seq, id, kind, debit, credit, units, reference, at_ms, phase, resolves, expires_at_ms)
    SELECT first_transfer + place - 1, id, kind, codes[debit], codes[credit], units, subject, at_ms, phase, resolves, expiry
    FROM unnest(ids, kinds, debits, credits, moved, subjects, times, phases, resolved, expiries)
         WITH ORDINALITY AS said (id, kind, debit, credit, units, subject, at_ms, phase, resolves, expiry, place);

    IF 'pending' = ANY (phases) THEN
        INSERT INTO ledger_hold (id, debit, credit, units, expires_at_ms)
        SELECT id, codes[debit], codes[credit], units, expiry
        FROM unnest(ids, debits, credits, moved, phases, expiries) AS said (id, debit, credit, units, phase, expiry)
        WHERE phase = 'pending';
    END IF;
    DELETE FROM ledger_hold WHERE id = ANY (array_remove(resolved, NULL));
END
$$;
