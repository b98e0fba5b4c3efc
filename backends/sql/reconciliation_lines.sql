-- Every line of reconciliation: one kind of run on one instrument. $1: lines of each kind at most, $2: runs counted in a row
-- at most. A kind that nobody knows takes no room from those: of such 20 are told, each by its first line.
WITH RECURSIVE seen (kind, symbol, place) AS (
    SELECT kinds.kind, first.symbol, 1 FROM (VALUES ('order'), ('position'), ('ledger')) AS kinds (kind), LATERAL (
        SELECT coalesce(r.symbol, '') AS symbol FROM reconciliation_runs AS r WHERE r.kind = kinds.kind
         ORDER BY r.kind, coalesce(r.symbol, '') LIMIT 1) AS first
    UNION ALL
    SELECT seen.kind, next.symbol, seen.place + 1 FROM seen, LATERAL (
        SELECT coalesce(r.symbol, '') AS symbol FROM reconciliation_runs AS r
         WHERE r.kind = seen.kind AND coalesce(r.symbol, '') > seen.symbol
         ORDER BY r.kind, coalesce(r.symbol, '') LIMIT 1) AS next
     WHERE seen.place < $1),
every (kind, symbol, place) AS (
    (SELECT kind, coalesce(symbol, ''), 1 FROM reconciliation_runs ORDER BY kind, coalesce(symbol, '') LIMIT 1)
    UNION ALL
    SELECT next.* FROM every, LATERAL (
        SELECT kind, coalesce(symbol, ''), every.place + 1 FROM reconciliation_runs AS r
         WHERE r.kind > every.kind ORDER BY kind, coalesce(symbol, '') LIMIT 1) AS next
     WHERE every.place < 23),
known AS (
    SELECT kind, symbol FROM seen UNION ALL
    SELECT kind, symbol FROM every WHERE kind NOT IN ('order', 'position', 'ledger')),
day AS (
    SELECT kind, symbol, count(*) FILTER (WHERE doubt IS NULL AND status = 'clean') AS passed,
           count(*) FILTER (WHERE doubt IS NULL AND status = 'mismatch') AS failed,
           count(*) FILTER (WHERE doubt IS NOT NULL OR status = 'unknown') AS unknown,
           count(doubt) AS doubted
      FROM (SELECT kind, symbol, doubt, status FROM reconciliation_judged
             WHERE started_at > statement_timestamp() - interval '24 hours'
               AND started_at <= statement_timestamp() + interval '2 seconds'
            OFFSET 0) AS judged  -- each row is judged once, and not for each count
     GROUP BY kind, symbol)
SELECT clock_timestamp() AS at, known.kind, known.symbol, newest.clean, newest.last, decided.consecutive,
       decided.last_known, day.passed, day.failed, day.unknown, day.doubted,
       -- These can stand nowhere in the order of runs.
       (SELECT count(*) FROM (SELECT FROM reconciliation_runs AS r
           WHERE r.kind = known.kind AND coalesce(r.symbol, '') = known.symbol
             AND r.started_at > statement_timestamp() + interval '2 seconds' LIMIT 1000) AS later) AS future
  FROM (SELECT 1) AS always LEFT JOIN known ON true
       LEFT JOIN day ON day.kind = known.kind AND day.symbol = known.symbol
       LEFT JOIN LATERAL (
           SELECT count(*) FILTER (WHERE others = 0) AS clean, min(run) AS last
             FROM (SELECT count(*) FILTER (WHERE verdict <> 'clean') OVER before AS others,
                          CASE WHEN row_number() OVER before = 1 THEN json_build_object(
                              'run_id', run_id, 'verdict', verdict, 'doubt', doubt, 'started_at', started_at,
                              'finished_at', CASE WHEN doubt IS NULL THEN finished_at END,
                              'engine_seq', engine_seq, 'ledger_seq', ledger_seq,
                              'listed', CASE WHEN verdict = 'mismatch' THEN jsonb_array_length(mismatches) END,
                              'mismatches', CASE WHEN verdict = 'mismatch'
                                            THEN jsonb_path_query_array(mismatches, '$[0 to 49]') END)::text END AS run
                     FROM (SELECT * FROM reconciliation_judged AS j
                            WHERE j.kind = known.kind AND j.symbol = known.symbol
                              AND started_at >= timestamptz '2000-01-01'
                              AND started_at <= statement_timestamp() + interval '2 seconds'
                            ORDER BY started_at DESC, run_id DESC LIMIT $2) AS rows
                   WINDOW before AS (ORDER BY started_at DESC, run_id DESC)) AS counted) AS newest ON true
       LEFT JOIN LATERAL (
           SELECT count(*) FILTER (WHERE cleans = 0) AS consecutive, min(run) AS last_known
             FROM (SELECT count(*) FILTER (WHERE verdict = 'clean') OVER before AS cleans,
                          CASE WHEN row_number() OVER before = 1 THEN json_build_object(
                              'run_id', run_id, 'verdict', verdict, 'doubt', doubt, 'started_at', started_at,
                              'finished_at', finished_at, 'engine_seq', engine_seq, 'ledger_seq', ledger_seq,
                              'listed', CASE WHEN verdict = 'mismatch' THEN jsonb_array_length(mismatches) END,
                              'mismatches', CASE WHEN verdict = 'mismatch'
                                            THEN jsonb_path_query_array(mismatches, '$[0 to 49]') END)::text END AS run
                     FROM (SELECT * FROM (
                              SELECT * FROM reconciliation_judged AS j
                               WHERE j.kind = known.kind AND j.symbol = known.symbol
                                 AND started_at >= timestamptz '2000-01-01'
                                 AND started_at <= statement_timestamp() + interval '2 seconds'
                               ORDER BY started_at DESC, run_id DESC LIMIT 5000) AS walked
                            WHERE verdict <> 'unknown' ORDER BY started_at DESC, run_id DESC LIMIT $2) AS rows
                   WINDOW before AS (ORDER BY started_at DESC, run_id DESC)) AS counted) AS decided ON true
