-- The last breach of an objective that the authority's own watch has measured: one that stands before one that is
-- over, then the newest. Whoever links an incident to an objective has measured nothing. The story says when it broke
-- last, how gravely, and whether the objective is kept again; only an unresolved incident can break anew, so that of
-- the others the newest few are enough.
WITH watched AS (
    (SELECT incident_id, opened_at, severity, title, status, dedup_key
       FROM incidents WHERE status IN ('open', 'acknowledged') AND source = 'slo' AND dedup_key LIKE 'slo:%'
      ORDER BY opened_at DESC LIMIT 200)
    UNION ALL
    (SELECT incident_id, opened_at, severity, title, status, dedup_key
       FROM incidents WHERE status IN ('resolved', 'merged') AND source = 'slo' AND dedup_key LIKE 'slo:%'
      ORDER BY opened_at DESC LIMIT 20)
)
SELECT split_part(substr(w.dedup_key, 5), '#', 1) AS slo,
       coalesce(broke.level, w.severity) AS severity,
       left(coalesce(broke.why, w.title), 200) AS title,
       coalesce(broke.at, w.opened_at) AS broke_at,
       coalesce(last.kind = 'slo-recovered', false) AS recovered,
       w.status IN ('resolved', 'merged') AS over
  FROM watched w
  LEFT JOIN LATERAL (SELECT kind FROM incident_events e
                      WHERE e.incident_id = w.incident_id AND details ? 'level'
                        AND kind IN ('opened', 'escalated', 'slo-breach', 'slo-eased', 'slo-recovered')
                      ORDER BY event_id DESC LIMIT 1) last ON true
  LEFT JOIN LATERAL (SELECT at, details ->> 'level' AS level, details ->> 'why' AS why FROM incident_events e
                      WHERE e.incident_id = w.incident_id AND details ? 'level'
                        AND kind IN ('opened', 'escalated', 'slo-breach')
                      ORDER BY event_id DESC LIMIT 1) broke ON true
 ORDER BY coalesce(last.kind = 'slo-recovered', false) OR w.status IN ('resolved', 'merged'), broke_at DESC
 LIMIT 1
