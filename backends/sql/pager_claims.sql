-- One delivery: taken into hand, and what came of it. For the pager's login; each function runs with the owner's
-- rights. Applied after pager.sql, safe to repeat.

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
