-- For each kind of an instrument's runs, how many of those begun after $2 were clean in a row up to the newest ($3 at most).
-- With each the begin of its newest run, and the moment of this reading: what is old proves nothing now.
-- A begin in the future, infinity too, is told as this moment: its run counts as unknown already, and no client has to hold it.
-- $1: symbol. A kind counts where this instrument had runs of it since 30 days before $2: one that has ended since must
-- not be forgotten. Runs of no single instrument cover every instrument: they count where there are such since $2, or
-- where the instrument has none of its own of that kind.
WITH kinds AS (
    SELECT kind, symbol,
           EXISTS (SELECT FROM reconciliation_runs WHERE kind = k.kind AND symbol = $1
                      AND started_at > $2::timestamptz - interval '30 days') AS own,
           EXISTS (SELECT FROM reconciliation_runs WHERE kind = k.kind AND symbol IS NULL
                      AND started_at > $2::timestamptz - interval '30 days') AS whole,
           EXISTS (SELECT FROM reconciliation_runs WHERE kind = k.kind AND symbol IS NULL AND started_at > $2::timestamptz) AS now
      FROM (VALUES ('order'), ('position'), ('ledger')) AS k (kind) CROSS JOIN (VALUES ($1::text), ('')) AS s (symbol))
SELECT clock_timestamp() AS at, kind || CASE WHEN symbol = '' THEN ' (all instruments)' ELSE '' END AS name,
       (SELECT count(*) FILTER (WHERE clean_so_far) FROM (
           SELECT bool_and(verdict = 'clean') OVER (ORDER BY started_at DESC, run_id DESC) AS clean_so_far
             FROM (SELECT started_at, run_id, verdict FROM reconciliation_judged AS j
                    WHERE j.kind = kinds.kind AND j.symbol = kinds.symbol AND started_at > $2::timestamptz
                    ORDER BY started_at DESC, run_id DESC LIMIT $3) AS newest) AS judged) AS clean,
       (SELECT LEAST(max(started_at), clock_timestamp()) FROM reconciliation_judged AS j
         WHERE j.kind = kinds.kind AND j.symbol = kinds.symbol AND started_at > $2::timestamptz
        HAVING max(started_at) IS NOT NULL) AS newest  -- LEAST passes over NULL
  FROM kinds
 WHERE CASE WHEN symbol = '' THEN now OR (whole AND NOT own) ELSE own END
 ORDER BY array_position(ARRAY['order', 'position', 'ledger'], kind), symbol DESC
