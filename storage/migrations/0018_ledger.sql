-- Double entry. There is one writer at a time: whoever posts holds the row of ledger_head until its transaction ends.
-- That row is also the end of a chain of hashes with one step per batch, over the accounts it opened and the transfers
-- it posted, so that nothing can be edited, slipped in, taken out or cut off unseen.
CREATE TABLE ledger_head (
    one      boolean PRIMARY KEY DEFAULT true CHECK (one),
    batch    bigint NOT NULL,                                    -- the newest, counted from 1 without gaps
    transfer bigint NOT NULL,                                    -- likewise
    hash     bytea NOT NULL
);
INSERT INTO ledger_head (batch, transfer, hash) VALUES (0, 0, '\x');

-- What was posted by one statement. A statement of account walks back from batch to batch, as in a paper ledger: each
-- names the accounts that it touched, and for each the batch `before` that touched it (0: none). Two indexes would
-- do the same, and take half as long again as all the rest of posting.
CREATE TABLE ledger_batch (
    seq            bigint PRIMARY KEY,
    first_transfer bigint NOT NULL,
    last_transfer  bigint NOT NULL CHECK (last_transfer >= first_transfer - 1),
    accounts       text[] COLLATE "C" NOT NULL,
    before         bigint[] NOT NULL,
    hash           bytea NOT NULL
);

-- Balances live here, on the account's normal side. `held` is what pending transfers would take from it.
CREATE TABLE ledger_account (
    code      text COLLATE "C" PRIMARY KEY,
    asset     text NOT NULL,
    normal    text COLLATE "C" NOT NULL CHECK (normal IN ('debit', 'credit')),
    floor     numeric(78, 0),                                    -- NULL: may go below zero
    opened_in bigint NOT NULL,                                   -- the batch that named it first
    touched_in bigint NOT NULL DEFAULT 0,                        -- the newest batch that changed it
    touched_before bigint NOT NULL DEFAULT 0,                    -- and the one before that
    balance   numeric(78, 0) NOT NULL DEFAULT 0,
    held      numeric(78, 0) NOT NULL DEFAULT 0 CHECK (held >= 0),
    CONSTRAINT ledger_account_floor CHECK (floor IS NULL OR balance - held >= floor)
) WITH (fillfactor = 90);          -- room for updates that touch no index; with more, pages are tidied at every visit

-- Never changed. A hold is resolved by another transfer, at most one. No foreign keys: they would cost two more
-- look-ups a row, for what the one function that writes here has looked up already.
CREATE TABLE ledger_transfer (
    seq           bigint PRIMARY KEY,
    id            text COLLATE "C" NOT NULL UNIQUE,
    kind          text COLLATE "C" NOT NULL,
    debit         text COLLATE "C" NOT NULL,
    credit        text COLLATE "C" NOT NULL,
    units         numeric(78, 0) NOT NULL CHECK (units > 0),     -- moved; of a void or an expiry: released
    reference     text COLLATE "C" NOT NULL,
    at_ms         bigint NOT NULL,
    phase         text COLLATE "C" NOT NULL,
    resolves      text COLLATE "C",
    expires_at_ms bigint,
    CHECK (debit <> credit),
    CHECK (CASE WHEN resolves IS NULL THEN phase IN ('posted', 'pending') ELSE phase IN ('post', 'void', 'expire') END)
);
CREATE INDEX ledger_transfer_reference ON ledger_transfer (reference);
CREATE INDEX ledger_transfer_deposit ON ledger_transfer (kind, seq) WHERE kind IN
    ('fund', 'hold_open', 'hold_release', 'penalty', 'reserve_trust', 'reserve_release', 'adjustment');
CREATE UNIQUE INDEX ledger_transfer_resolves ON ledger_transfer (resolves) WHERE resolves IS NOT NULL;

-- The holds that are open now: a working copy of pending transfers that nothing resolves yet.
CREATE TABLE ledger_hold (
    id            text COLLATE "C" PRIMARY KEY,
    debit         text COLLATE "C" NOT NULL,
    credit        text COLLATE "C" NOT NULL,
    units         numeric(78, 0) NOT NULL,
    expires_at_ms bigint
);
CREATE INDEX ledger_hold_expires ON ledger_hold (expires_at_ms) WHERE expires_at_ms IS NOT NULL;

