-- Every objective's figures at one moment of the server's clock, in one statement.
-- $1: a JSON array of objectives, as backends/sli_questions.py writes them; $2: another moment than now, or null.
-- Every stretch of time is left-open.
-- Each look-up is an aggregate of its own over few rows of one index, so that no plan can turn it round.
WITH moment AS MATERIALIZED (SELECT coalesce($2::timestamptz, clock_timestamp()) AS at),
asked AS MATERIALIZED (
    SELECT o.*, moment.at,
           CASE WHEN slice_s % 3600 = 0 THEN 3600 WHEN slice_s % 60 = 0 THEN 60 ELSE 0 END AS grain_s
      FROM moment, jsonb_to_recordset($1::jsonb) AS o (
           id int,
           sli text,
           kind text,                 -- events, counter, limit, latest
           low double precision,      -- of a limit: a reading is good from `low`
           high double precision,     -- to `high`
           windows int[],             -- seconds, longest first
           slice_s int,               -- of Timeslices, else null
           slice_target numeric,
           objective numeric,         -- where consecutive bad samples count, else null
           excluded tstzmultirange
      )
),

-- Windows of single events, and what exclusions cut out of each.
stretches AS (
    SELECT asked.*, window_s, cut, lo, hi
      FROM asked CROSS JOIN LATERAL unnest(windows) AS window_s
           CROSS JOIN LATERAL (
               SELECT false AS cut, at - window_s * interval '1 second' AS lo, at AS hi
               UNION ALL
               SELECT true, lower(piece), upper(piece)
                 FROM unnest(excluded * tstzmultirange(
                          tstzrange(at - window_s * interval '1 second', at, '(]'))) AS piece
           ) AS stretch
     WHERE slice_s IS NULL
),
-- Whole hours, whole minutes, and the samples of what is left at the edges.
edges AS (
    SELECT *,
           date_bin('60 s', lo - interval '1 us', 'epoch') + interval '60 s' AS first_minute,
           date_bin('60 s', hi, 'epoch') AS end_minute,
           date_bin('3600 s', lo - interval '1 us', 'epoch') + interval '3600 s' AS first_hour,
           date_bin('3600 s', hi, 'epoch') AS end_hour
      FROM stretches WHERE kind IN ('events', 'limit')
),
counted AS (
    SELECT id, window_s, cut, piece.good, piece.total
      FROM edges
           CROSS JOIN LATERAL (VALUES (3600, first_hour, end_hour),
                                      (60, first_minute, least(first_hour, end_minute)),
                                      (60, greatest(first_hour, end_hour), end_minute))
                   AS whole (width_s, from_at, until_at)
           CROSS JOIN LATERAL (
               SELECT sum(CASE WHEN kind = 'events' THEN b.good
                               WHEN b.least >= low AND b.most <= high THEN b.readings
                               WHEN b.most < low OR b.least > high OR b.readings = 0 THEN 0
                               ELSE (SELECT count(*) FROM sli_samples s
                                      WHERE s.sli = b.sli AND s.value BETWEEN low AND high
                                        AND s.observed_at > b.start_at
                                        AND s.observed_at <= b.start_at + b.width_s * interval '1 second'
                                        AND s.value IS NOT NULL AND sli_sound(s.good, s.total, s.value))
                          END) AS good,
                      sum(CASE kind WHEN 'events' THEN b.total ELSE b.readings END) AS total
                 FROM sli_buckets b
                WHERE b.sli = edges.sli AND b.width_s = whole.width_s
                  AND b.start_at >= whole.from_at AND b.start_at < whole.until_at
           ) AS piece
     WHERE whole.from_at < whole.until_at
    UNION ALL
    SELECT id, window_s, cut, piece.good, piece.total
      FROM edges
           CROSS JOIN LATERAL (VALUES (lo, least(first_minute, hi)),
                                      (greatest(first_minute, end_minute), hi))
                   AS rest (from_at, until_at)
           CROSS JOIN LATERAL (
               SELECT sum(CASE WHEN kind = 'events' THEN s.good WHEN s.value BETWEEN low AND high THEN 1 ELSE 0 END)
                          AS good,
                      CASE kind WHEN 'events' THEN sum(s.total) ELSE count(s.value) END AS total
                 FROM sli_samples s
                WHERE s.sli = edges.sli AND s.observed_at > rest.from_at AND s.observed_at <= rest.until_at
                  AND sli_sound(s.good, s.total, s.value)
           ) AS piece
     WHERE rest.from_at < rest.until_at
),
summed AS (
    SELECT id, json_agg(json_build_array(window_s, cut, good, total)) AS sums
      FROM (SELECT id, window_s, cut, coalesce(sum(good), 0) AS good, coalesce(sum(total), 0) AS total
              FROM counted GROUP BY 1, 2, 3) AS every
     GROUP BY 1
),

