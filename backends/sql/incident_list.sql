-- Panel 3 in one round trip: the unresolved incidents, the worst first, then the last that are over; the counts,
-- which are of all incidents but for matching_count, stand in every row, of which there is always one. $1, $2: how
-- many of each; $3: words in title, classification, breaker, login or id, '' for all. statement_timestamp() is one
-- moment for all rows.
WITH known AS NOT MATERIALIZED (
    SELECT incident_id, opened_at, severity, classification, title, status, source, breaker_id, owner, acknowledged_at,
           acknowledged_by, alarm_at, snoozed_until, last_event_at, opened_by, breakers, slos, run_id, run_incident,
           resolved_at, resolved_by, root_cause, merged_into,
           $3::text = '' OR position(lower($3) IN lower(concat_ws(' ', incident_id::text, severity, status,
               classification, title, breaker_id, owner, acknowledged_by, source, run_id, run_incident,
               array_to_string(breakers, ' '), array_to_string(slos, ' ')))) > 0 AS matches
      FROM incidents),
matching AS NOT MATERIALIZED (SELECT * FROM known WHERE matches)
SELECT statement_timestamp() AS server_time, counts.*, listed.*
  FROM (SELECT count(*) FILTER (WHERE status = 'open') AS open_count,
               count(*) FILTER (WHERE status = 'acknowledged') AS acknowledged_count,
               count(*) FILTER (WHERE status = 'open' AND snoozed_until > statement_timestamp()) AS snoozed_open,
               count(*) FILTER (WHERE status = 'acknowledged' AND snoozed_until > statement_timestamp())
                   AS snoozed_acknowledged,
               count(*) FILTER (WHERE status IN ('resolved', 'merged')) AS over_count,
               count(*) FILTER (WHERE status IN ('open', 'acknowledged') AND matches) AS matching_count
          FROM known) counts
  LEFT JOIN (
       (SELECT 0 AS part, row_number() OVER () AS place, worst.* FROM (
            SELECT * FROM matching WHERE status IN ('open', 'acknowledged')
             ORDER BY status = 'acknowledged', severity, alarm_at, incident_id LIMIT $1) worst)
       UNION ALL
       (SELECT 1, row_number() OVER (), latest.* FROM (
            SELECT * FROM matching WHERE status IN ('resolved', 'merged')
             ORDER BY coalesce(resolved_at, opened_at) DESC, incident_id LIMIT $2) latest)) listed ON true
 ORDER BY part, place