CREATE TRIGGER ledger_transfer_is_append_only BEFORE UPDATE OR DELETE OR TRUNCATE ON ledger_transfer
    FOR EACH STATEMENT EXECUTE FUNCTION refuse_change();
CREATE TRIGGER ledger_batch_is_append_only BEFORE UPDATE OR DELETE OR TRUNCATE ON ledger_batch
    FOR EACH STATEMENT EXECUTE FUNCTION refuse_change();
CREATE TRIGGER ledger_account_stays BEFORE DELETE OR TRUNCATE ON ledger_account
    FOR EACH STATEMENT EXECUTE FUNCTION refuse_change();
CREATE TRIGGER ledger_head_stays BEFORE DELETE OR TRUNCATE ON ledger_head
    FOR EACH STATEMENT EXECUTE FUNCTION refuse_change();
REVOKE UPDATE, DELETE, TRUNCATE ON ledger_transfer, ledger_batch FROM PUBLIC;

-- Open the accounts that are named for the first time, and read what all of them have.
CREATE FUNCTION ledger_open(
    codes text[], assets text[], normals text[], floors numeric[],
    OUT opened json, OUT available numeric[], OUT bounds numeric[]
) LANGUAGE plpgsql SET plan_cache_mode = force_generic_plan AS $$
DECLARE
    different text;
BEGIN
    WITH added AS (
        INSERT INTO ledger_account (code, asset, normal, floor, opened_in)
        SELECT named.code, named.asset, named.normal, named.floor, (SELECT batch + 1 FROM ledger_head)
        FROM unnest(codes, assets, normals, floors) AS named (code, asset, normal, floor)
        WHERE NOT EXISTS (SELECT FROM ledger_account AS account WHERE account.code = named.code)
        RETURNING code, asset, normal, floor
    )
    SELECT json_agg(json_build_array(code, asset, normal, floor) ORDER BY code) INTO opened FROM added;

    SELECT array_agg(account.balance - account.held ORDER BY place), array_agg(account.floor ORDER BY place),
           min(named.code) FILTER (WHERE account.asset <> named.asset OR account.normal <> named.normal)
    INTO available, bounds, different
    FROM unnest(codes, assets, normals) WITH ORDINALITY AS named (code, asset, normal, place)
    JOIN ledger_account AS account ON account.code = named.code;
    IF different IS NOT NULL THEN
        RAISE EXCEPTION 'account % has another asset or another normal side', different;
    END IF;
END
$$;

-- Say of each transfer what posting them one after another would answer. Accounts are named by their places in
-- `codes`. `moved` is what each moves, releases or holds; `holds` what was held that it resolves.
CREATE FUNCTION ledger_decide(
    codes text[], assets text[], normals text[], available numeric[], bounds numeric[],
    ids text[], kinds text[], debits integer[], credits integer[], amounts numeric[], subjects text[],
    times bigint[], phases text[], resolved text[], expiries bigint[], groups integer[],
    OUT results text[], OUT ways integer[], OUT moved numeric[], OUT holds numeric[]
) LANGUAGE plpgsql SET plan_cache_mode = force_generic_plan AS $$
DECLARE
    count_     integer := cardinality(ids);
    known      text[];     -- what the ledger says of ids that it has
    firsts     integer[];  -- the first place in the batch of the same id
    hold_at    integer[];  -- the first place in the batch of the id that it resolves
    hold_key   integer[];  -- the first place in the batch of the same resolved id
    hold_fates text[];     -- 'open', or the phase that has resolved the ledger's hold; NULL: it has none
    hold_ends  bigint[];
    taken      integer[] := array_fill(0, ARRAY[count_]);  -- by `firsts`: where that id was accepted
    fates      text[] := array_fill(NULL::text, ARRAY[count_]);  -- by `hold_key`: how it was resolved in this batch
    debit_changes  numeric[] := array_fill(0::numeric, ARRAY[count_]);
    credit_changes numeric[] := array_fill(0::numeric, ARRAY[count_]);
    group_start integer := 1;
    failed     boolean := false;
    said       text;
    before     integer;
    debit_     integer;
    credit_    integer;
    units_     numeric;
    hold_      numeric;
    ends       bigint;
    fate       text;
    debit_grows  boolean;
    credit_grows boolean;
