-- Pages on their way: what the pager may do, and what everybody may see of it. The pager's login reads and writes no
-- table; each function runs with the owner's rights. Safe to repeat.

-- spread: the receivers that have a delivery of it. settled_at: nothing more is to be done for it, be it delivered,
-- given up, or left unsent for the reason in `unsent`. delivered_at: when it first reached a receiver.
ALTER TABLE outbox
    ADD COLUMN IF NOT EXISTS spread     text[] NOT NULL DEFAULT '{}',
    ADD COLUMN IF NOT EXISTS settled_at timestamptz,
    ADD COLUMN IF NOT EXISTS unsent     text;
CREATE INDEX IF NOT EXISTS outbox_unsettled ON outbox (outbox_id) WHERE settled_at IS NULL;
-- severity: its page's, for the index. busy_until: a pager sends it at this moment, or died while it did. skipped: why it was not worth sending any more.
-- resend_at: when a receiver that forgets is told again that the incident is alive.
ALTER TABLE page_deliveries
    ADD COLUMN IF NOT EXISTS severity   text NOT NULL DEFAULT 'P3',
    ADD COLUMN IF NOT EXISTS busy_until timestamptz,
    ADD COLUMN IF NOT EXISTS skipped    text,
    ADD COLUMN IF NOT EXISTS resend_at  timestamptz;
CREATE INDEX IF NOT EXISTS page_deliveries_open ON page_deliveries (receiver, severity, outbox_id)
    WHERE delivered_at IS NULL AND given_up_at IS NULL AND skipped IS NULL;
CREATE INDEX IF NOT EXISTS page_deliveries_left ON page_deliveries (outbox_id)
    WHERE delivered_at IS NULL AND given_up_at IS NULL AND skipped IS NULL;
CREATE INDEX IF NOT EXISTS page_deliveries_given_up ON page_deliveries (given_up_at) WHERE given_up_at IS NOT NULL;
CREATE INDEX IF NOT EXISTS page_deliveries_delivered ON page_deliveries (delivered_at) WHERE delivered_at IS NOT NULL;
CREATE INDEX IF NOT EXISTS page_deliveries_resend ON page_deliveries (receiver, resend_at) WHERE resend_at IS NOT NULL;

-- Signs of life: any number of pagers run.
CREATE TABLE IF NOT EXISTS pagers (
    holder     text PRIMARY KEY,
    receivers  text[] NOT NULL,
    minimum    text NOT NULL,
    faults     text[] NOT NULL DEFAULT '{}',
    renewed_at timestamptz NOT NULL DEFAULT clock_timestamp()
);
-- One row for each receiver: who claims for it locks it, so that pages of one incident stay in order. minimum: of the
-- pager that last had it, which is gone from `pagers` where it ended in order.
CREATE TABLE IF NOT EXISTS pager_receivers (
    receiver          text PRIMARY KEY,
    served_at         timestamptz NOT NULL DEFAULT clock_timestamp(), -- a pager last had it
    paused_until      timestamptz,                -- it asked for a rest
    last_delivered_at timestamptz,
    last_failed_at    timestamptz,
    last_error        text
);
ALTER TABLE pager_receivers ADD COLUMN IF NOT EXISTS minimum text;

CREATE OR REPLACE FUNCTION pager_known(p_receivers text[]) RETURNS void
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, public, pg_temp AS $$
BEGIN
    IF p_receivers IS NULL OR cardinality(p_receivers) > 8 OR EXISTS (
           SELECT FROM unnest(p_receivers) r WHERE r IS NULL OR r !~ '^[a-z][a-z0-9-]{0,39}$') THEN
        RAISE EXCEPTION 'these are no receivers' USING ERRCODE = 'check_violation';
    END IF;
END $$;

-- Settles what needs nothing more: every receiver of every living pager has it, or will not have it. Null: whatever.
-- A burst may put ten thousand rows into tables that were empty when they were last analysed. The planner would then
-- look at all of them for each of them: so it is held to the indexes, and told of bursts.
CREATE OR REPLACE FUNCTION pager_settle(p_outbox_ids bigint[]) RETURNS void
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, public, pg_temp SET enable_seqscan = off AS $$
DECLARE
    served text[];
