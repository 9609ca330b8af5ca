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
