-- How a committed fact reaches MongoDB, the search index and the caches, and how a repeated request meets its first answer.

-- Content bound for MongoDB: written in the transaction that makes its version, kept until MongoDB has acknowledged that version.
CREATE TABLE beat_content_staged (
    beat_id uuid PRIMARY KEY REFERENCES beats ON DELETE CASCADE,
    version bigint NOT NULL,
    content jsonb NOT NULL,
    staged_at timestamptz NOT NULL DEFAULT now(),

    CONSTRAINT beat_content_staged_version_positive CHECK (version > 0),
    CONSTRAINT beat_content_staged_content_object CHECK (jsonb_typeof(content) = 'object')
) WITH (
    autovacuum_vacuum_scale_factor = 0.01, autovacuum_vacuum_cost_delay = 0, autovacuum_analyze_scale_factor = 0.05,
    toast.autovacuum_vacuum_scale_factor = 0.01, toast.autovacuum_vacuum_cost_delay = 0
);

CALL kababeat_protect('beat_content_staged', 'SELECT, INSERT, UPDATE, DELETE');
CREATE POLICY of_own_beat ON beat_content_staged
    USING (EXISTS (SELECT FROM beats WHERE beats.id = beat_id AND beats.creator_id = (SELECT kababeat_user())))
    WITH CHECK (EXISTS (SELECT FROM beats WHERE beats.id = beat_id AND beats.creator_id = (SELECT kababeat_user())));

-- A row says that an aggregate changed, not how: the relay reads the state anew, so many rows may collapse into one delivery.
-- Readers take rows that are there, never rows after a number: a sequence has gaps that are filled later.
CREATE TABLE outbox (
    id bigint PRIMARY KEY GENERATED ALWAYS AS IDENTITY,
    aggregate_type text NOT NULL,
    aggregate_id uuid NOT NULL,
    version bigint NOT NULL,
    operation text NOT NULL,
    state text NOT NULL DEFAULT 'pending',
    attempts integer NOT NULL DEFAULT 0,
    next_at timestamptz DEFAULT now(),
    claim_token uuid,
    claimed_until timestamptz,
    last_error text,
    created_at timestamptz NOT NULL DEFAULT now(),

    CONSTRAINT outbox_aggregate_type_shape CHECK (aggregate_type ~ '^[a-z][a-z_]{0,39}$'),
    CONSTRAINT outbox_version_positive CHECK (version > 0),
    CONSTRAINT outbox_operation_known CHECK (operation IN ('upsert', 'delete')),
    CONSTRAINT outbox_state_known CHECK (state IN ('pending', 'dead')),
    CONSTRAINT outbox_dead_is_not_due CHECK ((state = 'dead') = (next_at IS NULL)),
    CONSTRAINT outbox_claim_is_whole CHECK ((claim_token IS NULL) = (claimed_until IS NULL)),
    CONSTRAINT outbox_attempts_not_negative CHECK (attempts >= 0),
    CONSTRAINT outbox_last_error_is_a_code CHECK (last_error ~ '^[A-Za-z0-9_.:-]{1,100}$')
) WITH (
    fillfactor = 70,
    autovacuum_vacuum_scale_factor = 0.01, autovacuum_vacuum_insert_scale_factor = 0.05, autovacuum_vacuum_cost_delay = 0,
    autovacuum_analyze_scale_factor = 0.05
);

-- Due rows in order; leaves out dead letters. Claims change no indexed column, so that they can stay on their page.
CREATE INDEX outbox_due ON outbox (next_at, id) WHERE state = 'pending';
CREATE INDEX outbox_of_aggregate ON outbox (aggregate_type, aggregate_id);
CREATE INDEX outbox_dead ON outbox (id) WHERE state = 'dead';

COMMENT ON COLUMN outbox.last_error IS 'A code, never a message: messages may carry data.';

-- Whoever may write a fact may announce it; only the relay reads. (So an INSERT here has no RETURNING.)
CALL kababeat_protect('outbox', 'SELECT, INSERT, UPDATE, DELETE');
CREATE POLICY account_announces ON outbox FOR INSERT
    WITH CHECK ((SELECT kababeat_user()) IS NOT NULL);

CREATE TABLE idempotency_keys (
    principal_id uuid NOT NULL,
    key text NOT NULL,
    fingerprint bytea NOT NULL,
    state text NOT NULL DEFAULT 'running',
    locked_until timestamptz NOT NULL,
    status smallint,
    headers jsonb,
    body bytea,
    created_at timestamptz NOT NULL DEFAULT now(),
    expires_at timestamptz NOT NULL,

    PRIMARY KEY (principal_id, key),
    CONSTRAINT idempotency_keys_key_length CHECK (char_length(key) BETWEEN 1 AND 255),
    CONSTRAINT idempotency_keys_fingerprint_length CHECK (octet_length(fingerprint) = 32),
    CONSTRAINT idempotency_keys_state_known CHECK (state IN ('running', 'done')),
    CONSTRAINT idempotency_keys_done_has_answer CHECK ((state = 'done') = (status IS NOT NULL AND body IS NOT NULL)),
    CONSTRAINT idempotency_keys_status_range CHECK (status BETWEEN 100 AND 599)
);

CREATE INDEX idempotency_keys_expiry ON idempotency_keys (expires_at);

COMMENT ON TABLE idempotency_keys IS 'First answers by account or service key, replayed byte for byte to the same request.';

CALL kababeat_protect('idempotency_keys', 'SELECT, INSERT, UPDATE, DELETE');
CREATE POLICY own ON idempotency_keys
    USING (principal_id = (SELECT kababeat_user())) WITH CHECK (principal_id = (SELECT kababeat_user()));