BEGIN
    SELECT coalesce(array_agg(DISTINCT r), '{}') INTO served
      FROM public.pagers p, unnest(p.receivers) r WHERE p.renewed_at > clock_timestamp() - interval '30 seconds';
    UPDATE public.outbox o SET settled_at = clock_timestamp()
     WHERE o.outbox_id IN (
           SELECT n.outbox_id FROM public.outbox n
            WHERE n.settled_at IS NULL AND n.spread <> '{}' AND n.spread @> served
              AND (p_outbox_ids IS NULL OR n.outbox_id = ANY (p_outbox_ids)) AND NOT EXISTS (
                  SELECT FROM public.page_deliveries d WHERE d.outbox_id = n.outbox_id
                     AND d.delivered_at IS NULL AND d.given_up_at IS NULL AND d.skipped IS NULL)
              FOR UPDATE SKIP LOCKED);
END $$;

-- A pager's sign of life, every few seconds.
CREATE OR REPLACE FUNCTION pager_sign(p_holder text, p_receivers text[], p_minimum text, p_faults text[]) RETURNS void
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, public, pg_temp SET enable_seqscan = off AS $$
BEGIN
    PERFORM public.pager_known(p_receivers);
    IF p_holder IS NULL OR length(p_holder) NOT BETWEEN 1 AND 200 OR length(p_minimum) > 20 OR cardinality(p_faults) > 20
       OR EXISTS (SELECT FROM unnest(p_faults) f WHERE length(f) > 300) THEN
        RAISE EXCEPTION 'this is no sign of life' USING ERRCODE = 'check_violation';
    END IF;
    DELETE FROM public.pagers WHERE renewed_at < clock_timestamp() - interval '1 day' AND holder <> p_holder;
    INSERT INTO public.pagers AS p (holder, receivers, minimum, faults)
    VALUES (p_holder, p_receivers, p_minimum, coalesce(p_faults, '{}'))
    ON CONFLICT (holder) DO UPDATE SET receivers = excluded.receivers, minimum = excluded.minimum,
           faults = excluded.faults, renewed_at = clock_timestamp();
    INSERT INTO public.pager_receivers AS known (receiver, minimum) SELECT DISTINCT r, p_minimum FROM unnest(p_receivers) r
    ON CONFLICT (receiver) DO UPDATE SET served_at = clock_timestamp(), minimum = excluded.minimum;
    UPDATE public.page_deliveries d SET skipped = 'no pager has had this receiver for a day', busy_until = NULL
      FROM public.pager_receivers r
     WHERE r.served_at < clock_timestamp() - interval '1 day' AND d.receiver = r.receiver
       AND d.delivered_at IS NULL AND d.given_up_at IS NULL AND d.skipped IS NULL;
    PERFORM public.pager_settle(NULL);
END $$;

-- A pager that ends in order.
CREATE OR REPLACE FUNCTION pager_end(p_holder text) RETURNS void
LANGUAGE sql SECURITY DEFINER SET search_path = pg_catalog, public, pg_temp AS $$
    DELETE FROM public.pagers WHERE holder = p_holder
$$;

-- Makes the deliveries of what is new, a thousand at a time and the gravest first, and settles what is not worth a page:
-- below the minimum; or old, and somebody knows of it. p_severities: those that are paged.
CREATE OR REPLACE FUNCTION pager_spread(p_receivers text[], p_severities text[]) RETURNS void
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, public, pg_temp SET enable_seqscan = off AS $$
DECLARE
    made bigint;
