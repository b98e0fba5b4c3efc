-- One incident with all that belongs to it, as JSON texts: one round trip. $1: its id; $2: how many events at most, the
-- first and the newest of them.
SELECT statement_timestamp() AS server_time, i.incident_id, opened_at, severity, classification, title, status, source,
       breaker_id, owner, acknowledged_at, acknowledged_by, alarm_at, snoozed_until, last_event_at, opened_by, breakers,
       slos, run_id, run_incident, resolved_at, resolved_by, root_cause, merged_into,
       (SELECT count(*) FROM incident_events e WHERE e.incident_id = i.incident_id) AS event_count,
       (SELECT json_agg(e ORDER BY e.event_id) FROM (
           SELECT event_id, at, kind, actor, notes, details, audit_seq
             FROM ((SELECT * FROM incident_events WHERE incident_id = i.incident_id ORDER BY event_id LIMIT 1)
                   UNION
                   (SELECT * FROM incident_events WHERE incident_id = i.incident_id ORDER BY event_id DESC LIMIT $2)) chosen
       ) e)::text AS events,
       (SELECT json_agg(a ORDER BY a.added_at, a.action_id) FROM (
           SELECT action_id, what, owner, due_at, added_by, added_at, done_at, done_by
             FROM incident_actions WHERE incident_id = i.incident_id ORDER BY added_at DESC LIMIT 200) a)::text AS actions,
       (SELECT json_agg(p ORDER BY p.outbox_id) FROM (
           SELECT outbox_id, event, severity, title, created_at, (
                      SELECT json_agg(d ORDER BY d.receiver) FROM (
                          SELECT receiver, attempts, next_attempt_at, delivered_at, given_up_at, last_error
                            FROM page_deliveries WHERE outbox_id = o.outbox_id) d) AS deliveries
             FROM outbox o WHERE incident_id = i.incident_id ORDER BY outbox_id DESC LIMIT 100) p)::text AS pages,
       (SELECT json_agg(m ORDER BY m.opened_at) FROM (
           SELECT incident_id, title, opened_at FROM incidents
            WHERE merged_into = i.incident_id ORDER BY opened_at LIMIT 200) m)::text AS merged
  FROM incidents i WHERE incident_id = $1
