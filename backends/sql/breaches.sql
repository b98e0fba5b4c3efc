-- Lines of reconciliation whose three newest runs that came to a verdict are mismatches, each with the third mismatch since
-- its last clean run, and the mismatches after it: a run that is written late moves which one is the third. Runs of unknown outcome neither count nor clear. One row says whether term $2 of holder $1 stands.
-- Of each line the index gives the newest rows only; further back is looked only where there is a breach.
WITH RECURSIVE known (kind, symbol, place) AS (
    (SELECT kind, coalesce(symbol, ''), 1 FROM reconciliation_runs ORDER BY kind, coalesce(symbol, '') LIMIT 1)
    UNION ALL
    SELECT next.* FROM known, LATERAL (
        SELECT kind, coalesce(symbol, ''), known.place + 1 FROM reconciliation_runs
         WHERE (kind, coalesce(symbol, '')) > (known.kind, known.symbol)
         ORDER BY kind, coalesce(symbol, '') LIMIT 1) AS next
     WHERE known.place < 300),
breached AS (
    SELECT kind, symbol FROM known
     WHERE kind IN ('order', 'position', 'ledger') AND 3 = (
        SELECT count(*) FILTER (WHERE verdict = 'mismatch') FROM (
            SELECT verdict FROM (
                SELECT started_at, run_id, verdict FROM reconciliation_judged AS j
                 WHERE j.kind = known.kind AND j.symbol = known.symbol AND started_at >= timestamptz '2000-01-01'
                   AND started_at <= statement_timestamp() + interval '2 seconds'
                 ORDER BY started_at DESC, run_id DESC LIMIT 5000) AS walked
             WHERE verdict <> 'unknown' ORDER BY started_at DESC, run_id DESC LIMIT 3) AS newest))
SELECT clock_timestamp() AS now,
       EXISTS (SELECT FROM guard_lease WHERE holder = $1 AND term = $2 AND login = session_user
                  AND expires_at > clock_timestamp()) AS holds,
       breached.kind, breached.symbol, third.started_at,
       third.runs,
       CASE WHEN breached.symbol = '' THEN ARRAY(
           SELECT DISTINCT left(each #>> '{}', 100) FROM jsonb_path_query(third.mismatches, '$[*].symbol') AS each LIMIT 100)
       ELSE ARRAY[breached.symbol] END AS symbols
  FROM (SELECT 1) AS always LEFT JOIN breached ON true
       LEFT JOIN LATERAL (
           SELECT started_at, run_id FROM reconciliation_judged AS j
            WHERE j.kind = breached.kind AND j.symbol = breached.symbol AND verdict = 'clean'
              AND started_at <= statement_timestamp() + interval '2 seconds'
            ORDER BY started_at DESC, run_id DESC LIMIT 1) AS cleared ON true
       LEFT JOIN LATERAL (
           SELECT min(started_at) AS started_at, array_agg(run_id::text ORDER BY started_at, run_id) AS runs,
                  (array_agg(mismatches ORDER BY started_at, run_id))[1] AS mismatches
             FROM (SELECT started_at, run_id, mismatches FROM reconciliation_judged AS j
                    WHERE j.kind = breached.kind AND j.symbol = breached.symbol AND verdict = 'mismatch'
                      AND (cleared.run_id IS NULL OR (started_at, run_id) > (cleared.started_at, cleared.run_id))
                      AND started_at >= coalesce(cleared.started_at, timestamptz '2000-01-01')
                    ORDER BY started_at, run_id LIMIT 50 OFFSET 2) AS since) AS third ON true