-- Cumulative counts: what the extrapolation over a stretch needs of its samples.
climbs AS (
    SELECT id, json_agg(json_build_array(window_s, cut, extract(epoch FROM lo), extract(epoch FROM hi),
                                         samples, first_s, last_s, first_good, first_total, good_rise, total_rise))
                   AS climbs
      FROM stretches CROSS JOIN LATERAL (
               SELECT count(*) AS samples, min(s) AS first_s, max(s) AS last_s,
                      min(good) FILTER (WHERE place = 1) AS first_good,
                      min(total) FILTER (WHERE place = 1) AS first_total,
                      coalesce(sum(CASE WHEN good < good_before THEN good ELSE good - good_before END), 0)
                          AS good_rise,
                      coalesce(sum(CASE WHEN total < total_before THEN total ELSE total - total_before END), 0)
                          AS total_rise
                 FROM (SELECT extract(epoch FROM s.observed_at) AS s, s.good, s.total,
                              row_number() OVER w AS place,
                              lag(s.good) OVER w AS good_before, lag(s.total) OVER w AS total_before
                         FROM sli_samples s
                        WHERE s.sli = stretches.sli AND s.observed_at > lo AND s.observed_at <= hi
                          AND sli_sound(s.good, s.total, s.value)
                       WINDOW w AS (ORDER BY s.observed_at, s.sample_id)) AS steps
           ) AS climb
     WHERE kind = 'counter'
     GROUP BY 1
),

-- Slices of time: (k * slice_s - slice_s, k * slice_s], counted where they end within the window. One that an
-- exclusion touches is left out; one without events does not count.
timed AS MATERIALIZED (
    SELECT asked.*, width, date_bin(width, at, 'epoch') AS until_at,
           (SELECT array_agg(date_bin(width, at - window_s * interval '1 second', 'epoch') ORDER BY window_s DESC)
              FROM unnest(windows) AS window_s) AS starts
      FROM asked CROSS JOIN LATERAL (SELECT slice_s * interval '1 second' AS width) AS slice
     WHERE slice_s IS NOT NULL
),
-- By the number of windows that hold a slice: reach 1 means that only the longest does.
slices AS (
    SELECT a.id, (
           SELECT json_agg(json_build_array(reach, cut, good, total))
             FROM (SELECT width_bucket(slice_at, a.starts) AS reach,
                          a.excluded && tstzrange(slice_at, slice_at + width, '(]') AS cut,
                          count(*) FILTER (WHERE good >= a.slice_target * total) AS good,
                          count(*) AS total
                     FROM (SELECT slice_at, sum(good) AS good, sum(total) AS total
                             FROM (SELECT date_bin(width, b.start_at, 'epoch') AS slice_at,
                                          CASE WHEN kind = 'events' THEN b.good
                                               WHEN b.least >= low AND b.most <= high THEN b.readings
                                               WHEN b.most < low OR b.least > high OR b.readings = 0 THEN 0
                                               ELSE (SELECT count(*) FROM sli_samples s
                                                      WHERE s.sli = b.sli AND s.value BETWEEN low AND high
                                                        AND s.observed_at > b.start_at
                                                        AND s.observed_at
                                                            <= b.start_at + b.width_s * interval '1 second'
                                                        AND s.value IS NOT NULL
                                                        AND sli_sound(s.good, s.total, s.value))
                                          END AS good,
                                          CASE kind WHEN 'events' THEN b.total ELSE b.readings END AS total
                                     FROM sli_buckets b
                                    WHERE grain_s > 0 AND b.sli = a.sli AND b.width_s = grain_s
                                      AND b.start_at >= starts[1] AND b.start_at < until_at
                                   UNION ALL
                                   SELECT date_bin(width, s.observed_at - interval '1 us', 'epoch'),
                                          CASE WHEN kind = 'events' THEN s.good
                                               WHEN s.value BETWEEN low AND high THEN 1 ELSE 0 END,
                                          CASE WHEN kind = 'events' THEN s.total
                                               WHEN s.value IS NULL THEN 0 ELSE 1 END
                                     FROM sli_samples s
                                    WHERE grain_s = 0 AND s.sli = a.sli
                                      AND s.observed_at > starts[1] AND s.observed_at <= until_at
                                      AND sli_sound(s.good, s.total, s.value)) AS events
                            GROUP BY slice_at HAVING sum(total) > 0) AS sliced
                    GROUP BY 1, 2) AS placed
           ) AS slices
      FROM timed a
),

