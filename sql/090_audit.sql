-- What may have to be accounted for one day. The gateway adds and reads; nobody but the owner changes or removes.
--
-- Entries are inserted freely, side by side. A sealer appends them to a chain afterwards, one at a time under an advisory lock:
-- a chain within the INSERT would make every transaction wait for the one before. `kababeat audit verify` walks the chain.

CREATE TABLE audit_log (
    id uuid NOT NULL,
    -- The server's clock, and no INSERT of the gateway may name another.
    at timestamptz NOT NULL DEFAULT clock_timestamp(),
    actor_id uuid,
    action text NOT NULL,
    category text NOT NULL,
    severity text NOT NULL,
    address text,
    agent text,
    target_kind text,
    target_id uuid,
    metadata jsonb NOT NULL DEFAULT '{}',
    request_id text,

    PRIMARY KEY (at, id),
    CONSTRAINT audit_log_action_shape CHECK (action ~ '^[a-z][a-z0-9_]{0,99}$'),
    CONSTRAINT audit_log_category_shape CHECK (category ~ '^[a-z][a-z_]{0,49}$'),
    CONSTRAINT audit_log_severity_known CHECK (severity IN ('info', 'notice', 'warning', 'critical')),
    CONSTRAINT audit_log_target_is_whole CHECK ((target_kind IS NULL) = (target_id IS NULL)),
    CONSTRAINT audit_log_texts_length CHECK (
        char_length(address) <= 45 AND char_length(agent) <= 255 AND char_length(target_kind) BETWEEN 1 AND 50
        AND char_length(request_id) <= 40
    ),
    CONSTRAINT audit_log_metadata_object CHECK (jsonb_typeof(metadata) = 'object' AND pg_column_size(metadata) <= 16384)
) PARTITION BY RANGE (at);

CREATE INDEX audit_log_of_actor ON audit_log (actor_id, at DESC, id DESC) WHERE actor_id IS NOT NULL;
CREATE INDEX audit_log_of_target ON audit_log (target_id, at DESC, id DESC) WHERE target_id IS NOT NULL;
CREATE INDEX audit_log_of_action ON audit_log (action, at DESC, id DESC);
CREATE INDEX audit_log_of_category ON audit_log (category, at DESC, id DESC);
CREATE INDEX audit_log_of_severity ON audit_log (severity, at DESC, id DESC) WHERE severity <> 'info';

COMMENT ON TABLE audit_log IS 'Who did what to whom, from where. Append-only; holds no secret. One partition a month.';
COMMENT ON COLUMN audit_log.actor_id IS 'No foreign key: an entry outlives whatever it is about.';

CALL kababeat_protect(
    'audit_log',
    'SELECT, INSERT (id, actor_id, action, category, severity, address, agent, target_kind, target_id, metadata, request_id)');
CREATE POLICY admin_reads ON audit_log FOR SELECT
    USING ((SELECT kababeat_role()) = 'admin');

-- Takes what comes while its month has no partition, so that no INSERT ever fails for that. Nobody has a verb on a partition; its
-- policy is for the function below, which runs as the owner and is bound by row security as all are.
CREATE TABLE audit_log_other PARTITION OF audit_log DEFAULT;
ALTER TABLE audit_log_other ENABLE ROW LEVEL SECURITY;
ALTER TABLE audit_log_other FORCE ROW LEVEL SECURITY;
CREATE POLICY system ON audit_log_other USING ((SELECT kababeat_role()) = 'system');

-- The chain: each link is SHA-256 over the link before, its own number and the hash of its entry. Sources/Audit/AuditHash.swift.
CREATE TABLE audit_chain (
    seq bigint PRIMARY KEY,
    entry_id uuid NOT NULL UNIQUE,
    entry_at timestamptz NOT NULL,
    entry_hash bytea NOT NULL,
    chain_hash bytea NOT NULL,

    CONSTRAINT audit_chain_seq_positive CHECK (seq > 0),
    CONSTRAINT audit_chain_hashes_length CHECK (octet_length(entry_hash) = 32 AND octet_length(chain_hash) = 32)
);

CALL kababeat_protect('audit_chain', 'SELECT, INSERT');

-- Entries that are in no chain yet. A queue of its own, because entries become visible in another order than that of their times.
CREATE TABLE audit_unsealed (
    entry_at timestamptz NOT NULL,
    entry_id uuid NOT NULL,

    PRIMARY KEY (entry_at, entry_id)
) WITH (autovacuum_vacuum_scale_factor = 0.01, autovacuum_vacuum_insert_scale_factor = 0.05, autovacuum_vacuum_cost_delay = 0);

CALL kababeat_protect('audit_unsealed', 'SELECT, INSERT, DELETE');

CREATE FUNCTION audit_log_awaits_seal() RETURNS trigger
LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    INSERT INTO public.audit_unsealed (entry_at, entry_id) SELECT at, id FROM added;
    RETURN NULL;
END
$$;

REVOKE EXECUTE ON FUNCTION audit_log_awaits_seal() FROM PUBLIC;

CREATE TRIGGER audit_log_awaits_seal AFTER INSERT ON audit_log
REFERENCING NEW TABLE AS added
FOR EACH STATEMENT EXECUTE FUNCTION audit_log_awaits_seal();

-- As the owner, because the gateway may make no table. Attaching waits for no INSERT of other months; what had to go to
-- audit_log_other meanwhile moves to its month. Entries are not changed by that: the chain does not know of partitions.
CREATE FUNCTION kababeat_audit_months(ahead integer) RETURNS integer
LANGUAGE plpgsql SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
SET timezone = 'UTC'
SET lock_timeout = '2s'
AS $$
DECLARE
    first_day timestamptz;
    next_day timestamptz;
    name text;
    made integer := 0;
BEGIN
    -- Two gateways that start together must not make the same month.
    PERFORM pg_advisory_xact_lock(hashtext('kababeat_audit_months'));
    FOR month IN 0..least(greatest(ahead, 0), 24) LOOP
        first_day := date_trunc('month', now()) + make_interval(months => month);
        next_day := first_day + interval '1 month';
        name := to_char(first_day, '"audit_log_"YYYY_MM');
        CONTINUE WHEN to_regclass('public.' || name) IS NOT NULL;
        EXECUTE format('CREATE TABLE public.%I (LIKE public.audit_log INCLUDING ALL)', name);
        EXECUTE format('ALTER TABLE public.%I ENABLE ROW LEVEL SECURITY', name);
        EXECUTE format(
            'WITH moved AS (DELETE FROM public.audit_log_other WHERE at >= %L AND at < %L RETURNING *) INSERT INTO public.%I SELECT * FROM moved',
            first_day, next_day, name);
        EXECUTE format('ALTER TABLE public.%I FORCE ROW LEVEL SECURITY', name);
        EXECUTE format(
            'ALTER TABLE public.audit_log ATTACH PARTITION public.%I FOR VALUES FROM (%L) TO (%L)', name, first_day, next_day);
        made := made + 1;
    END LOOP;
    RETURN made;
END
$$;

COMMENT ON FUNCTION kababeat_audit_months(integer) IS
    'Makes the partitions of this month and of so many after it, at most 24; answers how many were missing.';

REVOKE EXECUTE ON FUNCTION kababeat_audit_months(integer) FROM PUBLIC;
GRANT EXECUTE ON FUNCTION kababeat_audit_months(integer) TO kababeat_gateway;

SELECT kababeat_audit_months(3);
