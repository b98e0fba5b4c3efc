-- The tables of the outside contract, and the authority's own. Applied by `cockpit init`, safe to repeat.

CREATE TABLE IF NOT EXISTS operators (
    login       text PRIMARY KEY,
    person_id   text NOT NULL,
    created_at  timestamptz NOT NULL DEFAULT clock_timestamp(),
    revoked_at  timestamptz
);

CREATE TABLE IF NOT EXISTS role_grants (
    grant_id    bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    login       text NOT NULL REFERENCES operators,
    role        text NOT NULL CHECK (role IN ('safety-admin', 'operator-act', 'automation-role', 'monitoring-read')),
    granted_at  timestamptz NOT NULL DEFAULT clock_timestamp(),
    expires_at  timestamptz,
    revoked_at  timestamptz
);

-- Public halves only. `login` is an operator's, or the authority's.
CREATE TABLE IF NOT EXISTS signing_keys (
    key_id        text PRIMARY KEY,
    login         text NOT NULL,
    public_key    text NOT NULL,              -- base64 of the 32 raw Ed25519 bytes
    registered_at timestamptz NOT NULL DEFAULT clock_timestamp(),
    revoked_at    timestamptz
);

-- What the authority last audited of each breaker; a restore compares Redis with it byte by byte.
CREATE TABLE IF NOT EXISTS breakers (
    breaker_id    text PRIMARY KEY,
    ancestors     text[] NOT NULL,
    redis_run_id  text,
    counter       bigint NOT NULL DEFAULT 0,  -- the highest trip counter known
    document      text,                       -- the bytes of breaker:<id> as last committed
    state         text NOT NULL DEFAULT 'OPEN',
    since         timestamptz NOT NULL DEFAULT clock_timestamp(),
    actor         text NOT NULL DEFAULT '',
    reason        text NOT NULL DEFAULT '',
    notes         text NOT NULL DEFAULT '',
    event_id      text,
    quiet_until   timestamptz,
    review_due_at timestamptz,                -- a trip's TTL; closes nothing
    updated_at    timestamptz NOT NULL DEFAULT clock_timestamp()
);

-- The inbox. People insert (request_id, payload, key_id, signature); the rest is the store's or the authority's.
CREATE TABLE IF NOT EXISTS requests (
    request_id   uuid PRIMARY KEY,
    payload      text NOT NULL CHECK (octet_length(payload) <= 16384),
    key_id       text NOT NULL CHECK (octet_length(key_id) <= 64),
    signature    text NOT NULL CHECK (octet_length(signature) <= 128),
    login        text NOT NULL DEFAULT session_user,
    client_addr  inet DEFAULT inet_client_addr(),
    submitted_at timestamptz NOT NULL DEFAULT clock_timestamp(),
    arrival      bigint GENERATED ALWAYS AS IDENTITY,
    status       text NOT NULL DEFAULT 'new'
                 CHECK (status IN ('new', 'awaiting_approval', 'committing', 'done', 'refused', 'denied',
                                   'rejected', 'void', 'expired')),
    kind         text,
    breaker_id   text,
    code         text,                        -- refusal code where it was refused
    message      text,
    outcome      jsonb,                       -- the contract's outcome object, once decided
    audit_seq    bigint,
    decided_at   timestamptz,
    expires_at   timestamptz
);
CREATE INDEX IF NOT EXISTS requests_open ON requests (arrival) WHERE status IN ('new', 'awaiting_approval', 'committing');

CREATE TABLE IF NOT EXISTS approvals (
    approval_id  uuid PRIMARY KEY,            -- the approving request
    request_id   uuid NOT NULL,               -- the approved half-open request
    payload_hash text NOT NULL,               -- SHA-256 of the approved payload
    breaker_id   text NOT NULL,
    redis_run_id text NOT NULL,
    counter      bigint NOT NULL,
    login        text NOT NULL,
    person_id    text NOT NULL,
    approved_at  timestamptz NOT NULL DEFAULT clock_timestamp(),
    expires_at   timestamptz NOT NULL,
    UNIQUE (request_id, person_id)
);

