-- Who is asking: two transaction-local settings that the gateway sends with every query.
--   kababeat.role  anonymous | user | creator | brand | admin | system
--   kababeat.user  the account's uuid, or '' when there is none
-- A setting that is missing, empty or malformed means "nobody": policies then give no rows, and never an error.
-- Both functions are plain SQL with qualified names, so the planner inlines them; policies call them as `(SELECT ...)`, so that
-- they are evaluated once a statement instead of once a row.

CREATE FUNCTION kababeat_role() RETURNS text
LANGUAGE sql STABLE PARALLEL SAFE
RETURN CASE
    WHEN pg_catalog.current_setting('kababeat.role', true) IN ('anonymous', 'user', 'creator', 'brand', 'admin', 'system')
        THEN pg_catalog.current_setting('kababeat.role', true)
END;

COMMENT ON FUNCTION kababeat_role() IS 'The role of the principal of this transaction, or NULL when there is no principal.';

CREATE FUNCTION kababeat_user() RETURNS uuid
LANGUAGE sql STABLE PARALLEL SAFE
RETURN CASE
    WHEN pg_catalog.current_setting('kababeat.role', true) IN ('user', 'creator', 'brand', 'admin')
        AND pg_catalog.current_setting('kababeat.user', true)
            ~ '^[0-9A-Fa-f]{8}-[0-9A-Fa-f]{4}-[0-9A-Fa-f]{4}-[0-9A-Fa-f]{4}-[0-9A-Fa-f]{12}$'
        THEN pg_catalog.current_setting('kababeat.user', true)::uuid
END;

COMMENT ON FUNCTION kababeat_user() IS 'The account of the principal of this transaction, or NULL when no account is asking.';

-- What every table gets, in one line of its migration: row security that binds its owner too, a policy for the system's own
-- work (relay, import, jobs), and for the gateway just the verbs that are named. Whatever no policy allows is denied.
CREATE PROCEDURE kababeat_protect(protected regclass, gateway_may text)
LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    EXECUTE format('ALTER TABLE %s ENABLE ROW LEVEL SECURITY', protected);
    EXECUTE format('ALTER TABLE %s FORCE ROW LEVEL SECURITY', protected);
    EXECUTE format(
        'CREATE POLICY system ON %s USING ((SELECT public.kababeat_role()) = ''system'')'
        ' WITH CHECK ((SELECT public.kababeat_role()) = ''system'')',
        protected);
    EXECUTE format('GRANT %s ON %s TO kababeat_gateway', gateway_may, protected);
END
$$;

COMMENT ON PROCEDURE kababeat_protect(regclass, text) IS
    'Forces row security on a table, lets system work pass, and grants the gateway the named verbs. For migrations.';

-- Nobody but the owner makes anything here, and the gateway only uses what it is granted.
REVOKE ALL ON SCHEMA public FROM PUBLIC;
REVOKE EXECUTE ON PROCEDURE kababeat_protect(regclass, text) FROM PUBLIC;
GRANT USAGE ON SCHEMA public TO kababeat_gateway;