BEGIN
    PERFORM public.pager_known(p_receivers);
    UPDATE public.outbox o
       SET settled_at = clock_timestamp(),
           unsent = CASE WHEN o.severity = ANY (p_severities) THEN 'over before anybody was paged'
                         ELSE 'below the minimum severity' END
     WHERE o.outbox_id IN (
           SELECT n.outbox_id FROM public.outbox n
            WHERE n.settled_at IS NULL AND n.event = 'trigger' AND n.spread = '{}'
              AND (n.severity <> ALL (p_severities)
                   OR (n.created_at < clock_timestamp() - interval '1 day' AND EXISTS (
                       SELECT FROM public.incidents i WHERE i.incident_id = n.incident_id AND i.status <> 'open')))
              FOR UPDATE SKIP LOCKED);
    WITH fresh AS (
        SELECT outbox_id, severity FROM public.outbox
         WHERE settled_at IS NULL AND NOT spread @> p_receivers
         ORDER BY severity, outbox_id LIMIT 1000 FOR UPDATE SKIP LOCKED),
    made AS (
        INSERT INTO public.page_deliveries (outbox_id, receiver, severity)
        SELECT f.outbox_id, r, f.severity FROM fresh f CROSS JOIN unnest(p_receivers) r ON CONFLICT DO NOTHING)
    UPDATE public.outbox o
       SET spread = (SELECT array_agg(DISTINCT r ORDER BY r) FROM unnest(o.spread || p_receivers) r)
      FROM fresh WHERE o.outbox_id = fresh.outbox_id;
    GET DIAGNOSTICS made = ROW_COUNT;
    IF made >= 200 THEN
        ANALYZE public.outbox, public.page_deliveries;
    END IF;
END $$;

-- Takes up to p_limit deliveries for p_receiver into hand for p_busy_s seconds, the gravest first. Of one incident
-- only one at a time, in order. p_resends: the receiver forgets, so what is alive is told again, as `again`.
CREATE OR REPLACE FUNCTION pager_claim(p_receiver text, p_limit int, p_busy_s double precision, p_resends boolean)
RETURNS TABLE (outbox_id bigint, attempt int, again boolean, key text, incident_id uuid, event text, severity text,
               title text, details jsonb, created_at timestamptz, opened_at timestamptz, status text,
               classification text, breaker_id text, owner text, acknowledged_by text, other_severities text[])
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, public, pg_temp SET enable_seqscan = off AS $$
#variable_conflict use_column
DECLARE
    at timestamptz;
    due bigint[];
    moot bigint[];
    more bigint[];
