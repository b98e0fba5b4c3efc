-- Pages on their way: their tables, signs of life, and what is worth a delivery. The pager's login reads and writes no
-- table; each function runs with the owner's rights. Applied after incidents.sql, safe to repeat.

-- spread: the receivers that have a delivery of it. settled_at: nothing more is to be done for it, be it delivered,
-- given up, or left unsent for the reason in `unsent`. delivered_at: when it first reached a receiver.
ALTER TABLE outbox
    ADD COLUMN IF NOT EXISTS spread     text[] NOT NULL DEFAULT '{}',
    ADD COLUMN IF NOT EXISTS settled_at timestamptz,
    ADD COLUMN IF NOT EXISTS unsent     text;
CREATE INDEX IF NOT EXISTS outbox_unsettled ON outbox (outbox_id) WHERE settled_at IS NULL;
-- severity: its page's, for the index. busy_until: a pager sends it at this moment, or died while it did. skipped: why it
-- was not worth sending any more. resend_at: when a receiver that forgets is told again that the incident is alive.
ALTER TABLE page_deliveries
    ADD COLUMN IF NOT EXISTS severity   text NOT NULL DEFAULT 'P3',
    ADD COLUMN IF NOT EXISTS busy_until timestamptz,
    ADD COLUMN IF NOT EXISTS skipped    text,
    ADD COLUMN IF NOT EXISTS resend_at  timestamptz;
CREATE INDEX IF NOT EXISTS page_deliveries_open ON page_deliveries (receiver, severity, outbox_id)
    WHERE delivered_at IS NULL AND given_up_at IS NULL AND skipped IS NULL;
CREATE INDEX IF NOT EXISTS page_deliveries_left ON page_deliveries (outbox_id)
    WHERE delivered_at IS NULL AND given_up_at IS NULL AND skipped IS NULL;
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
