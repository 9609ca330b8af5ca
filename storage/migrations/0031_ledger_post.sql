-- Post a batch, in the caller's transaction: the answer of each transfer is that of posting them one after another.
-- `codes` and what belongs to them are the accounts, once each; transfers name them by their places. A group's
-- transfers stand together. NULL instead of answers: everything is 'ok'.
CREATE FUNCTION ledger_post(
    codes text[], assets text[], normals text[], floors numeric[],
    ids text[], kinds text[], debits integer[], credits integer[], amounts numeric[], subjects text[],
    times bigint[], phases text[], resolved text[], expiries bigint[], groups integer[],
    OUT results text[], OUT ways integer[]
) LANGUAGE plpgsql SET plan_cache_mode = force_generic_plan AS $$
DECLARE
    head     ledger_head%ROWTYPE;
    is_plain boolean;
    wrote    record;
    opened   json;
    used     integer[];
    places   integer[] := array_fill(0, ARRAY[cardinality(codes)]);
    known    record;
    decided  record;
    count_   integer := cardinality(ids);
BEGIN
    SELECT * INTO head FROM ledger_head FOR UPDATE;

    -- Where nothing is said twice or resolved, and no account could break its floor in any order, the order makes no
    -- difference: everything is written at once. Whether it was so shows in the writing, which is undone if not.
    SELECT bool_and(amount > 0 AND debit <> credit AND phase IN ('posted', 'pending')
                    AND assets[debit] = assets[credit])
    INTO is_plain FROM unnest(debits, credits, amounts, phases) AS said (debit, credit, amount, phase);
    IF is_plain THEN
        BEGIN
            SELECT * INTO wrote FROM ledger_write(head.batch + 1, head.transfer + 1, codes, assets, normals, ids, kinds,
                                                  debits, credits, amounts, subjects, times, phases, resolved, expiries,
                                                  NULL);
            IF coalesce(cardinality(wrote.before), 0) < cardinality(codes) OR wrote.in_danger THEN
                RAISE SQLSTATE 'TL001';
            END IF;
        EXCEPTION WHEN unique_violation OR check_violation OR SQLSTATE 'TL001' THEN
            is_plain := false;
        END;
    END IF;

    IF NOT is_plain THEN
        SELECT * INTO known FROM ledger_open(codes, assets, normals, floors);
        opened := known.opened;
        SELECT * INTO decided
        FROM ledger_decide(codes, assets, normals, known.available, known.bounds, ids, kinds, debits, credits, amounts,
                           subjects, times, phases, resolved, expiries, groups);
        results := decided.results;
        ways := decided.ways;
        SELECT array_agg(said.id ORDER BY place), array_agg(said.kind ORDER BY place),
               array_agg(said.debit ORDER BY place), array_agg(said.credit ORDER BY place),
               array_agg(said.units ORDER BY place), array_agg(said.subject ORDER BY place),
               array_agg(said.at_ms ORDER BY place), array_agg(said.phase ORDER BY place),
               array_agg(said.resolves ORDER BY place), array_agg(said.expiry ORDER BY place),
               array_agg(said.hold ORDER BY place), count(*)
        INTO ids, kinds, debits, credits, amounts, subjects, times, phases, resolved, expiries, decided.holds, count_
        FROM unnest(ids, kinds, debits, credits, decided.moved, subjects, times, phases, resolved, expiries,
                    decided.holds, results)
             WITH ORDINALITY AS said (id, kind, debit, credit, units, subject, at_ms, phase, resolves, expiry, hold,
                                      result, place)
        WHERE said.result = 'ok';
        IF count_ = 0 AND opened IS NULL THEN
            RETURN;
        END IF;
        -- Of the accounts, too, only those that are touched, with new places.
        SELECT array_agg(place ORDER BY place) INTO used
        FROM (SELECT DISTINCT unnest(debits || credits) AS place) AS touched;
        FOR place IN 1..coalesce(cardinality(used), 0) LOOP
            places[used[place]] := place;
        END LOOP;
        SELECT array_agg(places[debit] ORDER BY n), array_agg(places[credit] ORDER BY n) INTO debits, credits
        FROM unnest(debits, credits) WITH ORDINALITY AS said (debit, credit, n);
        SELECT array_agg(codes[place] ORDER BY place), array_agg(assets[place] ORDER BY place),
               array_agg(normals[place] ORDER BY place)
        INTO codes, assets, normals FROM unnest(used) AS touched (place);
        SELECT * INTO wrote
        FROM ledger_write(head.batch + 1, head.transfer + 1, codes, assets, normals, ids, kinds, debits, credits,
                          amounts, subjects, times, phases, resolved, expiries, decided.holds);
    END IF;

    -- The step of the chain, column by column: some ten texts to make instead of ten for every row.
    head.hash := sha256(head.hash || convert_to(concat_ws(E'\n', head.batch + 1, head.transfer + 1,
        coalesce(opened, '[]'), array_to_json(codes), array_to_json(wrote.before), array_to_json(ids),
        array_to_json(kinds), array_to_json(debits), array_to_json(credits), array_to_json(amounts),
        array_to_json(subjects), array_to_json(times), array_to_json(phases), array_to_json(resolved),
        array_to_json(expiries)), 'UTF8'));
    INSERT INTO ledger_batch (seq, first_transfer, last_transfer, accounts, before, hash)
    VALUES (head.batch + 1, head.transfer + 1, head.transfer + count_, coalesce(codes, '{}'),
            coalesce(wrote.before, '{}'), head.hash);
    UPDATE ledger_head SET batch = head.batch + 1, transfer = head.transfer + count_, hash = head.hash;
END
$$;
