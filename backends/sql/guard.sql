-- What the guard may do besides reading: hold its lease, publish, record what it fired. Each function runs with the
-- owner's rights and checks that the session is an automation login at this moment. Safe to repeat.

-- In which transaction a row last changed in a way that matters. A reader that remembers the snapshot of its last
-- look misses nothing and reads nothing twice.
ALTER TABLE recent_orders ADD COLUMN IF NOT EXISTS noted_tx xid8;
ALTER TABLE positions ADD COLUMN IF NOT EXISTS noted_tx xid8;
ALTER TABLE sli_samples ADD COLUMN IF NOT EXISTS noted_tx xid8;

CREATE OR REPLACE FUNCTION guard_note_row() RETURNS trigger
LANGUAGE plpgsql SET search_path = pg_catalog, public AS $$
BEGIN
    NEW.noted_tx := pg_current_xact_id();
    RETURN NEW;
END $$;
-- An order that is booked once more as it was is no new sample.
CREATE OR REPLACE FUNCTION guard_keep_note() RETURNS trigger
LANGUAGE plpgsql SET search_path = pg_catalog, public AS $$
BEGIN
    NEW.noted_tx := OLD.noted_tx;
    RETURN NEW;
END $$;

CREATE OR REPLACE TRIGGER recent_orders_noted BEFORE INSERT ON recent_orders
    FOR EACH ROW EXECUTE FUNCTION guard_note_row();
CREATE OR REPLACE TRIGGER recent_orders_changed BEFORE UPDATE ON recent_orders
    FOR EACH ROW WHEN (OLD.status IS DISTINCT FROM NEW.status OR OLD.updated_at IS DISTINCT FROM NEW.updated_at)
    EXECUTE FUNCTION guard_note_row();
CREATE OR REPLACE TRIGGER recent_orders_kept BEFORE UPDATE ON recent_orders
    FOR EACH ROW WHEN (OLD.status IS NOT DISTINCT FROM NEW.status AND OLD.updated_at IS NOT DISTINCT FROM NEW.updated_at)
    EXECUTE FUNCTION guard_keep_note();
CREATE OR REPLACE TRIGGER positions_noted BEFORE INSERT OR UPDATE ON positions
    FOR EACH ROW EXECUTE FUNCTION guard_note_row();
CREATE OR REPLACE TRIGGER sli_samples_noted BEFORE INSERT ON sli_samples
    FOR EACH ROW EXECUTE FUNCTION guard_note_row();

CREATE INDEX IF NOT EXISTS recent_orders_noted_tx ON recent_orders (noted_tx);
CREATE INDEX IF NOT EXISTS recent_orders_settled ON recent_orders (updated_at)
    INCLUDE (status, symbol) WHERE status IN ('filled', 'rejected') AND NOT paper;
CREATE INDEX IF NOT EXISTS recent_orders_fills ON recent_orders (symbol, updated_at DESC, order_id DESC)
    WHERE status = 'filled' AND NOT paper AND slippage IS NOT NULL;
CREATE INDEX IF NOT EXISTS sli_samples_noted_tx ON sli_samples (noted_tx);
CREATE INDEX IF NOT EXISTS guard_firings_rule ON guard_firings (rule, subject, fired_at DESC);

-- Rows restored into another cluster name transactions that it has not had yet. A reader would take each for new
-- when its number comes; without a number they are simply old.
DO $$
DECLARE
    noted text;
    ahead boolean;
BEGIN
    FOREACH noted IN ARRAY ARRAY['recent_orders', 'positions', 'sli_samples'] LOOP
        EXECUTE format('SELECT EXISTS (SELECT FROM %I WHERE noted_tx >= pg_snapshot_xmax(pg_current_snapshot()))', noted)
           INTO ahead;
        CONTINUE WHEN NOT ahead;
        EXECUTE format('ALTER TABLE %I DISABLE TRIGGER USER', noted);
        EXECUTE format('UPDATE %I SET noted_tx = NULL WHERE noted_tx >= pg_snapshot_xmax(pg_current_snapshot())', noted);
        EXECUTE format('ALTER TABLE %I ENABLE TRIGGER USER', noted);
    END LOOP;
END $$;

CREATE OR REPLACE FUNCTION guard_entitled() RETURNS boolean
LANGUAGE sql STABLE SECURITY DEFINER SET search_path = pg_catalog, public, pg_temp AS $$
    SELECT coalesce((
        SELECT g.role = 'automation-role' FROM public.operators o JOIN public.role_grants g USING (login)
         WHERE o.login = session_user
           AND (o.revoked_at IS NULL OR o.revoked_at > clock_timestamp())
           AND g.granted_at <= clock_timestamp()
           AND (g.expires_at IS NULL OR g.expires_at > clock_timestamp())
           AND (g.revoked_at IS NULL OR g.revoked_at > clock_timestamp())
         ORDER BY g.granted_at DESC, g.grant_id DESC LIMIT 1), false)
$$;

-- The next term, or null while another holder's lease runs.
CREATE OR REPLACE FUNCTION guard_take(p_holder text) RETURNS bigint
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, public, pg_temp AS $$
DECLARE
    taken bigint;
