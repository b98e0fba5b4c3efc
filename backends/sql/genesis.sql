INSERT INTO genesis (run_id, payload)
SELECT $1, $2 WHERE NOT EXISTS (SELECT FROM audit_log) AND (SELECT seq = 0 FROM audit_head)
ON CONFLICT DO NOTHING
RETURNING true
