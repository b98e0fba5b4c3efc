-- The plant's own ledger, beside the tables of the outside contract. Safe to repeat.
CREATE SCHEMA IF NOT EXISTS plant;

-- What the plant is worth, and the day that its profit is measured in.
CREATE TABLE IF NOT EXISTS plant.account (
    only_row   boolean PRIMARY KEY DEFAULT true CHECK (only_row),
    cash       numeric NOT NULL,          -- capital and the cash of all fills
    engine_seq bigint NOT NULL,           -- the venue's last fill
    ledger_seq bigint NOT NULL,           -- the last one that is settled
    slipped    numeric NOT NULL,          -- cost of injected slippage, not yet corrected
    day        date,                      -- UTC
    opening    numeric,                   -- the day's first equity
    peak       numeric                    -- and its highest
);

-- Fills that the venue reported and the ledger has not posted.
CREATE TABLE IF NOT EXISTS plant.unsettled (
    seq       bigint PRIMARY KEY,
    symbol    text NOT NULL,
    quantity  numeric NOT NULL,           -- signed
    cash      numeric NOT NULL,
    filled_at timestamptz NOT NULL
);

-- The ledger: the sum of all postings.
CREATE TABLE IF NOT EXISTS plant.balances (
    symbol   text PRIMARY KEY,
    quantity numeric NOT NULL,
    cash     numeric NOT NULL
);

-- Which fills the ledger has posted: the newest of them, for reconciliation with the engine's numbers.
CREATE TABLE IF NOT EXISTS plant.postings (
    seq       bigint PRIMARY KEY,
    symbol    text NOT NULL,
    posted_at timestamptz NOT NULL DEFAULT clock_timestamp()
);

-- What was answered under idempotency keys in the last day.
CREATE TABLE IF NOT EXISTS plant.answers (
    seq    bigint GENERATED ALWAYS AS IDENTITY,
    key    text PRIMARY KEY,
    asked  text NOT NULL,
    status int NOT NULL,
    answer jsonb NOT NULL
);
ALTER TABLE plant.answers ADD COLUMN IF NOT EXISTS answered_at timestamptz NOT NULL DEFAULT clock_timestamp();
CREATE INDEX IF NOT EXISTS answers_seq ON plant.answers (seq);

GRANT USAGE ON SCHEMA plant TO cockpit_gateway;
GRANT SELECT, INSERT, UPDATE, DELETE ON ALL TABLES IN SCHEMA plant TO cockpit_gateway;