BEGIN
    IF p_holder IS NULL OR length(p_holder) NOT BETWEEN 1 AND 200 THEN
        RAISE EXCEPTION 'a holder has 1 to 200 characters' USING ERRCODE = 'check_violation';
    END IF;
    IF NOT public.guard_entitled() THEN
        RAISE EXCEPTION '% is no automation login', session_user USING ERRCODE = 'insufficient_privilege';
    END IF;
    -- No lock where there is nothing to take: kept in an open transaction it would stop the holder's renewals.
    PERFORM FROM public.guard_lease
      WHERE expires_at > clock_timestamp() AND (holder, login) IS DISTINCT FROM (p_holder, session_user::text);
    IF FOUND THEN
        RETURN NULL;
    END IF;
    BEGIN
        PERFORM FROM public.guard_lease FOR UPDATE NOWAIT;
    EXCEPTION WHEN lock_not_available THEN
        RETURN NULL;
    END;
    INSERT INTO public.guard_lease AS l (holder, login, term, renewed_at, expires_at)
    VALUES (p_holder, session_user, 1, clock_timestamp(), clock_timestamp() + interval '5 seconds')
    ON CONFLICT (only_row) DO UPDATE
       SET holder = excluded.holder, login = excluded.login, term = l.term + 1,
           renewed_at = clock_timestamp(), expires_at = clock_timestamp() + interval '5 seconds'
     WHERE l.expires_at <= clock_timestamp() OR (l.holder = excluded.holder AND l.login = excluded.login)
    RETURNING l.term INTO taken;
    IF taken IS NOT NULL THEN
        PERFORM pg_notify('cockpit_change', 'guard');
    END IF;
    RETURN taken;
END $$;

-- Whether the caller's term is the current one; holds a take-over back until the transaction has ended.
CREATE OR REPLACE FUNCTION guard_holds(p_holder text, p_term bigint) RETURNS boolean
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, public, pg_temp AS $$
BEGIN
    PERFORM FROM public.guard_lease
      WHERE holder = p_holder AND term = p_term AND login = session_user AND expires_at > clock_timestamp()
        FOR UPDATE;
    RETURN FOUND AND public.guard_entitled();
END $$;

-- Extends the lease and publishes; false: the term is over. One that has run out is not revived.
CREATE OR REPLACE FUNCTION guard_renew(p_holder text, p_term bigint, p_status jsonb) RETURNS boolean
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, public, pg_temp AS $$
BEGIN
    IF octet_length(p_status::text) > 262144 THEN
        RAISE EXCEPTION 'a status has at most 256 kB' USING ERRCODE = 'check_violation';
    END IF;
    IF NOT public.guard_holds(p_holder, p_term) THEN
        RETURN false;
    END IF;
    UPDATE public.guard_lease
       SET renewed_at = clock_timestamp(), expires_at = clock_timestamp() + interval '5 seconds',
           status = coalesce(p_status, status);
    RETURN true;
END $$;

CREATE OR REPLACE FUNCTION guard_release(p_holder text, p_term bigint) RETURNS boolean
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, public, pg_temp AS $$
BEGIN
    UPDATE public.guard_lease SET expires_at = clock_timestamp()
     WHERE holder = p_holder AND term = p_term AND login = session_user AND expires_at > clock_timestamp();
    RETURN FOUND;
END $$;

-- Records one firing; with a severity also its incident and page, all or nothing. Where the authority has recorded its
-- trip already, the incident which that has opened becomes the guard's, and pages again only where it is graver now.
-- While a rule's incident about a breaker waits to be acknowledged, a further firing adds to its story, unless that
-- would hide something worse: a higher severity, or that the guard could not halt (a title that begins with NOT HALTED)
-- where it could before. False: the term is over and nothing was recorded. Safe to repeat.
CREATE OR REPLACE FUNCTION guard_fire(
    p_holder text, p_term bigint, p_firing_id uuid, p_rule text, p_mode text, p_effect text, p_aim text,
    p_breaker_id text, p_subject text, p_value double precision, p_threshold double precision, p_samples jsonb,
    p_fired_at timestamptz, p_severity text, p_classification text, p_title text) RETURNS boolean
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, public, pg_temp AS $$
DECLARE
    known  uuid;
    page   text;
    before text;
