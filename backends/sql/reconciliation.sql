-- What a reconciliation run counts as. The trading side writes reconciliation_runs with its own login, so a value in it may
-- be anything that Postgres stores; every reader goes by this view. Applied by `cockpit init`, safe to repeat.
CREATE INDEX IF NOT EXISTS reconciliation_runs_line
    ON reconciliation_runs (kind, (coalesce(symbol, '')), started_at DESC, run_id DESC);

-- Bounds of what is written from now on. A row from before them stays, and is read with care: no clock of any writer is a
-- day ahead, and no list of mismatches has a million characters. Nothing takes such a row back but the owner.
DO $$
DECLARE
    bounds record;
BEGIN
    FOR bounds IN VALUES
        ('reconciliation_runs', 'reconciliation_runs_times',
         'started_at >= timestamptz ''1970-01-01Z'' AND started_at <= clock_timestamp() + interval ''1 day'''
         ' AND finished_at >= timestamptz ''1970-01-01Z'' AND finished_at <= clock_timestamp() + interval ''1 day'''),
        ('reconciliation_runs', 'reconciliation_runs_size', 'octet_length(mismatches::text) <= 1000000'),
        ('quality_cycles', 'quality_cycles_times',
         'started_at >= timestamptz ''1970-01-01Z'' AND started_at <= clock_timestamp() + interval ''1 day'''
         ' AND finished_at >= timestamptz ''1970-01-01Z'' AND finished_at <= clock_timestamp() + interval ''1 day'''),
        ('daily_bars', 'daily_bars_day', 'day >= date ''1970-01-01'' AND day < date ''9999-01-01''')
    LOOP
        IF NOT EXISTS (SELECT FROM pg_constraint
                        WHERE conrelid = bounds.column1::regclass AND conname = bounds.column2) THEN
            EXECUTE format('ALTER TABLE %I ADD CONSTRAINT %I CHECK (%s) NOT VALID',
                           bounds.column1, bounds.column2, bounds.column3);
        END IF;
    END LOOP;
END $$;

-- Why a run's list of mismatches makes it unknown, '' where it does not. A mismatch needs one item that can be read, or
-- none at all; a run that calls itself clean must list nothing.
CREATE OR REPLACE FUNCTION reconciliation_list_doubt(p_status text, p_mismatches jsonb) RETURNS text
LANGUAGE sql STABLE PARALLEL SAFE AS $$
    SELECT CASE
           WHEN p_status = 'clean' THEN
               CASE WHEN p_mismatches <> '[]' THEN 'it says clean and lists mismatches' ELSE '' END
           WHEN p_status = 'mismatch' THEN
               CASE WHEN pg_column_size(p_mismatches) > 1000000 THEN 'its mismatches are too large to read'
                    WHEN jsonb_typeof(p_mismatches) <> 'array' THEN 'its mismatches cannot be read'
                    WHEN p_mismatches <> '[]' AND NOT jsonb_path_exists(p_mismatches, '$[*] ? (
                         @.venue like_regex "^-?[0-9]{1,30}([.][0-9]{1,30})?$"
                         && @.books like_regex "^-?[0-9]{1,30}([.][0-9]{1,30})?$")')
                    THEN 'its mismatches cannot be read' ELSE '' END
           WHEN p_status <> 'unknown' THEN 'its status is no known word'
           ELSE '' END
$$;

-- What a list of mismatches names. No instrument of any catalogue has a longer name.
CREATE OR REPLACE FUNCTION reconciliation_named(p_mismatches jsonb) RETURNS text[]
LANGUAGE sql STABLE PARALLEL SAFE AS $$
    SELECT coalesce(array_agg(DISTINCT name), '{}') FROM (
        SELECT each #>> '{}' AS name FROM jsonb_path_query(p_mismatches, '$[*].symbol') AS each) AS names
     WHERE length(name) <= 64
$$;

-- Both are worked out as the row is written, and not at each reading: whoever writes bulky rows waits for them himself.
-- Rows from before have NULL here. list_doubt as above; named: only of runs that are of no single instrument.
ALTER TABLE reconciliation_runs ADD COLUMN IF NOT EXISTS list_doubt text;
ALTER TABLE reconciliation_runs ADD COLUMN IF NOT EXISTS named text[];

CREATE OR REPLACE FUNCTION reconciliation_note_row() RETURNS trigger
LANGUAGE plpgsql SET search_path = pg_catalog, public, pg_temp AS $$
BEGIN
    NEW.list_doubt := public.reconciliation_list_doubt(NEW.status, NEW.mismatches);
    NEW.named := CASE WHEN coalesce(NEW.symbol, '') = '' THEN public.reconciliation_named(NEW.mismatches) END;
    RETURN NEW;
END $$;
CREATE OR REPLACE TRIGGER reconciliation_runs_noted BEFORE INSERT OR UPDATE ON reconciliation_runs
    FOR EACH ROW EXECUTE FUNCTION reconciliation_note_row();

-- doubt: why a run that says something else counts as unknown. A mismatch that has not finished is one already; what is
-- not finished is not clean.
CREATE OR REPLACE VIEW reconciliation_judged AS
SELECT run_id, kind, coalesce(symbol, '') AS symbol, started_at, finished_at, mismatches, engine_seq, ledger_seq, doubt,
       CASE WHEN doubt IS NULL THEN status ELSE 'unknown' END AS verdict, status, named
  FROM (SELECT run_id, kind, symbol, started_at, finished_at, mismatches, engine_seq, ledger_seq, status, named,
               CASE
               WHEN started_at < timestamptz '2000-01-01' THEN 'its times are impossible'
               WHEN started_at > (SELECT statement_timestamp() + interval '2 seconds')
                 OR finished_at > (SELECT statement_timestamp() + interval '2 seconds')
                 OR finished_at < started_at - interval '2 seconds' THEN 'its times are impossible'
               WHEN status = 'clean' AND finished_at IS NULL THEN 'it says clean and has not finished'
               ELSE nullif(coalesce(list_doubt, reconciliation_list_doubt(status, mismatches)), '')
               END AS doubt
          FROM reconciliation_runs) AS runs;
