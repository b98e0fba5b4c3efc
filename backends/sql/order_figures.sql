-- $1 window in seconds, $2 symbols, $3 strategies (both empty: every order).
SELECT count(*) AS orders,
       count(*) FILTER (WHERE status = 'rejected') AS rejected,
       percentile_cont(0.95) WITHIN GROUP (ORDER BY latency_ms) AS p95_ms
FROM recent_orders
WHERE placed_at > statement_timestamp() - make_interval(secs => $1::double precision)
  AND (cardinality($2::text[]) + cardinality($3::text[]) = 0 OR symbol = ANY ($2) OR strategy = ANY ($3))