BEGIN
    IF p_rule !~ '^[a-z][a-z0-9-]{0,62}$' OR length(p_title) > 300 OR length(p_subject) > 100
       OR length(p_aim) > 100 OR length(p_breaker_id) > 100 OR length(p_classification) > 100 OR octet_length(p_samples::text) > 16384 THEN
        RAISE EXCEPTION 'this is no firing' USING ERRCODE = 'check_violation';
    END IF;
    IF NOT public.guard_holds(p_holder, p_term) THEN
        RETURN false;
    END IF;
    INSERT INTO public.guard_firings
           (firing_id, term, rule, mode, effect, aim, breaker_id, subject, value, threshold, samples, fired_at)
    VALUES (p_firing_id, p_term, p_rule, p_mode, p_effect, p_aim, p_breaker_id, p_subject, p_value, p_threshold,
            p_samples, least(p_fired_at, clock_timestamp()))
    ON CONFLICT (firing_id) DO NOTHING;
    IF NOT FOUND THEN
        RETURN true;
    END IF;
    IF p_severity IS NOT NULL AND p_mode = 'live' THEN
        -- The authority holds this while it records the trip. Whoever may keep it for ever delays no page by more.
        FOR tries IN 1..100 LOOP
            EXIT WHEN pg_try_advisory_xact_lock(hashtextextended('firing:' || p_firing_id::text, 0));
            PERFORM pg_sleep(0.01);
        END LOOP;
        SELECT incident_id, severity INTO known, before FROM public.incidents
         WHERE dedup_key = 'trip:' || p_firing_id AND source = 'trip' AND status = 'open'
           AND breaker_id = p_breaker_id AND opened_by = session_user;
        IF known IS NOT NULL THEN
            UPDATE public.incidents
               SET source = 'guard', severity = least(severity, p_severity), classification = p_classification, title = p_title,
                   alarm_at = CASE WHEN p_severity < severity THEN clock_timestamp() ELSE alarm_at END
             WHERE incident_id = known AND status = 'open';
            IF NOT FOUND THEN
                known := NULL;  -- somebody has just acknowledged what they knew of it: this is more
            ELSIF p_severity < before THEN
                INSERT INTO public.outbox (dedup_key, incident_id, event, severity, title, details)
                SELECT coalesce((SELECT dedup_key FROM public.outbox WHERE incident_id = known ORDER BY outbox_id LIMIT 1),
                                'incident:' || known), known, 'trigger', p_severity, p_title, jsonb_build_object(
                    'rule', p_rule, 'aim', p_aim, 'breaker_id', p_breaker_id, 'subject', p_subject, 'value', p_value,
                    'threshold', p_threshold, 'samples', p_samples, 'firing_id', p_firing_id);
                INSERT INTO public.incident_events (incident_id, kind, actor, notes, details)
                VALUES (known, 'escalated', session_user, '', jsonb_build_object('severity', p_severity, 'before', before));
            END IF;
        END IF;
        IF known IS NULL THEN
            SELECT incident_id INTO known FROM public.incidents i
             WHERE source = 'guard' AND status = 'open' AND breaker_id = p_breaker_id  -- what recovery demands is a breaker's
               AND (split_part(dedup_key, ':', 2) = p_rule
                    OR (dedup_key LIKE 'trip:%' AND p_rule = (
                            SELECT details ->> 'rule' FROM public.incident_events e
                             WHERE e.incident_id = i.incident_id AND kind = 'fired' ORDER BY event_id LIMIT 1)))
               AND severity <= p_severity AND (title LIKE 'NOT HALTED%' OR p_title NOT LIKE 'NOT HALTED%')
               AND classification = p_classification  -- what somebody has renamed may demand less of a recovery
             ORDER BY opened_at DESC LIMIT 1;
        END IF;
        -- No guard has so many rules: a login that invents them drowns nobody in incidents and pages.
        IF known IS NULL AND 30 <= (SELECT count(*) FROM public.incidents WHERE source = 'guard' AND severity = p_severity
                                       AND opened_at > clock_timestamp() - interval '1 minute') THEN
            SELECT incident_id INTO known FROM public.incidents WHERE source = 'guard' AND severity <= p_severity
             ORDER BY opened_at DESC LIMIT 1;
        END IF;
        IF known IS NULL THEN
            page := 'guard:' || p_rule || ':' || p_firing_id;
            INSERT INTO public.incidents
                   (severity, classification, title, source, breaker_id, breakers, dedup_key, opened_by)
            VALUES (p_severity, p_classification, p_title, 'guard', p_breaker_id,
                    CASE WHEN p_breaker_id LIKE 'latch:%' THEN ARRAY['instrument:' || split_part(p_breaker_id, ':', 2)]
                         ELSE '{}' END, page, session_user)
            RETURNING incident_id INTO known;
            INSERT INTO public.outbox (dedup_key, incident_id, event, severity, title, details)
            VALUES (page, known, 'trigger', p_severity, p_title, jsonb_build_object(
                'rule', p_rule, 'aim', p_aim, 'breaker_id', p_breaker_id, 'subject', p_subject, 'value', p_value,
                'threshold', p_threshold, 'samples', p_samples, 'firing_id', p_firing_id));
        END IF;
        UPDATE public.incidents SET last_event_at = clock_timestamp() WHERE incident_id = known;
        INSERT INTO public.incident_events (incident_id, kind, actor, notes, details)
        VALUES (known, 'fired', session_user, p_title, jsonb_build_object(
            'rule', p_rule, 'firing_id', p_firing_id, 'subject', p_subject, 'value', p_value, 'threshold', p_threshold,
            'severity', p_severity, 'classification', p_classification));
    END IF;
    PERFORM pg_notify('cockpit_change', 'guard');
    RETURN true;
END $$;