-- One run for an epoch, by its unique row.
CREATE TABLE IF NOT EXISTS probe_runs (
    run_id        uuid PRIMARY KEY,
    breaker_id    text NOT NULL,
    redis_run_id  text NOT NULL,
    counter       bigint NOT NULL,
    request_id    uuid NOT NULL,
    login         text NOT NULL,
    person_id     text NOT NULL,
    probes        text[] NOT NULL,
    required      int NOT NULL,
    started_at    timestamptz NOT NULL DEFAULT clock_timestamp(),
    deadline      timestamptz NOT NULL,
    status        text NOT NULL DEFAULT 'running' CHECK (status IN ('running', 'passed', 'failed', 'abandoned')),
    passed        int NOT NULL DEFAULT 0,
    verdict       text NOT NULL DEFAULT '',
    decided_at    timestamptz,
    close_until   timestamptz,
    used_by       uuid,                       -- the close that it authorised
    UNIQUE (breaker_id, redis_run_id, counter)
);

CREATE TABLE IF NOT EXISTS probe_results (
    result_id    bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    run_id       uuid NOT NULL,
    ordinal      int NOT NULL,
    name         text NOT NULL CHECK (octet_length(name) <= 64),
    passed       boolean NOT NULL,
    latency_ms   double precision NOT NULL,
    detail       text NOT NULL CHECK (octet_length(detail) <= 2000),
    payload      text NOT NULL CHECK (octet_length(payload) <= 8192),
    key_id       text NOT NULL CHECK (octet_length(key_id) <= 64),
    signature    text NOT NULL CHECK (octet_length(signature) <= 128),
    login        text NOT NULL DEFAULT session_user,
    received_at  timestamptz NOT NULL DEFAULT clock_timestamp()
);
CREATE INDEX IF NOT EXISTS probe_results_run ON probe_results (run_id);

CREATE TABLE IF NOT EXISTS audit_log (
    seq             bigint PRIMARY KEY,
    event_id        text NOT NULL,
    timestamp       timestamptz NOT NULL,
    action          text NOT NULL,
    user_id         text NOT NULL,
    role            text NOT NULL,
    target          text NOT NULL,
    details         jsonb NOT NULL,
    details_text    text NOT NULL,            -- the canonical bytes of `details`, which the chain covers
    ip_address      text,
    key_id          text NOT NULL,
    payload         text NOT NULL,
    payload_hash    text NOT NULL,
    signed_hash     text NOT NULL,
    prev_hash       text NOT NULL,
    chain_hash      text NOT NULL UNIQUE,
    evidence_link   text,
    evidence_sha256 text
);
CREATE INDEX IF NOT EXISTS audit_log_event ON audit_log (event_id);
CREATE INDEX IF NOT EXISTS audit_log_action ON audit_log (action, timestamp DESC);

-- Locked by every append: the private row that serialises the chain.
CREATE TABLE IF NOT EXISTS audit_head (
    only_row   boolean PRIMARY KEY DEFAULT true CHECK (only_row),
    seq        bigint NOT NULL,
    chain_hash text NOT NULL
);
INSERT INTO audit_head (seq, chain_hash) VALUES (0, repeat('0', 64)) ON CONFLICT DO NOTHING;

CREATE TABLE IF NOT EXISTS audit_anchors (
    seq          bigint PRIMARY KEY,
    chain_hash   text NOT NULL,
    signed_at    timestamptz NOT NULL,
    key_id       text NOT NULL,
    signature    text NOT NULL,
    evidence_key text NOT NULL
);

-- Every loosening between its intent and its outcome. A successor finishes or voids what it finds here.
CREATE TABLE IF NOT EXISTS commits (
    commit_id    uuid PRIMARY KEY,            -- event_id of the document that it writes
    request_id   uuid,
    breaker_id   text NOT NULL,
    transition   text NOT NULL,
    redis_run_id text NOT NULL,
    counter      bigint NOT NULL,
    term         bigint NOT NULL,
    document     text NOT NULL,
    deadline     timestamptz NOT NULL,
    intent_seq   bigint NOT NULL,
    outcome_seq  bigint,
    status       text NOT NULL DEFAULT 'intent' CHECK (status IN ('intent', 'applied', 'void')),
    context      jsonb NOT NULL DEFAULT '{}'
);
CREATE INDEX IF NOT EXISTS commits_open ON commits (commit_id) WHERE status = 'intent';

CREATE TABLE IF NOT EXISTS reset_slots (
    slot_id    bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    breaker_id text NOT NULL,
    commit_id  uuid NOT NULL,
    taken_at   timestamptz NOT NULL DEFAULT clock_timestamp()
);

