-- Keys of requests, as the gateway claims them. A claim fixes the id of what its request makes before anything is made: whoever takes an
-- unfinished one over finds by that id what is there already.

-- Whose keys they are: an account's, or a service key's, which is no account.
CREATE FUNCTION kababeat_principal() RETURNS uuid
LANGUAGE sql STABLE PARALLEL SAFE
RETURN CASE
    WHEN pg_catalog.current_setting('kababeat.role', true) IN ('user', 'creator', 'brand', 'admin', 'service')
        AND pg_catalog.current_setting('kababeat.user', true)
            ~ '^[0-9A-Fa-f]{8}-[0-9A-Fa-f]{4}-[0-9A-Fa-f]{4}-[0-9A-Fa-f]{4}-[0-9A-Fa-f]{12}$'
        THEN pg_catalog.current_setting('kababeat.user', true)::uuid
END;

COMMENT ON FUNCTION kababeat_principal() IS 'The account or the service key of this transaction, or NULL when neither is asking.';

ALTER TABLE idempotency_keys
    ADD COLUMN claim uuid NOT NULL,
    ADD COLUMN effect_id uuid NOT NULL,
    DROP COLUMN headers,
    ADD COLUMN header_fields text[],
    ADD CONSTRAINT idempotency_keys_header_fields_are_pairs CHECK (cardinality(header_fields) % 2 = 0),
    ADD CONSTRAINT idempotency_keys_body_length CHECK (octet_length(body) <= 65536),
    -- Written twice or three times and then deleted; neither write changes an indexed column.
    SET (
        fillfactor = 70,
        autovacuum_vacuum_scale_factor = 0.02, autovacuum_vacuum_cost_delay = 0, autovacuum_analyze_scale_factor = 0.05,
        toast.autovacuum_vacuum_scale_factor = 0.02, toast.autovacuum_vacuum_cost_delay = 0
    );

COMMENT ON COLUMN idempotency_keys.claim IS 'Which of those who have tried the request may end it.';
COMMENT ON COLUMN idempotency_keys.effect_id IS 'The id of what the request makes, however often it is tried.';
COMMENT ON COLUMN idempotency_keys.header_fields IS 'Names and values in turn.';

DROP POLICY own ON idempotency_keys;
CREATE POLICY own ON idempotency_keys
    USING (principal_id = (SELECT kababeat_principal())) WITH CHECK (principal_id = (SELECT kababeat_principal()));