BEGIN
    IF p_limit IS NULL OR p_limit NOT BETWEEN 1 AND 100 OR p_busy_s IS NULL OR p_busy_s NOT BETWEEN 1 AND 300 THEN
        RAISE EXCEPTION 'nobody can have so many in hand' USING ERRCODE = 'check_violation';
    END IF;
    PERFORM FROM public.pager_receivers r WHERE r.receiver = p_receiver
       AND (r.paused_until IS NULL OR r.paused_until <= clock_timestamp()) FOR UPDATE SKIP LOCKED;
    IF NOT FOUND THEN
        RETURN;  -- another pager claims for it at this moment, or it rests
    END IF;
    at := clock_timestamp();
    due := ARRAY(
        SELECT d.outbox_id FROM public.page_deliveries d
         WHERE d.receiver = p_receiver AND d.delivered_at IS NULL AND d.given_up_at IS NULL AND d.skipped IS NULL
           AND d.next_attempt_at <= at AND (d.busy_until IS NULL OR d.busy_until <= at)
         ORDER BY d.severity, d.outbox_id LIMIT 300);
    -- Not worth sending any more: what a later trigger of the incident says better, also where it waits for its next
    -- attempt; and what is over before it was sent. What was tried may have been heard.
    WITH gone AS (
        UPDATE public.page_deliveries d SET skipped = 'a later page says more', busy_until = NULL
          FROM public.outbox o, public.outbox n
         WHERE n.outbox_id = ANY (due) AND n.event = 'trigger' AND o.incident_id = n.incident_id
           AND o.outbox_id < n.outbox_id AND o.event = 'trigger' AND d.outbox_id = o.outbox_id
           AND d.receiver = p_receiver AND d.delivered_at IS NULL AND d.given_up_at IS NULL AND d.skipped IS NULL
           AND (d.busy_until IS NULL OR d.busy_until <= at)
        RETURNING d.outbox_id)
    SELECT array_agg(g.outbox_id) INTO moot FROM gone g;
    WITH gone AS (
        UPDATE public.page_deliveries d SET skipped = 'resolved before it was sent', busy_until = NULL
          FROM public.outbox o
         WHERE d.outbox_id = ANY (due) AND o.outbox_id = d.outbox_id AND o.event = 'trigger' AND d.attempts = 0
           AND d.receiver = p_receiver AND d.skipped IS NULL AND EXISTS (
               SELECT FROM public.outbox n
                WHERE n.incident_id = o.incident_id AND n.outbox_id > o.outbox_id AND n.event = 'resolve')
        RETURNING d.outbox_id)
    SELECT array_agg(g.outbox_id) INTO more FROM gone g;
    moot := moot || more;
    -- Then, in the light of that, the end of what the receiver never heard of.
    WITH gone AS (
        UPDATE public.page_deliveries d SET skipped = 'nothing of it was sent there', busy_until = NULL
          FROM public.outbox o
         WHERE d.outbox_id = ANY (due) AND o.outbox_id = d.outbox_id AND o.event <> 'trigger'
           AND d.receiver = p_receiver AND NOT EXISTS (
               SELECT FROM public.outbox n LEFT JOIN public.page_deliveries e
                   ON e.outbox_id = n.outbox_id AND e.receiver = p_receiver
                WHERE n.incident_id = o.incident_id AND n.outbox_id < o.outbox_id AND n.event = 'trigger'
                  AND (CASE WHEN e.outbox_id IS NULL THEN n.settled_at IS NULL
                            ELSE e.delivered_at IS NOT NULL OR e.attempts > 1
                                 OR (e.attempts = 1 AND e.given_up_at IS NULL)
                                 OR (e.given_up_at IS NULL AND e.skipped IS NULL) END))
        RETURNING d.outbox_id)
    SELECT array_agg(g.outbox_id) INTO more FROM gone g;
    moot := moot || more;
    IF cardinality(moot) > 0 THEN
        PERFORM public.pager_settle(moot);
    END IF;
    RETURN QUERY
    WITH first AS (
        (SELECT d.outbox_id, false AS again, d.severity
           FROM public.page_deliveries d JOIN public.outbox o USING (outbox_id)
          WHERE d.outbox_id = ANY (due) AND d.receiver = p_receiver AND d.skipped IS NULL
            AND NOT EXISTS (
                SELECT FROM public.outbox n LEFT JOIN public.page_deliveries e
                    ON e.outbox_id = n.outbox_id AND e.receiver = p_receiver
                 WHERE n.incident_id = o.incident_id AND n.outbox_id <> o.outbox_id
                   AND (e.busy_until > at
                        OR (n.outbox_id < o.outbox_id AND n.settled_at IS NULL AND (e.outbox_id IS NULL
                            OR (e.delivered_at IS NULL AND e.given_up_at IS NULL AND e.skipped IS NULL))))))
        UNION ALL
        (SELECT d.outbox_id, true, d.severity
           FROM public.page_deliveries d JOIN public.outbox o USING (outbox_id)
           JOIN public.incidents i ON i.incident_id = o.incident_id AND i.status IN ('open', 'acknowledged')
          WHERE p_resends AND d.receiver = p_receiver AND d.resend_at <= at
            AND (d.busy_until IS NULL OR d.busy_until <= at)
            AND NOT EXISTS (
                SELECT FROM public.outbox n JOIN public.page_deliveries e
                    ON e.outbox_id = n.outbox_id AND e.receiver = p_receiver
                 WHERE n.incident_id = o.incident_id AND n.outbox_id <> o.outbox_id AND e.busy_until > at)
          ORDER BY d.resend_at LIMIT p_limit)
         ORDER BY again, severity, outbox_id LIMIT p_limit),
    taken AS (
        UPDATE public.page_deliveries d
           SET busy_until = at + make_interval(secs => p_busy_s), attempts = d.attempts + (NOT first.again)::int
          FROM first WHERE d.outbox_id = first.outbox_id AND d.receiver = p_receiver
        RETURNING d.outbox_id, d.attempts, first.again)
    SELECT t.outbox_id, t.attempts, t.again,
           coalesce((SELECT n.dedup_key FROM public.outbox n WHERE n.incident_id = o.incident_id
                      ORDER BY n.outbox_id LIMIT 1), o.dedup_key),
           o.incident_id, o.event, o.severity, o.title, o.details, o.created_at, coalesce(i.opened_at, o.created_at),
           i.status, i.classification, i.breaker_id, i.owner, i.acknowledged_by,
           coalesce((SELECT array_agg(DISTINCT n.severity) FROM public.outbox n JOIN public.page_deliveries e
                         ON e.outbox_id = n.outbox_id AND e.receiver = p_receiver AND e.attempts > 0
                      WHERE n.incident_id = o.incident_id AND n.event = 'trigger' AND n.outbox_id < o.outbox_id
                        AND n.severity <> o.severity), '{}')
      FROM taken t JOIN public.outbox o USING (outbox_id) LEFT JOIN public.incidents i ON i.incident_id = o.incident_id
     ORDER BY t.again, o.severity, t.outbox_id;