-- The share of good events in each of the last 24 whole five minutes; a minute that an exclusion touches is out.
trends AS (
    SELECT id, json_object_agg(slot, round(good / total, 15)::double precision) AS trend
      FROM (SELECT id, slot, sum(good) AS good, sum(total) AS total
              FROM asked a
                   CROSS JOIN LATERAL (SELECT date_bin('300 s', at, 'epoch') AS until_at) AS whole
                   CROSS JOIN LATERAL (
                       SELECT 23 - floor(extract(epoch FROM until_at - b.start_at - interval '1 us') / 300)::int AS slot,
                              CASE WHEN kind = 'events' THEN b.good
                                   WHEN b.least >= low AND b.most <= high THEN b.readings
                                   WHEN b.most < low OR b.least > high OR b.readings = 0 THEN 0
                                   ELSE (SELECT count(*) FROM sli_samples s
                                          WHERE s.sli = b.sli AND s.value BETWEEN low AND high
                                            AND s.observed_at > b.start_at
                                            AND s.observed_at <= b.start_at + interval '60 s'
                                            AND s.value IS NOT NULL AND sli_sound(s.good, s.total, s.value))
                              END AS good,
                              CASE kind WHEN 'events' THEN b.total ELSE b.readings END AS total
                         FROM sli_buckets b
                        WHERE kind <> 'counter' AND b.sli = a.sli AND b.width_s = 60
                          AND b.start_at >= until_at - interval '7200 s' AND b.start_at < until_at
                          AND NOT excluded && tstzrange(b.start_at, b.start_at + interval '60 s', '(]')
                       UNION ALL
                       SELECT 23 - floor(extract(epoch FROM until_at - s.observed_at) / 300)::int,
                              CASE WHEN good < good_before THEN good ELSE good - good_before END,
                              CASE WHEN total < total_before THEN total ELSE total - total_before END
                         FROM (SELECT s.observed_at, s.good, s.total,
                                      lag(s.good) OVER w AS good_before, lag(s.total) OVER w AS total_before
                                 FROM sli_samples s
                                WHERE kind = 'counter' AND s.sli = a.sli
                                  AND s.observed_at > until_at - interval '7200 s' AND s.observed_at <= until_at
                                  AND sli_sound(s.good, s.total, s.value)
                               WINDOW w AS (ORDER BY s.observed_at, s.sample_id)) AS s
                        WHERE total_before IS NOT NULL AND NOT s.observed_at <@ excluded
                   ) AS r
             WHERE kind <> 'latest'
             GROUP BY 1, 2 HAVING sum(total) > 0) AS every
     GROUP BY 1
),

