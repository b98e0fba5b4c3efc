-- What the trading side writes: orders, positions, its records about its data. Applied by `cockpit init`, safe to repeat.

CREATE TABLE IF NOT EXISTS recent_orders (
    order_id      text PRIMARY KEY,
    symbol        text NOT NULL,
    strategy      text,
    side          text NOT NULL CHECK (side IN ('buy', 'sell')),
    quantity      numeric NOT NULL,
    price         numeric,
    status        text NOT NULL,              -- new, open, filled, rejected, cancelled
    reject_reason text,
    latency_ms    double precision,
    slippage      numeric,
    paper         boolean NOT NULL DEFAULT false,
    reduce_only   boolean NOT NULL DEFAULT false,
    placed_at     timestamptz NOT NULL DEFAULT clock_timestamp(),
    updated_at    timestamptz NOT NULL DEFAULT clock_timestamp()
);
CREATE INDEX IF NOT EXISTS recent_orders_placed ON recent_orders (placed_at DESC);
CREATE INDEX IF NOT EXISTS recent_orders_open ON recent_orders (symbol) WHERE status IN ('new', 'open');

CREATE TABLE IF NOT EXISTS positions (
    symbol      text PRIMARY KEY,
    quantity    numeric NOT NULL,
    avg_price   numeric,
    mark_price  numeric,
    max_quantity numeric,                     -- the position limit, absolute
    updated_at  timestamptz NOT NULL DEFAULT clock_timestamp()
);

CREATE TABLE IF NOT EXISTS automations (
    name        text PRIMARY KEY,
    breaker_id  text NOT NULL,
    status      text NOT NULL,                -- running, paused_risk
    reason      text,
    updated_at  timestamptz NOT NULL DEFAULT clock_timestamp()
);

CREATE TABLE IF NOT EXISTS reconciliation_runs (
    run_id       uuid PRIMARY KEY DEFAULT gen_random_uuid(),
    kind         text NOT NULL,               -- order, position, ledger
    symbol       text,
    status       text NOT NULL,               -- clean, mismatch, unknown
    started_at   timestamptz NOT NULL DEFAULT clock_timestamp(),
    finished_at  timestamptz,
    mismatches   jsonb NOT NULL DEFAULT '[]',
    engine_seq   bigint,
    ledger_seq   bigint
);
CREATE INDEX IF NOT EXISTS reconciliation_runs_of ON reconciliation_runs (kind, symbol, started_at DESC);
CREATE INDEX IF NOT EXISTS reconciliation_runs_at ON reconciliation_runs (started_at DESC);

CREATE TABLE IF NOT EXISTS sli_samples (
    sample_id   bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    sli         text NOT NULL,
    good        numeric NOT NULL,
    total       numeric NOT NULL,
    value       double precision,
    observed_at timestamptz NOT NULL DEFAULT clock_timestamp()
);
CREATE INDEX IF NOT EXISTS sli_samples_at ON sli_samples (sli, observed_at DESC);

CREATE TABLE IF NOT EXISTS daily_bars (
    symbol text NOT NULL,
    day    date NOT NULL,                         -- UTC
    open   numeric NOT NULL,
    high   numeric NOT NULL,
    low    numeric NOT NULL,
    close  numeric NOT NULL,
    volume numeric NOT NULL,
    PRIMARY KEY (symbol, day)
);
CREATE TABLE IF NOT EXISTS quality_cycles (
    cycle_id       uuid PRIMARY KEY DEFAULT gen_random_uuid(),
    started_at     timestamptz NOT NULL,
    finished_at    timestamptz NOT NULL DEFAULT clock_timestamp(),
    status         text NOT NULL CHECK (status IN ('clean', 'breach', 'unknown')),
    errors         int NOT NULL,
    stale_warnings int NOT NULL,
    details        jsonb NOT NULL DEFAULT '{}'
);
CREATE INDEX IF NOT EXISTS quality_cycles_at ON quality_cycles (finished_at DESC);