CREATE TABLE IF NOT EXISTS genesis (
    only_row boolean PRIMARY KEY DEFAULT true CHECK (only_row),
    given_at timestamptz NOT NULL DEFAULT clock_timestamp(),
    run_id   text NOT NULL,
    payload  text NOT NULL,                   -- the owner's signed-off list of breakers
    used_at  timestamptz
);

-- Who acts as the authority. The term fences every write, in Redis too.
CREATE TABLE IF NOT EXISTS authority_lease (
    only_row    boolean PRIMARY KEY DEFAULT true CHECK (only_row),
    holder      text NOT NULL,
    term        bigint NOT NULL,
    renewed_at  timestamptz NOT NULL,
    expires_at  timestamptz NOT NULL,
    status      jsonb NOT NULL DEFAULT '{}'   -- health for screens: redis_run_id, chain, evidence, queue, alarms
);

-- What the desk's snapshot reads each second.
CREATE INDEX IF NOT EXISTS requests_decided ON requests (decided_at DESC) WHERE decided_at IS NOT NULL;
CREATE INDEX IF NOT EXISTS reset_slots_taken ON reset_slots (taken_at DESC);
CREATE INDEX IF NOT EXISTS probe_runs_started ON probe_runs (started_at DESC);

-- Agreed adjustments of error budgets: events of (from_at, until_at] do not count while one is in force.
CREATE TABLE IF NOT EXISTS slo_exclusions (
    exclusion_id uuid PRIMARY KEY,            -- the request that asked for it
    slo          text NOT NULL,
    from_at      timestamptz NOT NULL,
    until_at     timestamptz NOT NULL CHECK (until_at > from_at),
    notes        text NOT NULL,
    login        text NOT NULL,
    person_id    text NOT NULL,
    approved_by  text NOT NULL,
    audit_seq    bigint NOT NULL,
    created_at   timestamptz NOT NULL DEFAULT clock_timestamp(),
    reverted_at  timestamptz,
    reverted_by  text
);

-- Caps on order size that a person or the guard asked for; only a person lifts one.
CREATE TABLE IF NOT EXISTS size_limits (
    limit_id   uuid PRIMARY KEY,              -- the request that asked for it
    breaker_id text NOT NULL,
    share      numeric NOT NULL CHECK (share > 0 AND share < 1),
    source     text NOT NULL CHECK (source IN ('guard', 'person')),
    rule       text NOT NULL DEFAULT '',
    notes      text NOT NULL,
    login      text NOT NULL,
    audit_seq  bigint NOT NULL,
    set_at     timestamptz NOT NULL DEFAULT clock_timestamp(),
    lifted_at  timestamptz,
    lifted_by  text
);
CREATE INDEX IF NOT EXISTS size_limits_in_force ON size_limits (breaker_id) WHERE lifted_at IS NULL;

-- Which guard evaluates the automatic triggers. Its term fences what it records.
CREATE TABLE IF NOT EXISTS guard_lease (
    only_row   boolean PRIMARY KEY DEFAULT true CHECK (only_row),
    holder     text NOT NULL,
    login      text NOT NULL,
    term       bigint NOT NULL,
    renewed_at timestamptz NOT NULL,
    expires_at timestamptz NOT NULL,
    status     jsonb NOT NULL DEFAULT '{}'    -- each rule's distance to its threshold, for screens
);

-- What a rule did or, in shadow, would have done, and the samples that it rests on.
CREATE TABLE IF NOT EXISTS guard_firings (
    firing_id  uuid PRIMARY KEY,              -- the event of the trip, the request of a limit
    term       bigint NOT NULL,
    rule       text NOT NULL,
    mode       text NOT NULL CHECK (mode IN ('live', 'shadow')),
    effect     text NOT NULL CHECK (effect IN ('trip', 'limit')),
    aim        text NOT NULL,                 -- what the rule is aimed at: may be 'global'
    breaker_id text NOT NULL,                 -- what the guard itself may halt
    subject    text NOT NULL DEFAULT '',      -- the instrument that broke the rule
    value      double precision NOT NULL,
    threshold  double precision NOT NULL,
    samples    jsonb NOT NULL,
    fired_at   timestamptz NOT NULL DEFAULT clock_timestamp()
);
CREATE INDEX IF NOT EXISTS guard_firings_at ON guard_firings (fired_at DESC);
