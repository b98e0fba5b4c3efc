-- Pages as people and the authority see them: how paging stands, what was given up, and sending that again.
-- Applied after pager.sql, safe to repeat.

-- What a screen asks for each second is in the indexes, however much there is of it.
CREATE INDEX IF NOT EXISTS page_deliveries_worst ON page_deliveries (severity, outbox_id, receiver)
    WHERE delivered_at IS NULL AND given_up_at IS NULL AND skipped IS NULL;
CREATE INDEX IF NOT EXISTS page_deliveries_failing ON page_deliveries (outbox_id)
    WHERE delivered_at IS NULL AND given_up_at IS NULL AND skipped IS NULL AND last_error IS NOT NULL;
CREATE INDEX IF NOT EXISTS page_deliveries_refused ON page_deliveries (given_up_at, severity, outbox_id, receiver)
    WHERE given_up_at IS NOT NULL AND delivered_at IS NULL;
CREATE INDEX IF NOT EXISTS outbox_delivered ON outbox (delivered_at, incident_id)
    WHERE event = 'trigger' AND incident_id IS NOT NULL AND delivered_at IS NOT NULL;
DROP INDEX IF EXISTS page_deliveries_given_up; -- the one above serves what it did
DROP INDEX IF EXISTS page_deliveries_delivered;

-- Deliveries that were given up and are still told of, and why one must not be made again (null: it may). A receiver
-- is never told what the incident no longer is, nor anything older than what it knows of it.
CREATE OR REPLACE VIEW pages_given_up AS
SELECT d.outbox_id, d.receiver, d.severity, d.attempts, d.last_error, d.given_up_at,
       o.incident_id, o.event, o.title, o.created_at, i.status,
       CASE WHEN o.event = 'trigger' AND i.status NOT IN ('open', 'acknowledged') THEN 'its incident is over'
            WHEN o.event = 'acknowledge' AND i.status = 'open' THEN 'its incident is open again'
            WHEN EXISTS (
                SELECT FROM outbox n JOIN page_deliveries e ON e.outbox_id = n.outbox_id AND e.receiver = d.receiver
                 WHERE n.incident_id = o.incident_id AND n.outbox_id > o.outbox_id
                   AND (e.delivered_at IS NOT NULL OR e.busy_until > statement_timestamp()))
                THEN 'a later page of its incident went there'
            WHEN EXISTS (SELECT FROM pagers p WHERE p.renewed_at > statement_timestamp() - interval '30 seconds')
                 AND NOT EXISTS (SELECT FROM pagers p WHERE p.renewed_at > statement_timestamp() - interval '30 seconds'
                                    AND d.receiver = ANY (p.receivers))
                THEN 'no running pager has this receiver' END AS obstacle
  FROM page_deliveries d JOIN outbox o USING (outbox_id) LEFT JOIN incidents i USING (incident_id)
 WHERE d.given_up_at IS NOT NULL AND d.delivered_at IS NULL
   AND (d.given_up_at > statement_timestamp() - interval '1 day' OR i.status = 'open');

-- Has deliveries made again that were given up, all that may be or those of p_pages, for the authority. They keep
-- their page and so its keys: who has taken it all the same can tell. An acknowledgement that was left out because
-- nothing had been sent there follows its trigger.
CREATE OR REPLACE FUNCTION pages_retry(p_pages bigint[])
RETURNS TABLE (outbox_id bigint, receiver text, incident_id uuid, event text, severity text)
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, public, pg_temp AS $$
#variable_conflict use_column
DECLARE
    at timestamptz := clock_timestamp();
BEGIN
    RETURN QUERY
    WITH again AS (
        UPDATE public.page_deliveries d SET given_up_at = NULL, next_attempt_at = at, busy_until = NULL
          FROM public.pages_given_up v
         WHERE v.obstacle IS NULL AND (p_pages IS NULL OR v.outbox_id = ANY (p_pages))
           AND d.outbox_id = v.outbox_id AND d.receiver = v.receiver
           AND d.given_up_at IS NOT NULL AND d.delivered_at IS NULL
        RETURNING d.outbox_id, d.receiver, v.incident_id, v.event, v.severity, v.status),
    followed AS (
        UPDATE public.page_deliveries e SET skipped = NULL
          FROM again a JOIN public.outbox n ON n.incident_id = a.incident_id AND n.outbox_id > a.outbox_id
         WHERE a.event = 'trigger' AND a.status = 'acknowledged' AND n.event = 'acknowledge'
           AND e.outbox_id = n.outbox_id AND e.receiver = a.receiver AND e.skipped = 'nothing of it was sent there'
        RETURNING e.outbox_id),
    unsettled AS (
        UPDATE public.outbox o SET settled_at = NULL
         WHERE o.outbox_id IN (SELECT a.outbox_id FROM again a UNION SELECT f.outbox_id FROM followed f))
    SELECT a.outbox_id, a.receiver, a.incident_id, a.event, a.severity FROM again a ORDER BY 5, 1, 2;