END $$;

-- What came of one attempt: delivered, failed (again in p_wait_s) or given-up. What another pager has since taken in
-- hand counts only where it was delivered. p_rest_s: the receiver wants a rest. p_resend_s: it forgets after a while.
CREATE OR REPLACE FUNCTION pager_record(
    p_receiver text, p_outbox_id bigint, p_attempt int, p_again boolean, p_outcome text, p_error text,
    p_wait_s double precision, p_rest_s double precision, p_resend_s double precision) RETURNS void
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, public, pg_temp SET enable_seqscan = off AS $$
DECLARE
    at timestamptz := clock_timestamp();
BEGIN
    IF p_outcome NOT IN ('delivered', 'failed', 'given-up') OR p_outcome IS NULL OR length(p_error) > 300
       OR p_wait_s NOT BETWEEN 0 AND 3600 OR p_rest_s NOT BETWEEN 0 AND 3600 OR p_resend_s NOT BETWEEN 1 AND 3600 THEN
        RAISE EXCEPTION 'this is no outcome' USING ERRCODE = 'check_violation';
    END IF;
    IF p_again THEN
        UPDATE public.page_deliveries d
           SET busy_until = NULL, last_error = p_error,
               resend_at = at + make_interval(secs => CASE WHEN p_outcome = 'failed' THEN p_wait_s ELSE p_resend_s END)
         WHERE d.outbox_id = p_outbox_id AND d.receiver = p_receiver AND d.resend_at IS NOT NULL;
    ELSIF p_outcome = 'delivered' THEN
        UPDATE public.page_deliveries d
           SET delivered_at = coalesce(d.delivered_at, at), given_up_at = NULL, busy_until = NULL, last_error = NULL,
               resend_at = CASE WHEN o.event = 'trigger' THEN at + make_interval(secs => p_resend_s) END
          FROM public.outbox o
         WHERE o.outbox_id = d.outbox_id AND d.outbox_id = p_outbox_id AND d.receiver = p_receiver AND d.attempts > 0;
        UPDATE public.outbox o SET delivered_at = at
         WHERE o.outbox_id = p_outbox_id AND o.delivered_at IS NULL;
        UPDATE public.page_deliveries d SET resend_at = NULL
          FROM public.outbox n, public.outbox o
         WHERE n.outbox_id = p_outbox_id AND o.incident_id = n.incident_id AND o.outbox_id < n.outbox_id
           AND n.event <> 'acknowledge' AND d.outbox_id = o.outbox_id AND d.receiver = p_receiver
           AND d.resend_at IS NOT NULL;
    ELSE
        UPDATE public.page_deliveries d
           SET busy_until = NULL, last_error = p_error, next_attempt_at = at + make_interval(secs => p_wait_s),
               given_up_at = CASE WHEN p_outcome = 'given-up' THEN at END
         WHERE d.outbox_id = p_outbox_id AND d.receiver = p_receiver AND d.attempts = p_attempt
           AND d.delivered_at IS NULL AND d.given_up_at IS NULL AND d.skipped IS NULL;
    END IF;
    UPDATE public.pager_receivers r
       SET last_delivered_at = CASE WHEN p_outcome = 'delivered' THEN at ELSE r.last_delivered_at END,
           last_failed_at = CASE WHEN p_outcome = 'delivered' THEN r.last_failed_at ELSE at END,
           last_error = CASE WHEN p_outcome = 'delivered' THEN NULL ELSE p_error END,
           paused_until = CASE WHEN p_rest_s > 0 THEN at + make_interval(secs => p_rest_s) ELSE r.paused_until END
     WHERE r.receiver = p_receiver;
    IF NOT p_again THEN
        PERFORM public.pager_settle(ARRAY[p_outbox_id]);
        PERFORM pg_notify('cockpit_change', 'pages');
    END IF;
