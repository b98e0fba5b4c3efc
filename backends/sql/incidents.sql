-- What the rest of a night needs: incidents with their clocks and story, kill switches, pages and their deliveries.
-- Applied by `cockpit init` after schema.sql, safe to repeat.

CREATE TABLE IF NOT EXISTS incidents (
    incident_id     uuid PRIMARY KEY DEFAULT gen_random_uuid(),
    opened_at       timestamptz NOT NULL DEFAULT clock_timestamp(),
    severity        text NOT NULL CHECK (severity IN ('P0', 'P1', 'P2', 'P3')),   -- critical: P0, P1
    classification  text NOT NULL DEFAULT 'other',
    title           text NOT NULL,
    status          text NOT NULL DEFAULT 'open',  -- open, acknowledged, resolved
    source          text NOT NULL DEFAULT 'manual', -- manual trip: 'trip'; never holds up a resume
    breaker_id      text,
    dedup_key       text UNIQUE,
    owner           text,
    acknowledged_at timestamptz,
    acknowledged_by text,
    resolved_at     timestamptz
);
-- dedup_key: at most one unresolved incident has it. A standing condition's key (slo:…, latch:…) is given free when
-- its incident is resolved, by adding the incident's id to it; of what happens once (trip:…, run:…) it stays.
ALTER TABLE incidents
    ADD COLUMN IF NOT EXISTS alarm_at      timestamptz,      -- its acknowledgement clock began
    ADD COLUMN IF NOT EXISTS snoozed_until timestamptz,      -- warns nobody until then; its clocks go on
    ADD COLUMN IF NOT EXISTS last_event_at timestamptz,
    ADD COLUMN IF NOT EXISTS opened_by     text NOT NULL DEFAULT '',
    ADD COLUMN IF NOT EXISTS root_cause    text,
    ADD COLUMN IF NOT EXISTS resolved_by   text,
    ADD COLUMN IF NOT EXISTS merged_into   uuid REFERENCES incidents,
    ADD COLUMN IF NOT EXISTS breakers      text[] NOT NULL DEFAULT '{}',  -- linked, besides breaker_id
    ADD COLUMN IF NOT EXISTS slos          text[] NOT NULL DEFAULT '{}',
    ADD COLUMN IF NOT EXISTS run_id        text,             -- the run folder that reported it
    ADD COLUMN IF NOT EXISTS run_incident  text,             -- its id there
    ADD COLUMN IF NOT EXISTS run_ack_due   boolean NOT NULL DEFAULT false; -- acknowledged here, not yet written there
-- Incidents of before there was such a clock: it began when they were opened.
UPDATE incidents SET alarm_at = opened_at WHERE alarm_at IS NULL;
UPDATE incidents SET last_event_at = coalesce(acknowledged_at, opened_at) WHERE last_event_at IS NULL;
ALTER TABLE incidents
    ALTER COLUMN alarm_at SET DEFAULT clock_timestamp(),
    ALTER COLUMN alarm_at SET NOT NULL,
    ALTER COLUMN last_event_at SET DEFAULT clock_timestamp(),
    ALTER COLUMN last_event_at SET NOT NULL;
CREATE INDEX IF NOT EXISTS incidents_opened ON incidents (opened_at DESC);
CREATE INDEX IF NOT EXISTS incidents_run ON incidents (run_id, run_incident) WHERE run_id IS NOT NULL;
DO $$
BEGIN
    ALTER TABLE incidents ADD CONSTRAINT incidents_status CHECK (status IN ('open', 'acknowledged', 'resolved', 'merged'));
EXCEPTION WHEN duplicate_object THEN
    NULL;
END $$;
-- Merged is over too.
DROP INDEX IF EXISTS incidents_unresolved;
CREATE INDEX IF NOT EXISTS incidents_alive ON incidents (opened_at DESC) WHERE status IN ('open', 'acknowledged');
-- In the orders of panel 3: ten thousand are listed without sorting them.
CREATE INDEX IF NOT EXISTS incidents_worst ON incidents ((status = 'acknowledged'), severity, alarm_at, incident_id)
    WHERE status IN ('open', 'acknowledged');
CREATE INDEX IF NOT EXISTS incidents_over ON incidents ((coalesce(resolved_at, opened_at)) DESC, incident_id)
    WHERE status IN ('resolved', 'merged');

-- The story: added to, never changed. What a person did names its entry in the audit chain.
CREATE TABLE IF NOT EXISTS incident_events (
    event_id     bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    incident_id  uuid NOT NULL REFERENCES incidents,
    at           timestamptz NOT NULL DEFAULT clock_timestamp(),
    kind         text NOT NULL,
    actor        text NOT NULL,
    notes        text NOT NULL DEFAULT ''
);
ALTER TABLE incident_events
    ADD COLUMN IF NOT EXISTS details   jsonb NOT NULL DEFAULT '{}',
    ADD COLUMN IF NOT EXISTS audit_seq bigint;
