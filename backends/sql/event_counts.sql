-- What has happened since the beginning: committed closes by breaker, the guard's firings by rule and mode.
SELECT
    (SELECT json_agg(json_build_array(target, n)) FROM (
        SELECT target, count(*) AS n FROM audit_log
        WHERE action = 'CIRCUIT_BREAKER_RESET' GROUP BY target) r)::text AS resets,
    (SELECT json_agg(json_build_array(rule, mode, n) ORDER BY rule, mode) FROM (
        SELECT rule, mode, count(*) AS n FROM guard_firings GROUP BY rule, mode LIMIT 500) f)::text AS firings
