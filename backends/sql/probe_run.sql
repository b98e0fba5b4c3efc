-- $1 breaker, $2 Redis run_id, $3 counter.
SELECT run_id, breaker_id, redis_run_id, counter, request_id, login, person_id, probes, required, started_at,
       deadline, status, passed, verdict, decided_at, close_until, used_by
FROM probe_runs WHERE breaker_id = $1 AND redis_run_id = $2 AND counter = $3
