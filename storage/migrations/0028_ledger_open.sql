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
