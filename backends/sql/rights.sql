-- Who may do what in this database. Everything is taken away first, so that a repeat also undoes strays.

-- Before PostgreSQL 15 everyone may create tables here.
REVOKE ALL ON SCHEMA public FROM PUBLIC, cockpit_people, cockpit_prober, cockpit_authority, cockpit_gateway;
REVOKE ALL ON ALL TABLES IN SCHEMA public FROM PUBLIC, cockpit_people, cockpit_prober, cockpit_authority, cockpit_gateway;
REVOKE ALL ON ALL SEQUENCES IN SCHEMA public FROM PUBLIC, cockpit_people, cockpit_prober, cockpit_authority, cockpit_gateway;
REVOKE ALL ON ALL FUNCTIONS IN SCHEMA public FROM PUBLIC, cockpit_people, cockpit_prober, cockpit_authority, cockpit_gateway;
GRANT USAGE ON SCHEMA public TO cockpit_people, cockpit_authority, cockpit_gateway;

-- People: read, and put a signed request into the inbox. login, time and status are not theirs to give.
GRANT SELECT ON ALL TABLES IN SCHEMA public TO cockpit_people;
GRANT INSERT (request_id, payload, key_id, signature) ON requests TO cockpit_people;
GRANT INSERT (run_id, ordinal, name, passed, latency_ms, detail, payload, key_id, signature)
    ON probe_results TO cockpit_prober;

-- The authority: no ownership, no DELETE, no TRUNCATE; nothing that says who is who.
GRANT SELECT ON ALL TABLES IN SCHEMA public TO cockpit_authority;
GRANT INSERT ON audit_log, audit_anchors, reset_slots TO cockpit_authority;
GRANT INSERT, UPDATE ON approvals, probe_runs, commits, authority_lease, breakers, incidents TO cockpit_authority;
GRANT INSERT ON incident_events, kill_steps, outbox TO cockpit_authority;
GRANT INSERT, UPDATE ON incident_actions, run_offsets TO cockpit_authority;
GRANT INSERT (kill_id, redis_run_id, counter, login, notes) ON kill_switches TO cockpit_authority;
GRANT UPDATE (reviewed_at, reviewed_by, review, approved_by, audit_seq) ON kill_switches TO cockpit_authority;
GRANT UPDATE (seq, chain_hash) ON audit_head TO cockpit_authority;
GRANT UPDATE (status, kind, breaker_id, code, message, outcome, audit_seq, decided_at, expires_at)
    ON requests TO cockpit_authority;
GRANT UPDATE (used_at) ON genesis TO cockpit_authority;
-- What it decides on budgets and sizes: rows are added and ended, never changed. Their times are the server's.
GRANT INSERT (limit_id, breaker_id, share, source, rule, notes, login, audit_seq) ON size_limits TO cockpit_authority;
GRANT UPDATE (lifted_at, lifted_by) ON size_limits TO cockpit_authority;
GRANT INSERT (exclusion_id, slo, from_at, until_at, notes, login, person_id, approved_by, audit_seq)
    ON slo_exclusions TO cockpit_authority;
GRANT UPDATE (reverted_at, reverted_by) ON slo_exclusions TO cockpit_authority;

-- The trading side writes its own tables, and reads who halts it.
GRANT SELECT, INSERT, UPDATE ON recent_orders, positions, automations, reconciliation_runs TO cockpit_gateway;
GRANT DELETE ON recent_orders, daily_bars TO cockpit_gateway;  -- it forgets old orders; its source takes bars back
GRANT SELECT, INSERT ON sli_samples, quality_cycles TO cockpit_gateway;
GRANT SELECT, INSERT, UPDATE ON daily_bars TO cockpit_gateway;
GRANT SELECT ON breakers, authority_lease TO cockpit_gateway;

-- Samples are judged by one function, which indexes and readers share. Their roll-ups nobody writes but the trigger.
GRANT EXECUTE ON FUNCTION sli_sound(numeric, numeric, double precision)
    TO cockpit_people, cockpit_authority, cockpit_gateway;
-- Likewise lists of mismatches, by readers of older rows and the trigger on new ones.
GRANT EXECUTE ON FUNCTION reconciliation_list_doubt(text, jsonb), reconciliation_named(jsonb)
    TO cockpit_people, cockpit_authority, cockpit_gateway;

-- The guard: its lease, and the record of what it fired; by functions that check their caller. Nothing that loosens.
REVOKE ALL ON ALL TABLES IN SCHEMA public FROM cockpit_guard;
REVOKE ALL ON ALL SEQUENCES IN SCHEMA public FROM cockpit_guard;
REVOKE ALL ON ALL FUNCTIONS IN SCHEMA public FROM cockpit_guard;
GRANT EXECUTE ON FUNCTION guard_take(text), guard_renew(text, bigint, jsonb), guard_release(text, bigint),
    guard_fire(text, bigint, uuid, text, text, text, text, text, text, double precision, double precision, jsonb,
               timestamptz, text, text, text) TO cockpit_guard;
-- Automation logins that were made before there was a guard join its group.
DO $$
DECLARE
    automation text;
BEGIN
    FOR automation IN
        SELECT DISTINCT r.rolname FROM role_grants g JOIN operators o USING (login) JOIN pg_roles r ON r.rolname = g.login
         WHERE g.role = 'automation-role' AND g.revoked_at IS NULL AND o.revoked_at IS NULL
    LOOP
        EXECUTE format('GRANT cockpit_guard TO %I', automation);
    END LOOP;
END $$;

-- The pager: what its functions do, and nothing else. How paging stands everybody may see.
REVOKE ALL ON ALL TABLES IN SCHEMA public FROM cockpit_pager;
REVOKE ALL ON ALL SEQUENCES IN SCHEMA public FROM cockpit_pager;
REVOKE ALL ON ALL FUNCTIONS IN SCHEMA public FROM cockpit_pager;
GRANT USAGE ON SCHEMA public TO cockpit_pager;
GRANT EXECUTE ON FUNCTION pager_sign(text, text[], text, text[]), pager_end(text), pager_spread(text[], text[]),
    pager_claim(text, int, double precision, boolean),
    pager_record(text, bigint, int, boolean, text, text, double precision, double precision, double precision)
    TO cockpit_pager;
GRANT EXECUTE ON FUNCTION paging_state() TO cockpit_people;
-- To send again what was given up is asked of the authority, which records who did.
GRANT EXECUTE ON FUNCTION pages_retry(bigint[]) TO cockpit_authority;

-- What PostgreSQL gives to everyone beyond tables: large objects fill a disk; other databases give room for more.
-- Only a superuser may take these back, and a managed server's owner is none.
DO $$
DECLARE
    routine text;
BEGIN
    FOR routine IN
        SELECT p.oid::regprocedure::text FROM pg_proc p
        WHERE p.pronamespace = 'pg_catalog'::regnamespace
          AND p.proname IN ('lo_create', 'lo_creat', 'lo_from_bytea', 'lo_put', 'lowrite', 'lo_import')
    LOOP
        EXECUTE format('REVOKE EXECUTE ON FUNCTION %s FROM PUBLIC', routine);
    END LOOP;
EXCEPTION WHEN insufficient_privilege THEN
    RAISE NOTICE 'large objects stay open to every login: the owner is no superuser';
END $$;
