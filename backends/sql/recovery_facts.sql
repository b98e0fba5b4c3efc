-- Daily bars of the symbols $1 and the newest data-quality cycle. A bar counts that is possible and whose day (UTC) is
-- over; of the $2 days that end with the symbol's newest such.
-- A cycle whose end no clock can have given is no newest one, or one such would hide all that follow: impossible counts
-- those (1000 at most). One that lies ahead by less than a day, or whose begin is impossible, is unknown. No time goes out
-- that a client cannot hold.
WITH clock AS (SELECT clock_timestamp() AS now),
newest AS (
    SELECT symbol, max(day) AS day FROM daily_bars, clock
     WHERE symbol = ANY ($1::text[]) AND day >= date '1970-01-01' AND day < (now AT TIME ZONE 'UTC')::date
     GROUP BY symbol),
counted AS (
    SELECT n.symbol, n.day, count(*) FILTER (
               WHERE low > 0 AND low <= least(open, close) AND greatest(open, close) <= high
                 AND high < 'Infinity' AND volume >= 0 AND volume < 'Infinity') AS sound
      FROM newest n JOIN daily_bars b ON b.symbol = n.symbol AND b.day <= n.day AND b.day > n.day - $2::int
     GROUP BY n.symbol, n.day)
SELECT now AS at, array(SELECT row(symbol, day, sound) FROM counted) AS bars, q.*,
       (SELECT count(*) FROM (
           (SELECT FROM quality_cycles WHERE finished_at < timestamptz '1970-01-01Z' LIMIT 1000) UNION ALL
           (SELECT FROM quality_cycles WHERE finished_at > now + interval '1 day' LIMIT 1000)) AS odd) AS impossible
  FROM clock LEFT JOIN LATERAL (
       SELECT least(greatest(started_at, timestamptz '1970-01-01Z'), now) AS started_at, errors, stale_warnings,
              CASE WHEN finished_at > now + interval '2 seconds' OR started_at > finished_at + interval '2 seconds'
                        OR started_at < timestamptz '1970-01-01Z'
                   THEN 'unknown' ELSE status END AS status
         FROM quality_cycles
        WHERE finished_at >= timestamptz '1970-01-01Z' AND finished_at <= now + interval '1 day'
        ORDER BY finished_at DESC LIMIT 1) q ON true
