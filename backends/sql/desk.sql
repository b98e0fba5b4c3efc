-- Everything a screen shows of Postgres, as one row of JSON texts: one round trip, and a part whose text has not
-- changed is not parsed again. $1: how many audit entries. statement_timestamp() can use an index, clock_timestamp() cannot.
SELECT
    clock_timestamp() AS server_time,
    (SELECT json_agg(b ORDER BY b.breaker_id) FROM (
        SELECT breaker_id, state, since, actor, reason, notes, event_id, redis_run_id, counter, quiet_until,
               review_due_at, updated_at
        FROM breakers) b)::text AS breakers,
    (SELECT json_agg(r ORDER BY r.arrival DESC) FROM (
        (SELECT request_id, kind, breaker_id, login, status, code, message, outcome, audit_seq, submitted_at,
                decided_at, expires_at, payload, arrival
         FROM requests WHERE status IN ('new', 'awaiting_approval', 'committing') ORDER BY arrival DESC LIMIT 50)
        UNION ALL
        (SELECT request_id, kind, breaker_id, login, status, code, message, outcome, audit_seq, submitted_at,
                decided_at, expires_at, payload, arrival
         FROM requests WHERE decided_at > statement_timestamp() - interval '15 minutes'
         ORDER BY decided_at DESC LIMIT 30)) r)::text AS requests,
    (SELECT json_agg(a ORDER BY a.approved_at DESC) FROM (
        SELECT approval_id, request_id, breaker_id, redis_run_id, counter, login, person_id, approved_at, expires_at
        FROM approvals WHERE expires_at > statement_timestamp() - interval '15 minutes'
        ORDER BY approved_at DESC LIMIT 50) a)::text AS approvals,
    (SELECT json_agg(p ORDER BY p.started_at DESC) FROM (
        SELECT run_id, breaker_id, redis_run_id, counter, request_id, login, person_id, probes, required, started_at,
               deadline, status, passed, verdict, decided_at, close_until, used_by,
               (SELECT json_agg(s ORDER BY s.result_id) FROM (
                   SELECT result_id, ordinal, name, passed, latency_ms, detail, login, received_at
                   FROM probe_results WHERE probe_results.run_id = probe_runs.run_id
                   ORDER BY result_id LIMIT 50) s) AS results
        FROM probe_runs WHERE started_at > statement_timestamp() - interval '1 hour'
        ORDER BY started_at DESC LIMIT 50) p)::text AS runs,
    (SELECT json_agg(i ORDER BY i.opened_at DESC) FROM (
        -- However many wait, what is grave and unacknowledged is among them.
        (SELECT incident_id, opened_at, severity, classification, left(title, 500) AS title, status, source, breaker_id,
                owner, acknowledged_at, acknowledged_by, alarm_at, snoozed_until, last_event_at, opened_by, breakers,
                slos, run_id, run_incident
         FROM incidents WHERE status = 'open' AND severity IN ('P0', 'P1') ORDER BY opened_at DESC LIMIT 100)
        UNION ALL
        (SELECT incident_id, opened_at, severity, classification, left(title, 500), status, source, breaker_id,
                owner, acknowledged_at, acknowledged_by, alarm_at, snoozed_until, last_event_at, opened_by, breakers,
                slos, run_id, run_incident
         FROM incidents WHERE status IN ('open', 'acknowledged') AND NOT (status = 'open' AND severity IN ('P0', 'P1'))
         ORDER BY opened_at DESC LIMIT 100)) i)::text AS incidents,
    (SELECT row_to_json(l) FROM (
        SELECT holder, term, renewed_at, expires_at, status FROM authority_lease) l)::text AS lease,
    (SELECT json_agg(e ORDER BY e.seq DESC) FROM (
        SELECT seq, event_id, timestamp, action, user_id, role, target, left(details_text, 2000) AS details,
               evidence_link, evidence_sha256, chain_hash
        FROM audit_log ORDER BY seq DESC LIMIT $1) e)::text AS audit,
    (SELECT row_to_json(h) FROM (SELECT seq, chain_hash FROM audit_head) h)::text AS head,
    (SELECT row_to_json(n) FROM (
        SELECT seq, chain_hash, signed_at, key_id, signature, evidence_key
        FROM audit_anchors ORDER BY seq DESC LIMIT 1) n)::text AS anchor,
    (SELECT json_agg(o ORDER BY o.symbol, o.strategy) FROM (
        SELECT symbol, strategy,
               count(*) FILTER (WHERE status IN ('new', 'open')) AS open_orders,
               coalesce(sum(quantity * coalesce(price, 0)) FILTER (WHERE sound AND status IN ('new', 'open')), 0)::text
                   AS notional,
               max(placed_at) FILTER (WHERE timely AND NOT paper AND NOT reduce_only AND status <> 'rejected'
                                      AND placed_at > statement_timestamp() - interval '5 minutes') AS last_risk_at,
               count(*) FILTER (WHERE timely AND placed_at > statement_timestamp() - interval '30 seconds') AS orders_30s,
               count(*) FILTER (WHERE timely AND placed_at > statement_timestamp() - interval '30 seconds'
                                AND status = 'rejected') AS rejected_30s,
               percentile_cont(0.95) WITHIN GROUP (ORDER BY latency_ms)
                   FILTER (WHERE timely AND quick AND placed_at > statement_timestamp() - interval '30 seconds')
                   AS p95_ms_30s,
               count(*) FILTER (WHERE NOT (timely AND sound AND quick)) AS unsound
        -- The trading side may write what no market has: NaN, infinity, products beyond numeric. NaN is above all.
        FROM (SELECT *, placed_at BETWEEN '1970-01-01Z' AND statement_timestamp() + interval '1 day' AS timely,
                     abs(quantity) < 1e30 AND abs(coalesce(price, 0)) < 1e30 AS sound,
                     abs(coalesce(latency_ms, 0)) < 1e15 AS quick
              FROM (SELECT * FROM recent_orders WHERE placed_at > statement_timestamp() - interval '5 minutes'
                    UNION ALL
                    SELECT * FROM recent_orders WHERE status IN ('new', 'open')
                        AND placed_at <= statement_timestamp() - interval '5 minutes') recent) judged
        GROUP BY symbol, strategy) o)::text AS orders,
    (SELECT json_agg(q ORDER BY q.symbol) FROM (
        -- A number of over 100 characters is refused where it is read, and need not travel whole.
        SELECT symbol, left(quantity::text, 101) AS quantity, left(avg_price::text, 101) AS avg_price,
               left(mark_price::text, 101) AS mark_price, left(max_quantity::text, 101) AS max_quantity, updated_at
        FROM positions) q)::text AS positions,
    (SELECT json_agg(m ORDER BY m.name) FROM (
        SELECT name, breaker_id, status, reason, updated_at FROM automations) m)::text AS automations,
    (SELECT row_to_json(g) FROM (
        SELECT holder, term, renewed_at, expires_at, status FROM guard_lease) g)::text AS guard,
    (SELECT json_agg(z ORDER BY z.set_at DESC) FROM (
        SELECT limit_id, breaker_id, share::text, source, rule, notes, login, set_at
        FROM size_limits WHERE lifted_at IS NULL ORDER BY set_at DESC LIMIT 100) z)::text AS size_limits,
    (SELECT json_agg(k ORDER BY k.started_at DESC) FROM (
        SELECT kill_id, redis_run_id, counter, login, notes, started_at,
               (SELECT json_agg(t ORDER BY t.at, t.step_id) FROM (
                   SELECT step_id, step, outcome, details, login, at
                   FROM kill_steps WHERE kill_steps.kill_id = kill_switches.kill_id
                   ORDER BY at DESC LIMIT 100) t) AS steps
        FROM kill_switches WHERE reviewed_at IS NULL ORDER BY started_at DESC LIMIT 10) k)::text AS kills,
    paging_state()::text AS paging,
    (SELECT json_agg(y) FROM (
        SELECT i.event_id, i.joined, i.incident_id, o.outbox_id IS NOT NULL AS queued,
               coalesce(o.unsent, '') AS unsent, i.joined AND coalesce(o.created_at < i.at, true) AS older, v.*
        FROM (SELECT split_part(dedup_key, ':', 2) AS event_id, incident_id, false AS joined, opened_at AS at
                FROM incidents
               WHERE opened_at > statement_timestamp() - interval '1 hour'
                 AND (dedup_key LIKE 'trip:%' OR dedup_key LIKE 'kill:%')
               UNION ALL
              SELECT details ->> 'event_id', incident_id, true, at FROM incident_events
               WHERE kind = 'tripped' AND actor <> 'authority' AND at > statement_timestamp() - interval '1 hour'
               ORDER BY at DESC LIMIT 50) i
        LEFT JOIN LATERAL (SELECT outbox_id, unsent, created_at FROM outbox WHERE outbox.incident_id = i.incident_id
                               AND event = 'trigger'
                           ORDER BY CASE WHEN joined THEN -outbox_id ELSE outbox_id END LIMIT 1) o ON true
        LEFT JOIN LATERAL (
            SELECT json_agg(receiver ORDER BY delivered_at) FILTER (WHERE delivered_at IS NOT NULL) AS receivers,
                   json_agg(receiver ORDER BY receiver) FILTER (WHERE delivered_at IS NULL) AS waiting,
                   max(attempts) AS attempts, max(left(last_error, 300)) AS last_error,
                   min(delivered_at) AS delivered_at
            FROM page_deliveries d WHERE d.outbox_id = o.outbox_id) v ON true
        ORDER BY i.at DESC) y)::text AS trip_pages,
    (SELECT json_object_agg(login, person_id) FROM operators WHERE revoked_at IS NULL)::text AS persons,
    (SELECT json_object_agg(h.login, h.roles) FROM (
        SELECT login, json_agg(DISTINCT role) AS roles FROM operators o JOIN role_grants g USING (login)
        WHERE o.revoked_at IS NULL AND g.granted_at <= statement_timestamp()
          AND (g.expires_at IS NULL OR g.expires_at > statement_timestamp())
          AND (g.revoked_at IS NULL OR g.revoked_at > statement_timestamp())
        GROUP BY login ORDER BY login) h)::text AS roles,
    (SELECT max(taken_at) FROM reset_slots) AS last_reset_at,
    (SELECT count(*) FROM requests WHERE status IN ('new', 'committing')) AS queue
