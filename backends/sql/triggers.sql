-- Notices that wake the authority, and what stops an audit row from ever changing. Safe to repeat.
-- Functions run with the rights of whoever inserts; their search_path is pinned.

CREATE OR REPLACE FUNCTION cockpit_notify_inbox() RETURNS trigger
LANGUAGE plpgsql SET search_path = pg_catalog, public AS $$
BEGIN
    PERFORM pg_notify('cockpit_inbox', TG_TABLE_NAME);
    RETURN NULL;
END $$;

CREATE OR REPLACE TRIGGER requests_notice AFTER INSERT ON requests
    FOR EACH STATEMENT EXECUTE FUNCTION cockpit_notify_inbox();
CREATE OR REPLACE TRIGGER probe_results_notice AFTER INSERT ON probe_results
    FOR EACH STATEMENT EXECUTE FUNCTION cockpit_notify_inbox();

-- A login that floods the inbox fills its own share of it and no more.
CREATE OR REPLACE FUNCTION cockpit_inbox_share() RETURNS trigger
LANGUAGE plpgsql SET search_path = pg_catalog, public AS $$
BEGIN
    PERFORM FROM requests
        WHERE login = session_user AND status IN ('new', 'awaiting_approval', 'committing')
        OFFSET 500 LIMIT 1;
    IF FOUND THEN
        RAISE EXCEPTION 'over 500 requests of % wait in the inbox', session_user USING ERRCODE = 'program_limit_exceeded';
    END IF;
    RETURN NEW;
END $$;

CREATE OR REPLACE TRIGGER requests_share BEFORE INSERT ON requests
    FOR EACH ROW EXECUTE FUNCTION cockpit_inbox_share();

-- Row triggers do not see TRUNCATE, so each table has both. Only the tables' owner can disable them, and the
-- signed heads outside the database show what was done then.
CREATE OR REPLACE FUNCTION cockpit_append_only() RETURNS trigger
LANGUAGE plpgsql SET search_path = pg_catalog, public AS $$
BEGIN
    RAISE EXCEPTION '% is append-only: % refused', TG_TABLE_NAME, TG_OP USING ERRCODE = 'insufficient_privilege';
END $$;

CREATE OR REPLACE TRIGGER audit_log_rows BEFORE UPDATE OR DELETE ON audit_log
    FOR EACH ROW EXECUTE FUNCTION cockpit_append_only();
CREATE OR REPLACE TRIGGER audit_log_table BEFORE TRUNCATE ON audit_log
    FOR EACH STATEMENT EXECUTE FUNCTION cockpit_append_only();
CREATE OR REPLACE TRIGGER audit_anchors_rows BEFORE UPDATE OR DELETE ON audit_anchors
    FOR EACH ROW EXECUTE FUNCTION cockpit_append_only();
CREATE OR REPLACE TRIGGER audit_anchors_table BEFORE TRUNCATE ON audit_anchors
    FOR EACH STATEMENT EXECUTE FUNCTION cockpit_append_only();
CREATE OR REPLACE TRIGGER reset_slots_rows BEFORE UPDATE OR DELETE ON reset_slots
    FOR EACH ROW EXECUTE FUNCTION cockpit_append_only();
CREATE OR REPLACE TRIGGER reset_slots_table BEFORE TRUNCATE ON reset_slots
    FOR EACH STATEMENT EXECUTE FUNCTION cockpit_append_only();
CREATE OR REPLACE TRIGGER probe_results_rows BEFORE UPDATE OR DELETE ON probe_results
    FOR EACH ROW EXECUTE FUNCTION cockpit_append_only();
CREATE OR REPLACE TRIGGER probe_results_table BEFORE TRUNCATE ON probe_results
    FOR EACH STATEMENT EXECUTE FUNCTION cockpit_append_only();

CREATE OR REPLACE TRIGGER incident_events_rows BEFORE UPDATE OR DELETE ON incident_events
    FOR EACH ROW EXECUTE FUNCTION cockpit_append_only();
CREATE OR REPLACE TRIGGER incident_events_table BEFORE TRUNCATE ON incident_events
    FOR EACH STATEMENT EXECUTE FUNCTION cockpit_append_only();
CREATE OR REPLACE TRIGGER kill_steps_rows BEFORE UPDATE OR DELETE ON kill_steps
    FOR EACH ROW EXECUTE FUNCTION cockpit_append_only();
CREATE OR REPLACE TRIGGER kill_steps_table BEFORE TRUNCATE ON kill_steps
    FOR EACH STATEMENT EXECUTE FUNCTION cockpit_append_only();

-- The head only moves forward, one entry at a time, and stands on the entry it names.
CREATE OR REPLACE FUNCTION cockpit_head_forward() RETURNS trigger
LANGUAGE plpgsql SET search_path = pg_catalog, public AS $$
BEGIN
    IF TG_OP = 'UPDATE' THEN
        PERFORM FROM audit_log WHERE seq = NEW.seq AND prev_hash = OLD.chain_hash AND chain_hash = NEW.chain_hash;
        IF FOUND AND NEW.seq = OLD.seq + 1 THEN
            RETURN NEW;
        END IF;
    END IF;
    RAISE EXCEPTION 'audit_head moves by one appended entry only' USING ERRCODE = 'insufficient_privilege';
END $$;

CREATE OR REPLACE TRIGGER audit_head_forward BEFORE UPDATE OR DELETE ON audit_head
    FOR EACH ROW EXECUTE FUNCTION cockpit_head_forward();
CREATE OR REPLACE TRIGGER audit_head_table BEFORE TRUNCATE ON audit_head
    FOR EACH STATEMENT EXECUTE FUNCTION cockpit_append_only();

-- A genesis grant is given once; all that may change is that it was used.
CREATE OR REPLACE FUNCTION cockpit_genesis_once() RETURNS trigger
LANGUAGE plpgsql SET search_path = pg_catalog, public AS $$
BEGIN
    IF TG_OP = 'UPDATE' AND OLD.used_at IS NULL AND NEW.used_at IS NOT NULL
       AND NEW.payload = OLD.payload AND NEW.run_id = OLD.run_id AND NEW.given_at = OLD.given_at THEN
        RETURN NEW;
    END IF;
    RAISE EXCEPTION 'genesis is given and used once: % refused', TG_OP USING ERRCODE = 'insufficient_privilege';
END $$;

CREATE OR REPLACE TRIGGER genesis_rows BEFORE UPDATE OR DELETE ON genesis
    FOR EACH ROW EXECUTE FUNCTION cockpit_genesis_once();
CREATE OR REPLACE TRIGGER genesis_table BEFORE TRUNCATE ON genesis
    FOR EACH STATEMENT EXECUTE FUNCTION cockpit_append_only();
