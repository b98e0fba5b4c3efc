-- What a reconciliation run counts as. The trading side writes reconciliation_runs with its own login, so a value in it may
-- be anything that Postgres stores; every reader goes by this view. Applied by `cockpit init`, safe to repeat.
CREATE INDEX IF NOT EXISTS reconciliation_runs_line
    ON reconciliation_runs (kind, (coalesce(symbol, '')), started_at DESC, run_id DESC);

-- doubt: why a run that says something else counts as unknown. A mismatch needs one item that can be read, or none at
-- all; a run that calls itself clean must list nothing. An unfinished one is judged by what it says already.
CREATE OR REPLACE VIEW reconciliation_judged AS
SELECT run_id, kind, coalesce(symbol, '') AS symbol, started_at, finished_at, mismatches, engine_seq, ledger_seq, doubt,
       CASE WHEN doubt IS NULL THEN status ELSE 'unknown' END AS verdict, status
  FROM (SELECT run_id, kind, symbol, started_at, finished_at, mismatches, engine_seq, ledger_seq, status,
               CASE
               WHEN started_at < timestamptz '2000-01-01' THEN 'its times are impossible'
               WHEN started_at > (SELECT statement_timestamp() + interval '2 seconds')
                 OR finished_at > (SELECT statement_timestamp() + interval '2 seconds')
                 OR finished_at < started_at - interval '2 seconds' THEN 'its times are impossible'
               WHEN status = 'clean' THEN
                   CASE WHEN mismatches <> '[]' THEN 'it says clean and lists mismatches' END
               WHEN status = 'mismatch' THEN
                   CASE WHEN pg_column_size(mismatches) > 1000000 THEN 'its mismatches are too large to read'
                        WHEN jsonb_typeof(mismatches) <> 'array' THEN 'its mismatches cannot be read'
                        WHEN mismatches <> '[]' AND NOT jsonb_path_exists(mismatches, '$[*] ? (
                             @.venue like_regex "^-?[0-9]{1,30}([.][0-9]{1,30})?$"
                             && @.books like_regex "^-?[0-9]{1,30}([.][0-9]{1,30})?$")')
                        THEN 'its mismatches cannot be read' END
               WHEN status <> 'unknown' THEN 'its status is no known word'
               END AS doubt
          FROM reconciliation_runs) AS runs;
