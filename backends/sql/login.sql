-- The statements that make or renew one login, quoted by the server itself. $1 name, $2 SCRAM verifier (null keeps
-- the password), $3 groups, $4 connection limit, $5 statement timeout, $6 lock timeout, $7 idle-in-transaction.
SELECT statement FROM (
    SELECT 1 AS step, format('CREATE ROLE %I', $1::text) AS statement
    WHERE NOT EXISTS (SELECT FROM pg_roles WHERE rolname = $1)
    UNION ALL SELECT 2, format('ALTER ROLE %I LOGIN INHERIT NOCREATEDB NOCREATEROLE CONNECTION LIMIT %s', $1, $4::int)
    UNION ALL SELECT 3, format('ALTER ROLE %I PASSWORD %L', $1, $2::text) WHERE $2 IS NOT NULL
    UNION ALL SELECT 4, format('REVOKE %I FROM %I', g.rolname, $1)
        FROM pg_auth_members m JOIN pg_roles g ON g.oid = m.roleid JOIN pg_roles r ON r.oid = m.member
        WHERE r.rolname = $1 AND NOT g.rolname = ANY ($3::text[])
    UNION ALL SELECT 5, format('GRANT %I TO %I', wanted, $1) FROM unnest($3::text[]) wanted
    UNION ALL SELECT 6, format('ALTER ROLE %I SET statement_timeout = %L', $1, $5::text)
    UNION ALL SELECT 7, format('ALTER ROLE %I SET lock_timeout = %L', $1, $6::text)
    UNION ALL SELECT 8, format('ALTER ROLE %I SET idle_in_transaction_session_timeout = %L', $1, $7::text)
) steps ORDER BY step
