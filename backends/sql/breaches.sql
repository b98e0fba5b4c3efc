-- Lines of reconciliation whose three newest runs that came to a verdict are mismatches, each with the third mismatch since
-- its last clean run, and the mismatches after it: a run that is written late moves which one is the third. Runs of unknown outcome neither count nor clear. One row says whether term $2 of holder $1 stands.
-- $3: the catalogue's instruments. Each kind of them, and of no single instrument, is looked at whatever else there is; of
-- other instruments $4 of each kind at most. crowded: kinds that have more. hidden: lines of which nothing can be said.
-- Of each line the index gives the newest rows only; further back is looked only where there is a breach.
WITH RECURSIVE kinds (kind) AS (VALUES ('order'), ('position'), ('ledger')),
seen (kind, symbol, place) AS (
    SELECT kinds.kind, first.symbol, 1 FROM kinds, LATERAL (
        SELECT coalesce(r.symbol, '') AS symbol FROM reconciliation_runs AS r WHERE r.kind = kinds.kind
         ORDER BY r.kind, coalesce(r.symbol, '') LIMIT 1) AS first
    UNION ALL
    SELECT seen.kind, next.symbol, seen.place + 1 FROM seen, LATERAL (
        SELECT coalesce(r.symbol, '') AS symbol FROM reconciliation_runs AS r
         WHERE r.kind = seen.kind AND coalesce(r.symbol, '') > seen.symbol
         ORDER BY r.kind, coalesce(r.symbol, '') LIMIT 1) AS next
     WHERE seen.place <= cardinality($3::text[]) + 1 + $4::int),
lines AS (
    SELECT kind, symbol FROM kinds CROSS JOIN unnest($3::text[] || ''::text) AS known (symbol)
    UNION
    SELECT kind, symbol FROM seen WHERE place <= cardinality($3::text[]) + 1 + $4::int),
judged AS MATERIALIZED (
    SELECT lines.kind, lines.symbol, newest.mismatches, newest.cleans,
           CASE WHEN newest.mismatches + newest.cleans < 3 THEN 5000 <= (
               SELECT count(*) FROM (SELECT FROM reconciliation_runs AS r
                   WHERE r.kind = lines.kind AND coalesce(r.symbol, '') = lines.symbol LIMIT 5000) AS rows)
           ELSE false END AS long
      FROM lines, LATERAL (
           SELECT count(*) FILTER (WHERE verdict = 'mismatch') AS mismatches,
                  count(*) FILTER (WHERE verdict = 'clean') AS cleans FROM (
               SELECT verdict FROM (
                   SELECT started_at, run_id, verdict FROM reconciliation_judged AS j
                    WHERE j.kind = lines.kind AND j.symbol = lines.symbol AND started_at >= timestamptz '2000-01-01'
                      AND started_at <= statement_timestamp() + interval '2 seconds'
                    ORDER BY started_at DESC, run_id DESC LIMIT 5000) AS walked
                WHERE verdict <> 'unknown' ORDER BY started_at DESC, run_id DESC LIMIT 3) AS decided) AS newest),
breached AS (SELECT kind, symbol FROM judged WHERE mismatches = 3)
SELECT clock_timestamp() AS now,
       EXISTS (SELECT FROM guard_lease WHERE holder = $1 AND term = $2 AND login = session_user
                  AND expires_at > clock_timestamp()) AS holds,
       ARRAY(SELECT DISTINCT kind FROM seen WHERE place > cardinality($3::text[]) + 1 + $4::int ORDER BY kind) AS crowded,
       ARRAY(SELECT kind || ' ' || CASE symbol WHEN '' THEN 'of no single instrument' ELSE left(symbol, 64) END
               FROM judged WHERE long AND cleans = 0 ORDER BY kind, symbol LIMIT 10) AS hidden,
       breached.kind, left(breached.symbol, 100) AS symbol, third.started_at, third.runs,
       CASE WHEN breached.symbol <> '' THEN ARRAY[left(breached.symbol, 100)] ELSE concerned.symbols END AS symbols
  FROM (SELECT 1) AS always LEFT JOIN breached ON true
       LEFT JOIN LATERAL (
           SELECT started_at, run_id FROM reconciliation_judged AS j
            WHERE j.kind = breached.kind AND j.symbol = breached.symbol AND verdict = 'clean'
              AND started_at <= statement_timestamp() + interval '2 seconds'
            ORDER BY started_at DESC, run_id DESC LIMIT 1) AS cleared ON true
       LEFT JOIN LATERAL (
           SELECT min(started_at) AS started_at, array_agg(run_id::text ORDER BY started_at, run_id) AS runs
             FROM (SELECT started_at, run_id FROM reconciliation_judged AS j
                    WHERE j.kind = breached.kind AND j.symbol = breached.symbol AND verdict = 'mismatch'
                      AND (cleared.run_id IS NULL OR (started_at, run_id) > (cleared.started_at, cleared.run_id))
                      AND started_at >= coalesce(cleared.started_at, timestamptz '2000-01-01')
                    ORDER BY started_at, run_id LIMIT 50 OFFSET 2) AS since) AS third ON true
       -- Of a run over many instruments those of the catalogue that it or a later one names, of so many runs as a guard
       -- can have missed; '' where a run names none of them, and so may concern each.
       LEFT JOIN LATERAL (
           SELECT array_agg(DISTINCT name) AS symbols FROM (
               SELECT ARRAY(SELECT unnest(coalesce(named, reconciliation_named(mismatches)))
                            INTERSECT SELECT unnest($3::text[])) AS known
                 FROM (SELECT named, mismatches FROM reconciliation_judged AS j
                        WHERE j.kind = breached.kind AND j.symbol = '' AND verdict = 'mismatch'
                          AND (started_at, run_id) >= (third.started_at, third.runs[1]::uuid)
                          AND started_at >= third.started_at
                        ORDER BY started_at DESC, run_id DESC LIMIT 2000) AS since) AS runs,
               LATERAL unnest(CASE WHEN known = '{}' THEN ARRAY[''] ELSE known END) AS names (name)
       ) AS concerned ON breached.symbol = ''