END $$;

-- How paging stands, for the desk. `renewed_at` null: no pager has ever run. `waiting`: pages that are not at every
-- receiver yet, of the severities that the pagers send, or that the last of them sent; `failed`: deliveries that failed and were not made since. One that was given up is told for a day, and
-- for as long as its incident is unacknowledged.
CREATE OR REPLACE FUNCTION paging_state() RETURNS jsonb
LANGUAGE sql STABLE SET search_path = pg_catalog, public, pg_temp AS $$
WITH minima AS (
    SELECT p.minimum FROM pagers p
     WHERE p.renewed_at = (SELECT max(renewed_at) FROM pagers)
        OR p.renewed_at > statement_timestamp() - interval '30 seconds'
    UNION
    SELECT r.minimum FROM pager_receivers r
     WHERE NOT EXISTS (SELECT FROM pagers) AND r.served_at = (SELECT max(served_at) FROM pager_receivers)),
least AS ( -- P3 is never paged; what no pager has named yet may be anything
    SELECT CASE WHEN bool_and(minimum = 'critical') THEN 'P1' WHEN bool_and(minimum IN ('critical', 'warning')) THEN 'P2'
                ELSE 'P3' END AS severity FROM minima),
troubled AS (
    (SELECT d.*, o.incident_id, o.event, o.title, o.created_at
       FROM page_deliveries d JOIN outbox o USING (outbox_id)
      WHERE d.delivered_at IS NULL AND d.given_up_at IS NULL AND d.skipped IS NULL)
    UNION ALL
    (SELECT d.*, o.incident_id, o.event, o.title, o.created_at
       FROM page_deliveries d JOIN outbox o USING (outbox_id) LEFT JOIN incidents i ON i.incident_id = o.incident_id
      WHERE d.given_up_at IS NOT NULL AND d.delivered_at IS NULL
        AND (d.given_up_at > statement_timestamp() - interval '1 day' OR i.status = 'open')))
SELECT jsonb_build_object(
    'renewed_at', (SELECT max(renewed_at) FROM pagers),
    'receivers', (SELECT coalesce(jsonb_agg(DISTINCT r), '[]') FROM pagers p, unnest(p.receivers) r
                   WHERE p.renewed_at = (SELECT max(renewed_at) FROM pagers)
                      OR p.renewed_at > statement_timestamp() - interval '30 seconds'),
    'faults', (SELECT coalesce(jsonb_agg(DISTINCT f), '[]') FROM pagers p, unnest(p.faults) f
                WHERE p.renewed_at > statement_timestamp() - interval '30 seconds'),
    'waiting', (SELECT count(*) FROM outbox o, least l
                 WHERE o.settled_at IS NULL AND (o.severity <= l.severity OR o.spread <> '{}')),
    'failed', (SELECT count(*) FROM troubled WHERE given_up_at IS NOT NULL OR last_error IS NOT NULL),
    'rows', (SELECT coalesce(jsonb_agg(jsonb_build_object(
                 'incident_id', t.incident_id, 'event', t.event, 'severity', t.severity, 'title', left(t.title, 300),
                 'receiver', t.receiver, 'attempts', t.attempts, 'created_at', t.created_at,
                 'next_attempt_at', t.next_attempt_at, 'last_error', coalesce(t.last_error, ''),
                 'given_up', t.given_up_at IS NOT NULL)
                 ORDER BY t.given_up_at IS NULL, t.severity, t.outbox_id, t.receiver), '[]')
               FROM (SELECT * FROM troubled
                      ORDER BY given_up_at IS NULL, severity, outbox_id, receiver LIMIT 50) t),
    'delivered', (SELECT coalesce(jsonb_object_agg(incident_id, first), '{}') FROM (
                      SELECT o.incident_id, min(d.delivered_at) AS first
                        FROM page_deliveries d JOIN outbox o USING (outbox_id)
                       WHERE d.delivered_at > statement_timestamp() - interval '1 hour'
                         AND o.event = 'trigger' AND o.incident_id IS NOT NULL
                       GROUP BY o.incident_id ORDER BY 2 DESC LIMIT 200) s))
$$;
