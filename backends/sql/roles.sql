-- The groups that carry all rights; logins only join them. Roles belong to the whole server. Safe to repeat.
DO $$
DECLARE
    wanted text;
BEGIN
    FOREACH wanted IN ARRAY ARRAY['cockpit_people', 'cockpit_prober', 'cockpit_authority', 'cockpit_gateway',
                                  'cockpit_guard', 'cockpit_pager'] LOOP
        BEGIN
            IF NOT EXISTS (SELECT FROM pg_roles WHERE rolname = wanted) THEN
                EXECUTE format('CREATE ROLE %I NOLOGIN NOINHERIT', wanted);
            END IF;
        EXCEPTION WHEN duplicate_object OR unique_violation THEN
            NULL;  -- another init was first
        END;
    END LOOP;
END $$;