-- From the newest of at most 720 samples back to the first that is not bad. A sample of events is bad where the
-- five minutes up to it miss the objective; a reading, where it is on the wrong side.
streaks AS (
    SELECT id, sum(CASE kind WHEN 'limit' THEN 1 ELSE total END) AS streak
      FROM (SELECT *, bool_or(NOT bad) OVER (PARTITION BY id ORDER BY observed_at DESC, sample_id DESC) AS ended
              FROM (SELECT *, CASE kind WHEN 'limit' THEN NOT value BETWEEN low AND high
                                   ELSE coalesce(sum(good) OVER w < objective * sum(total) OVER w, false) END AS bad
                      FROM (SELECT a.id, kind, objective, low, high, s.observed_at, s.sample_id, s.value,
                                   CASE WHEN kind <> 'counter' THEN good
                                        WHEN good < good_before THEN good ELSE good - good_before END AS good,
                                   CASE WHEN kind <> 'counter' THEN total
                                        WHEN total < total_before THEN total ELSE total - total_before END AS total
                              FROM asked a CROSS JOIN LATERAL (
                                   SELECT s.*, lag(s.good) OVER w AS good_before, lag(s.total) OVER w AS total_before
                                     FROM (SELECT s.* FROM sli_samples s
                                            WHERE s.sli = a.sli AND s.observed_at > 'epoch' AND s.observed_at <= at
                                              AND sli_sound(s.good, s.total, s.value)
                                            ORDER BY s.observed_at DESC LIMIT 720) AS s
                                   WINDOW w AS (ORDER BY s.observed_at, s.sample_id)) AS s
                             WHERE objective IS NOT NULL AND (kind <> 'limit' OR value IS NOT NULL)
                               AND NOT s.observed_at <@ excluded) AS events
                    WINDOW w AS (PARTITION BY id ORDER BY observed_at
                                 RANGE BETWEEN '299.999999 s' PRECEDING AND CURRENT ROW)) AS judged) AS walked
     WHERE NOT ended
     GROUP BY 1
)

-- One row without an id where nothing is asked: the clock and the desk's figure are always told. A sample of
-- before 1970 or of no finite time is never the newest; where there are only such, `odd_times` says so.
SELECT asked.id, moment.at, newest.observed_at AS newest_at, newest.value, least(coalesce(streak, 0), 1000000000)::bigint AS streak,
       newest.observed_at IS NULL
       AND (EXISTS (SELECT FROM sli_samples s WHERE s.sli = asked.sli AND s.observed_at <= 'epoch')
            OR EXISTS (SELECT FROM sli_samples s WHERE s.sli = asked.sli AND s.observed_at > asked.at)) AS odd_times,
       (SELECT coalesce(extract(epoch FROM moment.at - min(alarm_at)) / 60, 0)::double precision FROM incidents
         WHERE severity IN ('P0', 'P1') AND status = 'open' AND source <> 'trip') AS unacknowledged_min,
       (SELECT count(*) FROM sli_samples s
         WHERE s.sli = asked.sli AND s.observed_at > asked.at - interval '3600 s' AND s.observed_at <= asked.at
           AND NOT sli_sound(s.good, s.total, s.value)) AS contradictions,
       json_build_object('sums', sums, 'climbs', climbs, 'slices', slices, 'trend', trend)::text AS figures
  FROM moment
       LEFT JOIN asked ON true
       LEFT JOIN LATERAL (
           (SELECT s.observed_at, s.value FROM sli_samples s
             WHERE kind IN ('limit', 'latest') AND s.sli = asked.sli
               AND s.observed_at > 'epoch' AND s.observed_at <= asked.at
               AND (s.value IS NOT NULL OR s.total = 0)  -- nothing to measure, and somebody who looked
               AND sli_sound(s.good, s.total, s.value)
             ORDER BY s.observed_at DESC LIMIT 1)
           UNION ALL
           (SELECT s.observed_at, NULL FROM sli_samples s
             WHERE kind IN ('events', 'counter') AND s.sli = asked.sli
               AND s.observed_at > 'epoch' AND s.observed_at <= asked.at
             ORDER BY s.observed_at DESC LIMIT 1)
       ) AS newest ON true
       LEFT JOIN summed USING (id)
       LEFT JOIN climbs USING (id)
       LEFT JOIN slices USING (id)
       LEFT JOIN trends USING (id)
       LEFT JOIN streaks USING (id)
 ORDER BY id;
