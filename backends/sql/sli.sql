-- Roll-ups of sli_samples by the minute and by the hour. Safe to repeat; a database that has samples already
-- gets its buckets filled once. A bucket holds (start_at, start_at + width_s], as windows and slices do.

-- What a sample must be to enter any sum. NaN sorts above every number.
CREATE OR REPLACE FUNCTION sli_sound(good numeric, total numeric, value double precision) RETURNS boolean
LANGUAGE sql IMMUTABLE PARALLEL SAFE
RETURN good >= 0 AND good <= total AND total < 'Infinity'
       AND (value IS NULL OR (value > '-Infinity' AND value < 'Infinity'));

CREATE OR REPLACE FUNCTION sli_bucket_start(observed_at timestamptz, width_s integer) RETURNS timestamptz
LANGUAGE sql IMMUTABLE PARALLEL SAFE
RETURN date_bin(width_s * interval '1 second', observed_at - interval '1 microsecond', timestamptz 'epoch');

CREATE INDEX IF NOT EXISTS sli_samples_value ON sli_samples (sli, observed_at DESC) INCLUDE (value)
    WHERE value IS NOT NULL AND sli_sound(good, total, value);
CREATE INDEX IF NOT EXISTS sli_samples_unsound ON sli_samples (sli, observed_at)
    WHERE NOT sli_sound(good, total, value);

-- `least` and `most` tell, of a whole bucket, on which side of any bound its readings are; only where they
-- straddle it must the samples be looked at.
DO $$
BEGIN
    IF to_regclass('public.sli_buckets') IS NOT NULL THEN
        RETURN;
    END IF;
    LOCK TABLE sli_samples IN SHARE ROW EXCLUSIVE MODE;  -- until the trigger below is there
    CREATE TABLE sli_buckets (
        sli            text NOT NULL,
        width_s        integer NOT NULL,
        start_at       timestamptz NOT NULL,
        good           numeric NOT NULL,           -- of sound samples only, like all up to `most`
        total          numeric NOT NULL,
        samples        bigint NOT NULL,
        readings       bigint NOT NULL,            -- samples that have a value
        least          double precision,
        most           double precision,
        contradictions bigint NOT NULL,            -- samples that are not sound
        newest_at      timestamptz NOT NULL,
        PRIMARY KEY (sli, width_s, start_at)
    );
    INSERT INTO sli_buckets
    SELECT sli, width_s, sli_bucket_start(observed_at, width_s),
           coalesce(sum(good) FILTER (WHERE sli_sound(good, total, value)), 0),
           coalesce(sum(total) FILTER (WHERE sli_sound(good, total, value)), 0),
           count(*) FILTER (WHERE sli_sound(good, total, value)),
           count(value) FILTER (WHERE sli_sound(good, total, value)),
           min(value) FILTER (WHERE sli_sound(good, total, value)),
           max(value) FILTER (WHERE sli_sound(good, total, value)),
           count(*) FILTER (WHERE NOT sli_sound(good, total, value)),
           max(observed_at)
      FROM sli_samples CROSS JOIN (VALUES (60), (3600)) AS widths (width_s)
     WHERE isfinite(observed_at)
     GROUP BY 1, 2, 3;
END $$;

-- With the owner's rights, so that whoever writes samples needs none on the buckets. Buckets stay locked until
-- the writer's transaction ends. One statement locks its buckets in one order, so that two statements that are
-- a transaction each wait for one another and never in a circle; transactions of several statements can, and
-- then Postgres ends one of them (40P01).
CREATE OR REPLACE FUNCTION sli_roll_up() RETURNS trigger
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, public, pg_temp AS $$
BEGIN
    INSERT INTO public.sli_buckets AS kept
    SELECT sli, width_s, public.sli_bucket_start(observed_at, width_s),
           coalesce(sum(good) FILTER (WHERE sound), 0),
           coalesce(sum(total) FILTER (WHERE sound), 0),
           count(*) FILTER (WHERE sound),
           count(value) FILTER (WHERE sound),
           min(value) FILTER (WHERE sound),
           max(value) FILTER (WHERE sound),
           count(*) FILTER (WHERE NOT sound),
           max(observed_at)
      FROM (SELECT *, public.sli_sound(good, total, value) AS sound FROM fresh) AS judged
           CROSS JOIN (VALUES (60), (3600)) AS widths (width_s)
     WHERE isfinite(observed_at)
     GROUP BY 1, 2, 3 ORDER BY 1, 2, 3
        ON CONFLICT (sli, width_s, start_at) DO UPDATE SET
           good = kept.good + excluded.good,
           total = kept.total + excluded.total,
           samples = kept.samples + excluded.samples,
           readings = kept.readings + excluded.readings,
           least = least(kept.least, excluded.least),
           most = greatest(kept.most, excluded.most),
           contradictions = kept.contradictions + excluded.contradictions,
           newest_at = greatest(kept.newest_at, excluded.newest_at);
    RETURN NULL;
END $$;

CREATE OR REPLACE TRIGGER sli_samples_roll_up AFTER INSERT ON sli_samples
    REFERENCING NEW TABLE AS fresh FOR EACH STATEMENT EXECUTE FUNCTION sli_roll_up();