BEGIN
    results := array_fill(NULL::text, ARRAY[count_]);
    ways := array_fill(NULL::integer, ARRAY[count_]);
    moved := amounts;
    WITH said AS (
        SELECT * FROM unnest(ids, kinds, debits, credits, amounts, subjects, phases, resolved, expiries)
            WITH ORDINALITY AS said (id, kind, debit, credit, amount, subject, phase, resolves, expiry, place)
    ), met AS (
        SELECT said.place,
               min(said.place) OVER (PARTITION BY said.id) AS first,
               min(said.place) OVER (PARTITION BY said.resolves) AS hold_key,
               named.first AS hold_at,
               CASE WHEN old.id IS NULL THEN NULL
                    WHEN (old.kind, old.debit, old.credit, old.reference, old.phase)
                         = (said.kind, codes[said.debit], codes[said.credit], said.subject, said.phase)
                         AND old.resolves IS NOT DISTINCT FROM said.resolves
                         AND old.expires_at_ms IS NOT DISTINCT FROM said.expiry
                         AND (old.units = said.amount OR old.phase IN ('void', 'expire')
                              OR old.phase = 'post' AND said.amount = 0 AND old.units = hold.units)
                    THEN 'exists' ELSE 'already_exists_differently' END AS known,
               CASE WHEN hold.debit = codes[said.debit] AND hold.credit = codes[said.credit]
                    THEN coalesce(ending.phase, 'open') END AS fate,
               hold.units AS hold_units, hold.expires_at_ms AS hold_ends
        FROM said
        LEFT JOIN ledger_transfer AS old ON old.id = said.id
        LEFT JOIN ledger_transfer AS hold ON hold.id = said.resolves AND hold.phase = 'pending'
        LEFT JOIN ledger_transfer AS ending ON ending.resolves = hold.id
        LEFT JOIN (SELECT id, min(place) AS first FROM said GROUP BY id) AS named ON named.id = said.resolves
    )
    SELECT array_agg(met.known ORDER BY place), array_agg(met.first ORDER BY place),
           array_agg(met.hold_key ORDER BY place), array_agg(coalesce(met.hold_at, 0) ORDER BY place),
           array_agg(met.fate ORDER BY place), array_agg(met.hold_units ORDER BY place),
           array_agg(met.hold_ends ORDER BY place)
    INTO known, firsts, hold_key, hold_at, hold_fates, holds, hold_ends FROM met;

    FOR place IN 1..count_ LOOP
        IF place > 1 AND (groups[place] = 0 OR groups[place] <> groups[place - 1]) THEN
            group_start := place;
            failed := false;
        END IF;
        debit_ := debits[place];
        credit_ := credits[place];
        units_ := amounts[place];
        hold_ := NULL;
        debit_grows := normals[debit_] = 'debit';
        credit_grows := normals[credit_] = 'credit';

        -- The hold that it resolves: one of this batch, or one of the ledger's.
        IF phases[place] IN ('post', 'void', 'expire') THEN
            before := CASE WHEN hold_at[place] > 0 THEN taken[hold_at[place]] ELSE 0 END;
            IF before > 0 THEN
                hold_ := amounts[before];
                ends := expiries[before];
                fate := CASE WHEN phases[before] = 'pending' AND debits[before] = debit_ AND credits[before] = credit_
                        THEN 'open' END;
            ELSE
                hold_ := holds[place];
                ends := hold_ends[place];
                fate := hold_fates[place];
            END IF;
            IF fate = 'open' AND fates[hold_key[place]] IS NOT NULL THEN
                fate := fates[hold_key[place]];
            END IF;
            IF phases[place] <> 'post' OR units_ = 0 THEN
                units_ := hold_;
            END IF;
        END IF;

        before := taken[firsts[place]];
        said := known[place];
        IF said IS NULL AND before > 0 THEN
            said := CASE WHEN (kinds[before], debits[before], credits[before], subjects[before], phases[before],
                               moved[before]) = (kinds[place], debit_, credit_, subjects[place], phases[place], units_)
                              AND resolved[before] IS NOT DISTINCT FROM resolved[place]
                              AND expiries[before] IS NOT DISTINCT FROM expiries[place]
                    THEN 'exists' ELSE 'already_exists_differently' END;
        END IF;
        IF failed THEN
            -- What was in the ledger before its group is there whatever becomes of the group.
            results[place] := CASE WHEN said = 'exists' AND before < group_start THEN said ELSE 'group_failed' END;
            CONTINUE;
        END IF;

        IF said IS NOT NULL THEN
            NULL;
        ELSIF phases[place] IN ('posted', 'pending') THEN
            said := 'ok';
            IF units_ <= 0 THEN
                said := 'not_positive';
            ELSIF debit_ = credit_ THEN
                said := 'same_account';
            ELSIF assets[debit_] <> assets[credit_] THEN
                said := 'different_assets';
            ELSIF NOT debit_grows AND available[debit_] - units_ < bounds[debit_] THEN
                said := 'insufficient';
                ways[place] := debit_;
            ELSIF NOT credit_grows AND available[credit_] - units_ < bounds[credit_] THEN
                said := 'insufficient';
                ways[place] := credit_;
            END IF;
        ELSIF fate IS NULL THEN
            said := 'no_such_hold';
        ELSIF fate = 'post' THEN
            said := 'hold_already_posted';
        ELSIF fate = 'void' THEN
            said := 'hold_already_voided';
        ELSIF fate = 'expire' THEN
            said := 'hold_expired';
        ELSIF phases[place] = 'expire' AND (ends IS NULL OR ends > times[place]) THEN
            said := 'hold_not_expired';
        ELSIF phases[place] <> 'expire' AND ends <= times[place] THEN
            said := 'hold_expired';
        ELSIF units_ <= 0 THEN
            said := 'not_positive';
        ELSIF units_ > hold_ THEN
            said := 'exceeds_hold';
        ELSE
            said := 'ok';
        END IF;
        results[place] := said;

        IF said = 'ok' THEN
            IF phases[place] = 'posted' THEN
                debit_changes[place] := CASE WHEN debit_grows THEN units_ ELSE -units_ END;
                credit_changes[place] := CASE WHEN credit_grows THEN units_ ELSE -units_ END;
            ELSIF phases[place] = 'pending' THEN
                debit_changes[place] := CASE WHEN debit_grows THEN 0 ELSE -units_ END;
                credit_changes[place] := CASE WHEN credit_grows THEN 0 ELSE -units_ END;
            ELSIF phases[place] = 'post' THEN
                debit_changes[place] := CASE WHEN debit_grows THEN units_ ELSE hold_ - units_ END;
                credit_changes[place] := CASE WHEN credit_grows THEN units_ ELSE hold_ - units_ END;
            ELSE
                debit_changes[place] := CASE WHEN debit_grows THEN 0 ELSE hold_ END;
                credit_changes[place] := CASE WHEN credit_grows THEN 0 ELSE hold_ END;
            END IF;
            available[debit_] := available[debit_] + debit_changes[place];
            available[credit_] := available[credit_] + credit_changes[place];
            moved[place] := units_;
            holds[place] := hold_;
            taken[firsts[place]] := place;
            IF hold_ IS NOT NULL THEN
                fates[hold_key[place]] := phases[place];
            END IF;
        ELSIF said <> 'exists' AND groups[place] <> 0 THEN
            -- What its group has done so far is undone; what follows of it is not tried.
            failed := true;
            FOR earlier IN REVERSE place - 1..group_start LOOP
                CONTINUE WHEN results[earlier] = 'exists' AND taken[firsts[earlier]] < group_start;
                IF results[earlier] = 'ok' THEN
                    available[debits[earlier]] := available[debits[earlier]] - debit_changes[earlier];
                    available[credits[earlier]] := available[credits[earlier]] - credit_changes[earlier];
                    taken[firsts[earlier]] := 0;
                    IF phases[earlier] IN ('post', 'void', 'expire') THEN
                        fates[hold_key[earlier]] := NULL;
                    END IF;
                END IF;
                results[earlier] := 'group_failed';
            END LOOP;
        END IF;
    END LOOP;
END
$$;

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
