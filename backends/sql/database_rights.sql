-- Who may enter this database. A copy made with CREATE DATABASE … TEMPLATE does not inherit these.
DO $$
BEGIN
    EXECUTE format('REVOKE ALL ON DATABASE %I FROM PUBLIC, cockpit_people, cockpit_prober, cockpit_authority,'
                   ' cockpit_gateway, cockpit_pager', current_database());
    EXECUTE format('GRANT CONNECT ON DATABASE %I TO cockpit_people, cockpit_authority, cockpit_gateway, cockpit_pager',
                   current_database());
END $$;