END $$;

-- How paging stands, for the desk. `renewed_at` null: no pager has ever run. `waiting`: pages that are not at every
-- receiver yet, of the severities that the pagers send, or that the last of them sent; `failed`: deliveries that failed
-- and were not made since. One that was given up is told for a day, and for as long as its incident is unacknowledged.
-- `delivered`: the incidents whose pages newly arrived, up to 200 of the last hour.
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
refused AS (
    (SELECT d.severity, d.outbox_id, d.receiver FROM page_deliveries d
      WHERE d.delivered_at IS NULL AND d.given_up_at > statement_timestamp() - interval '1 day')
    UNION ALL
    (SELECT d.severity, d.outbox_id, d.receiver
       FROM page_deliveries d JOIN outbox o USING (outbox_id) JOIN incidents i USING (incident_id)
      WHERE d.delivered_at IS NULL AND d.given_up_at <= statement_timestamp() - interval '1 day' AND i.status = 'open')),
listed AS ( -- chosen by what the indexes hold; only these are read whole
    (SELECT severity, outbox_id, receiver, true AS given_up FROM refused ORDER BY 1, 2, 3 LIMIT 50)
    UNION ALL
    (SELECT severity, outbox_id, receiver, false FROM page_deliveries
      WHERE delivered_at IS NULL AND given_up_at IS NULL AND skipped IS NULL ORDER BY 1, 2, 3 LIMIT 50)
     ORDER BY given_up DESC, severity, outbox_id, receiver LIMIT 50)
SELECT jsonb_build_object(
    'renewed_at', (SELECT max(renewed_at) FROM pagers),
    'receivers', (SELECT coalesce(jsonb_agg(DISTINCT r), '[]') FROM pagers p, unnest(p.receivers) r
                   WHERE p.renewed_at = (SELECT max(renewed_at) FROM pagers)
                      OR p.renewed_at > statement_timestamp() - interval '30 seconds'),
    'faults', (SELECT coalesce(jsonb_agg(DISTINCT f), '[]') FROM pagers p, unnest(p.faults) f
                WHERE p.renewed_at > statement_timestamp() - interval '30 seconds'),
    'waiting', (SELECT count(*) FROM outbox o, least l
                 WHERE o.settled_at IS NULL AND (o.severity <= l.severity OR o.spread <> '{}')),
    'failed', (SELECT count(*) FROM refused) + (
        SELECT count(*) FROM page_deliveries
         WHERE delivered_at IS NULL AND given_up_at IS NULL AND skipped IS NULL AND last_error IS NOT NULL),
    'rows', (SELECT coalesce(jsonb_agg(jsonb_build_object(
                 'page', o.outbox_id, 'incident_id', o.incident_id, 'event', o.event, 'severity', l.severity,
                 'title', left(o.title, 300), 'receiver', l.receiver, 'attempts', d.attempts,
                 'created_at', o.created_at, 'next_attempt_at', d.next_attempt_at,
                 'last_error', coalesce(d.last_error, ''), 'given_up', l.given_up)
                 ORDER BY l.given_up DESC, l.severity, l.outbox_id, l.receiver), '[]')
               FROM listed l JOIN page_deliveries d USING (outbox_id, receiver) JOIN outbox o USING (outbox_id)),
    'delivered', (SELECT coalesce(jsonb_object_agg(incident_id, first), '{}') FROM (
                      SELECT incident_id, min(delivered_at) AS first FROM (
                          SELECT incident_id, delivered_at FROM outbox
                           WHERE delivered_at > statement_timestamp() - interval '1 hour'
                             AND event = 'trigger' AND incident_id IS NOT NULL
                           ORDER BY delivered_at DESC LIMIT 200) newest
                       GROUP BY incident_id) s))
$$;
