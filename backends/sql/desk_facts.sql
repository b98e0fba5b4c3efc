SELECT
    (SELECT count(*) FROM operators WHERE revoked_at IS NULL) AS operators,
    (SELECT count(DISTINCT o.person_id) FROM operators o JOIN role_grants g USING (login)
     WHERE o.revoked_at IS NULL AND g.role = 'safety-admin' AND g.revoked_at IS NULL
       AND (g.expires_at IS NULL OR g.expires_at > clock_timestamp())) AS admins,
    (SELECT max(seq) FROM audit_log) AS last_seq,
    (SELECT seq FROM audit_head) AS head_seq,
    (SELECT extract(epoch FROM clock_timestamp() - renewed_at)::float8 FROM authority_lease) AS lease_age_s,
    (SELECT expires_at > clock_timestamp() FROM authority_lease) AS lease_alive,
    (SELECT count(*) FROM requests WHERE status IN ('new', 'committing')
        AND submitted_at < clock_timestamp() - interval '10 seconds') AS waiting
