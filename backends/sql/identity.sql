-- Who the session is, and the newest role that is valid at this moment. One row; person_id null: no valid role.
SELECT session_user::text AS login, valid.person_id, valid.role
FROM (SELECT 1) one
LEFT JOIN LATERAL (
    SELECT o.person_id, g.role
    FROM operators o JOIN role_grants g USING (login)
    WHERE o.login = session_user
      AND (o.revoked_at IS NULL OR o.revoked_at > clock_timestamp())
      AND g.granted_at <= clock_timestamp()
      AND (g.expires_at IS NULL OR g.expires_at > clock_timestamp())
      AND (g.revoked_at IS NULL OR g.revoked_at > clock_timestamp())
    ORDER BY g.granted_at DESC, g.grant_id DESC LIMIT 1
) valid ON true
