-- What `cockpit doctor` looks at, as any login may see it.
SELECT
    current_setting('server_version_num')::int AS version,
    current_setting('server_version') AS version_text,
    session_user::text AS login,
    (SELECT rolsuper FROM pg_roles WHERE rolname = session_user) AS superuser,
    pg_is_in_recovery() AS standby,
    current_setting('fsync') AS fsync,
    current_setting('synchronous_commit') AS synchronous_commit,
    current_setting('full_page_writes') AS full_page_writes,
    clock_timestamp() AS now,
    (SELECT count(*) FROM pg_stat_activity WHERE backend_type = 'client backend') AS connections,
    current_setting('max_connections')::int AS max_connections,
    to_regclass('public.audit_log') IS NOT NULL AS schema_there,
    (SELECT array_agg(c.relname || '.' || t.tgname ORDER BY 1) FROM pg_trigger t JOIN pg_class c ON c.oid = t.tgrelid
     WHERE c.relnamespace = 'public'::regnamespace AND NOT t.tgisinternal AND t.tgenabled <> 'O') AS disabled_triggers,
    has_database_privilege('public', current_database(), 'TEMP') AS public_temp,
    has_schema_privilege('public', 'public', 'CREATE') AS public_create,
    has_database_privilege('public', 'postgres', 'CONNECT') AS public_elsewhere,
    (SELECT array_agg(DISTINCT r.rolname::text ORDER BY r.rolname::text)
     FROM pg_roles r CROSS JOIN (SELECT oid FROM pg_class WHERE relnamespace = 'public'::regnamespace
                                 AND relname IN ('audit_log', 'audit_head', 'commits', 'approvals', 'genesis',
                                                 'operators', 'role_grants', 'signing_keys')) c
     WHERE r.rolcanlogin AND NOT r.rolsuper
       AND NOT pg_has_role(r.oid, (SELECT relowner FROM pg_class WHERE oid = c.oid), 'MEMBER')
       AND NOT EXISTS (SELECT FROM pg_auth_members m JOIN pg_roles g ON g.oid = m.roleid
                       WHERE m.member = r.oid AND g.rolname = 'cockpit_authority')
       AND has_table_privilege(r.oid, c.oid, 'INSERT, UPDATE, DELETE, TRUNCATE')) AS overreaching,
    (SELECT array_agg(rolname::text ORDER BY rolname::text) FROM pg_roles WHERE rolcanlogin AND rolsuper) AS superusers