CREATE INDEX IF NOT EXISTS incident_events_of ON incident_events (incident_id, event_id);
-- The desk asks at every reading which trips of people were told in an incident that was under way, within an hour.
CREATE INDEX IF NOT EXISTS incident_events_trips ON incident_events (at DESC)
    WHERE kind = 'tripped' AND actor <> 'authority';

CREATE TABLE IF NOT EXISTS incident_actions (
    action_id   uuid PRIMARY KEY,                 -- the request that added it
    incident_id uuid NOT NULL REFERENCES incidents,
    what        text NOT NULL,
    owner       text NOT NULL,
    due_at      timestamptz,
    added_by    text NOT NULL,
    added_at    timestamptz NOT NULL DEFAULT clock_timestamp(),
    done_at     timestamptz,
    done_by     text
);
CREATE INDEX IF NOT EXISTS incident_actions_of ON incident_actions (incident_id);

-- One for each trip of global whose signed request says `kill-switch`. Open until its review is approved.
CREATE TABLE IF NOT EXISTS kill_switches (
    kill_id      uuid PRIMARY KEY,                -- the event of the trip
    redis_run_id text NOT NULL,
    counter      bigint NOT NULL,
    login        text NOT NULL,
    notes        text NOT NULL,
    started_at   timestamptz NOT NULL DEFAULT clock_timestamp(),
    reviewed_at  timestamptz,
    reviewed_by  text,
    review       text,
    approved_by  text,
    audit_seq    bigint                           -- of the review
);
CREATE INDEX IF NOT EXISTS kill_switches_unreviewed ON kill_switches (started_at DESC) WHERE reviewed_at IS NULL;
CREATE TABLE IF NOT EXISTS kill_steps (
    step_id   uuid PRIMARY KEY,                   -- the request that reported it
    kill_id   uuid NOT NULL,
    step      text NOT NULL,                      -- trip, acknowledged, cancel, flatten, verify
    outcome   text NOT NULL,                      -- done, failed, waiting, residual, flat
    details   jsonb NOT NULL DEFAULT '{}',
    login     text NOT NULL,
    at        timestamptz NOT NULL DEFAULT clock_timestamp(),
    audit_seq bigint
);
CREATE INDEX IF NOT EXISTS kill_steps_of ON kill_steps (kill_id, at);

-- Pages: one row for each thing that must be said of an incident, one delivery for each receiver. All rows of an
-- incident share its dedup_key, under which delivery is at least once.
CREATE TABLE IF NOT EXISTS outbox (
    outbox_id       bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    dedup_key       text NOT NULL UNIQUE,
    incident_id     uuid REFERENCES incidents,
    severity        text NOT NULL CHECK (severity IN ('P0', 'P1', 'P2', 'P3')),
    title           text NOT NULL,
    details         jsonb NOT NULL DEFAULT '{}',
    created_at      timestamptz NOT NULL DEFAULT clock_timestamp(),
    attempts        int NOT NULL DEFAULT 0,
    next_attempt_at timestamptz NOT NULL DEFAULT clock_timestamp(),
    delivered_at    timestamptz,
    last_error      text
);
ALTER TABLE outbox DROP CONSTRAINT IF EXISTS outbox_dedup_key_key;
ALTER TABLE outbox ADD COLUMN IF NOT EXISTS event text NOT NULL DEFAULT 'trigger';
DO $$
BEGIN
    ALTER TABLE outbox ADD CONSTRAINT outbox_event CHECK (event IN ('trigger', 'acknowledge', 'resolve'));
EXCEPTION WHEN duplicate_object THEN
    NULL;
END $$;
CREATE INDEX IF NOT EXISTS outbox_of ON outbox (incident_id, outbox_id);
CREATE INDEX IF NOT EXISTS outbox_waiting ON outbox (outbox_id) WHERE delivered_at IS NULL;
CREATE TABLE IF NOT EXISTS page_deliveries (
    outbox_id       bigint NOT NULL REFERENCES outbox,
    receiver        text NOT NULL,
    attempts        int NOT NULL DEFAULT 0,
    next_attempt_at timestamptz NOT NULL DEFAULT clock_timestamp(),
    delivered_at    timestamptz,
    given_up_at     timestamptz,                  -- the receiver refuses it for good (400)
    last_error      text,
    PRIMARY KEY (outbox_id, receiver)
);

-- How far the authority has read each file of the run folders and audit logs. inode and mark tell the file again.
CREATE TABLE IF NOT EXISTS run_offsets (
    path       text PRIMARY KEY,                  -- RUN/FILE or audit_logs/FILE
    inode      text NOT NULL,
    read_to    bigint NOT NULL,
    mark       bytea NOT NULL,
    updated_at timestamptz NOT NULL DEFAULT clock_timestamp()
);
CREATE INDEX IF NOT EXISTS incidents_run_acks ON incidents (incident_id) WHERE run_ack_due;
CREATE INDEX IF NOT EXISTS incidents_logged ON incidents (run_incident) WHERE source = 'audit-log';
