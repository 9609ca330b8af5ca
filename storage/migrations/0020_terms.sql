-- What was agreed and what was closed stays as it is, whatever a program does.
CREATE FUNCTION deal_keeps_its_terms() RETURNS trigger LANGUAGE plpgsql AS $$
DECLARE
    terms deal;
BEGIN
    IF TG_OP = 'INSERT' THEN
        IF EXISTS (SELECT FROM trust_session WHERE id = NEW.session_id AND status = 'closed') THEN
            RAISE EXCEPTION 'session % is closed', NEW.session_id USING ERRCODE = 'insufficient_privilege';
        END IF;
        RETURN NEW;
    END IF;
    terms := NEW;
    terms.status := OLD.status;
    terms.ended_at_ms := OLD.ended_at_ms;
    IF terms IS DISTINCT FROM OLD THEN
        RAISE EXCEPTION 'the terms of deal % are agreed', OLD.id USING ERRCODE = 'insufficient_privilege';
    END IF;
    RETURN NEW;
END
$$;
CREATE TRIGGER deal_keeps_its_terms BEFORE INSERT OR UPDATE ON deal
    FOR EACH ROW EXECUTE FUNCTION deal_keeps_its_terms();
CREATE TRIGGER deal_stays BEFORE DELETE OR TRUNCATE ON deal
    FOR EACH STATEMENT EXECUTE FUNCTION refuse_change();

CREATE FUNCTION settlement_keeps_its_amounts() RETURNS trigger LANGUAGE plpgsql AS $$
DECLARE
    moves text[] := '{status,tx_hash,settled_at_ms}';
BEGIN
    IF to_jsonb(NEW) - moves <> to_jsonb(OLD) - moves THEN
        RAISE EXCEPTION 'settlement % is closed', OLD.id USING ERRCODE = 'insufficient_privilege';
    END IF;
    RETURN NEW;
END
$$;
CREATE TRIGGER settlement_keeps_its_amounts BEFORE UPDATE ON eod_settlement
    FOR EACH ROW EXECUTE FUNCTION settlement_keeps_its_amounts();
CREATE TRIGGER settlement_stays BEFORE DELETE OR TRUNCATE ON eod_settlement
    FOR EACH STATEMENT EXECUTE FUNCTION refuse_change();

CREATE TRIGGER closed_session_stays BEFORE UPDATE ON trust_session
    FOR EACH ROW WHEN (OLD.status = 'closed') EXECUTE FUNCTION refuse_change();
CREATE TRIGGER session_stays BEFORE DELETE OR TRUNCATE ON trust_session
    FOR EACH STATEMENT EXECUTE FUNCTION refuse_change();
