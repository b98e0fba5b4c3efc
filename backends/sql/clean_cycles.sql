-- For each kind of an instrument's runs, how many of those begun after $2 were clean in a row up to the newest ($3 at most).
-- With each the begin of its newest run, and the moment of this reading: what is old proves nothing now.
-- A begin in the future, infinity too, is told as this moment: its run counts as unknown already, and no client has to hold it.
-- $1: symbol. A kind counts where this instrument had runs of it since 30 days before $2: one that has ended since must
-- not be forgotten. Runs of no single instrument cover every instrument, and count by the same rule beside its own.
-- breached: its newest three runs that came to a verdict are mismatches, however long ago; then it counts in any case.
WITH lines AS (
    SELECT kind, symbol,
           EXISTS (SELECT FROM reconciliation_runs AS r WHERE r.kind = k.kind AND coalesce(r.symbol, '') = s.symbol
                      AND started_at > $2::timestamptz - interval '30 days') AS lately,
           3 = (SELECT count(*) FILTER (WHERE verdict = 'mismatch') FROM (
               SELECT verdict FROM (
                   SELECT started_at, run_id, verdict FROM reconciliation_judged AS j
                    WHERE j.kind = k.kind AND j.symbol = s.symbol AND started_at >= timestamptz '2000-01-01'
                      AND started_at <= statement_timestamp() + interval '2 seconds'
                    ORDER BY started_at DESC, run_id DESC LIMIT 5000) AS walked
                WHERE verdict <> 'unknown' ORDER BY started_at DESC, run_id DESC LIMIT 3) AS decided) AS breached
      FROM (VALUES ('order'), ('position'), ('ledger')) AS k (kind) CROSS JOIN (VALUES ($1::text), ('')) AS s (symbol))
SELECT clock_timestamp() AS at, kind || CASE WHEN symbol = '' THEN ' (all instruments)' ELSE '' END AS name, breached,
       (SELECT count(*) FILTER (WHERE clean_so_far) FROM (
           SELECT bool_and(verdict = 'clean') OVER (ORDER BY started_at DESC, run_id DESC) AS clean_so_far
             FROM (SELECT started_at, run_id, verdict FROM reconciliation_judged AS j
                    WHERE j.kind = lines.kind AND j.symbol = lines.symbol AND started_at > $2::timestamptz
                    ORDER BY started_at DESC, run_id DESC LIMIT $3) AS newest) AS judged) AS clean,
       (SELECT LEAST(max(started_at), clock_timestamp()) FROM reconciliation_judged AS j
         WHERE j.kind = lines.kind AND j.symbol = lines.symbol AND started_at > $2::timestamptz
        HAVING max(started_at) IS NOT NULL) AS newest  -- LEAST passes over NULL
  FROM lines
 WHERE lately OR breached
 ORDER BY array_position(ARRAY['order', 'position', 'ledger'], kind), symbol DESC
