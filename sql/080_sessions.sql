-- Credentials, sessions and keys. Two more principals than sql/001_principal.sql names:
--   authenticator  the sign-in desk, which finds out who somebody is: accounts, roles and the tables of this file, and nothing else
--   service        a service key: sees what anonymous sees; what else it may do is its scopes' business, at the gateway's door
-- Neither is an account, so kababeat_user() has nothing for them. Secrets have no policy for accounts at all, admins included.

CREATE OR REPLACE FUNCTION kababeat_role() RETURNS text
LANGUAGE sql STABLE PARALLEL SAFE
RETURN CASE
    WHEN pg_catalog.current_setting('kababeat.role', true)
        IN ('anonymous', 'user', 'creator', 'brand', 'admin', 'service', 'authenticator', 'system')
        THEN pg_catalog.current_setting('kababeat.role', true)
END;

-- For triggers whose WHEN says what is refused; the trigger's name says it to the gateway.
CREATE FUNCTION kababeat_refuse() RETURNS trigger
LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    RAISE EXCEPTION 'refused by %', TG_NAME
        USING ERRCODE = 'insufficient_privilege', CONSTRAINT = TG_NAME, TABLE = TG_TABLE_NAME;
END
$$;

REVOKE EXECUTE ON FUNCTION kababeat_refuse() FROM PUBLIC;

CREATE TABLE user_credentials (
    user_id uuid PRIMARY KEY REFERENCES users ON DELETE CASCADE,
    password_hash text NOT NULL,
    changed_at timestamptz NOT NULL DEFAULT now(),

    -- crypt(5); what is no hash, such as a password by mistake, does not get in.
    CONSTRAINT user_credentials_password_hash_is_bcrypt CHECK (password_hash ~ '^\$2[aby]\$[0-9]{2}\$[./A-Za-z0-9]{53}$')
);

CALL kababeat_protect('user_credentials', 'SELECT, INSERT, UPDATE, DELETE');
CREATE POLICY authenticator ON user_credentials
    USING ((SELECT kababeat_role()) = 'authenticator') WITH CHECK ((SELECT kababeat_role()) = 'authenticator');

-- Who an account is elsewhere: at an OpenID provider, or with a trusted issuer of tokens.
CREATE TABLE user_identities (
    issuer text NOT NULL,
    subject text NOT NULL,
    user_id uuid NOT NULL REFERENCES users ON DELETE CASCADE,
    email text,
    created_at timestamptz NOT NULL DEFAULT now(),

    PRIMARY KEY (issuer, subject),
    CONSTRAINT user_identities_texts_length CHECK (
        char_length(issuer) BETWEEN 1 AND 255 AND char_length(subject) BETWEEN 1 AND 255 AND char_length(email) BETWEEN 3 AND 254
    )
);

CREATE INDEX user_identities_of_user ON user_identities (user_id);

CALL kababeat_protect('user_identities', 'SELECT, INSERT, UPDATE, DELETE');
CREATE POLICY authenticator ON user_identities
    USING ((SELECT kababeat_role()) = 'authenticator') WITH CHECK ((SELECT kababeat_role()) = 'authenticator');
CREATE POLICY own_is_readable ON user_identities FOR SELECT
    USING (user_id = (SELECT kababeat_user()));
CREATE POLICY admin_reads ON user_identities FOR SELECT
    USING ((SELECT kababeat_role()) = 'admin');

CREATE TABLE sessions (
    id uuid PRIMARY KEY,
    user_id uuid NOT NULL REFERENCES users ON DELETE CASCADE,
    created_at timestamptz NOT NULL DEFAULT now(),
    last_used_at timestamptz NOT NULL DEFAULT now(),
    expires_at timestamptz NOT NULL,
    revoked_at timestamptz,
    revoked_reason text,
    user_agent text,
    address text,
    second_factor_at timestamptz,

    CONSTRAINT sessions_revoked_reason_is_a_code CHECK (revoked_reason ~ '^[a-z][a-z_]{0,39}$'),
    CONSTRAINT sessions_revoked_reason_when_revoked CHECK (revoked_reason IS NULL OR revoked_at IS NOT NULL),
    CONSTRAINT sessions_texts_length CHECK (char_length(user_agent) <= 255 AND char_length(address) <= 45)
) WITH (fillfactor = 85);

CREATE INDEX sessions_of_user_by_time ON sessions (user_id, created_at DESC, id DESC);
CREATE INDEX sessions_expiry ON sessions (expires_at);

COMMENT ON TABLE sessions IS 'Sign-ins. A session counts while it is neither revoked nor past expires_at; both are looked up for every request.';

-- `last_used_at` is in no index, so that noting it can stay on the row's page.
CALL kababeat_protect(
    'sessions', 'SELECT, INSERT, UPDATE (last_used_at, expires_at, revoked_at, revoked_reason, user_agent, address, second_factor_at), DELETE');
CREATE POLICY authenticator ON sessions
    USING ((SELECT kababeat_role()) = 'authenticator') WITH CHECK ((SELECT kababeat_role()) = 'authenticator');
CREATE POLICY own_is_readable ON sessions FOR SELECT
    USING (user_id = (SELECT kababeat_user()));
-- An account can turn a session of its own from live to revoked, and nothing back.
CREATE POLICY own_is_revocable ON sessions FOR UPDATE
    USING (user_id = (SELECT kababeat_user()) AND revoked_at IS NULL)
    WITH CHECK (user_id = (SELECT kababeat_user()) AND revoked_at IS NOT NULL);
CREATE POLICY admin_reads ON sessions FOR SELECT
    USING ((SELECT kababeat_role()) = 'admin');
CREATE POLICY admin_revokes ON sessions FOR UPDATE
    USING ((SELECT kababeat_role()) = 'admin' AND revoked_at IS NULL)
    WITH CHECK ((SELECT kababeat_role()) = 'admin' AND revoked_at IS NOT NULL);

CREATE TABLE refresh_tokens (
    digest bytea PRIMARY KEY,
    session_id uuid NOT NULL REFERENCES sessions ON DELETE CASCADE,
    parent bytea,
    generation integer NOT NULL,
    created_at timestamptz NOT NULL DEFAULT now(),
    used_at timestamptz,
    expires_at timestamptz NOT NULL,

    CONSTRAINT refresh_tokens_digest_length CHECK (octet_length(digest) = 32),
    CONSTRAINT refresh_tokens_parent_length CHECK (octet_length(parent) = 32),
    CONSTRAINT refresh_tokens_generation_not_negative CHECK (generation >= 0)
);

CREATE INDEX refresh_tokens_of_session ON refresh_tokens (session_id, generation DESC);
CREATE INDEX refresh_tokens_expiry ON refresh_tokens (expires_at);

COMMENT ON COLUMN refresh_tokens.digest IS 'SHA-256 of 256 random bits; the token itself is nowhere.';

CALL kababeat_protect('refresh_tokens', 'SELECT, INSERT, UPDATE (used_at, expires_at), DELETE');
CREATE POLICY authenticator ON refresh_tokens
    USING ((SELECT kababeat_role()) = 'authenticator') WITH CHECK ((SELECT kababeat_role()) = 'authenticator');

-- What a mailed link proves. A token counts for the address that it was sent to, not for one that came later.
CREATE TABLE email_tokens (
    digest bytea PRIMARY KEY,
    user_id uuid NOT NULL REFERENCES users ON DELETE CASCADE,
    purpose text NOT NULL,
    email text NOT NULL,
    created_at timestamptz NOT NULL DEFAULT now(),
    expires_at timestamptz NOT NULL,
    used_at timestamptz,

    CONSTRAINT email_tokens_digest_length CHECK (octet_length(digest) = 32),
    CONSTRAINT email_tokens_purpose_known CHECK (purpose IN ('verify', 'reset')),
    CONSTRAINT email_tokens_email_length CHECK (char_length(email) BETWEEN 3 AND 254)
);

CREATE INDEX email_tokens_of_user ON email_tokens (user_id, purpose, created_at DESC);
CREATE INDEX email_tokens_expiry ON email_tokens (expires_at);

CALL kababeat_protect('email_tokens', 'SELECT, INSERT, UPDATE (used_at), DELETE');
CREATE POLICY authenticator ON email_tokens
    USING ((SELECT kababeat_role()) = 'authenticator') WITH CHECK ((SELECT kababeat_role()) = 'authenticator');

-- RFC 6238. `last_step` is the last time step whose code was used, so that no code counts twice.
CREATE TABLE one_time_secrets (
    user_id uuid PRIMARY KEY REFERENCES users ON DELETE CASCADE,
    sealed bytea NOT NULL,
    confirmed_at timestamptz,
    last_step bigint NOT NULL DEFAULT 0,
    created_at timestamptz NOT NULL DEFAULT now(),

    CONSTRAINT one_time_secrets_sealed_length CHECK (octet_length(sealed) BETWEEN 29 AND 512),
    CONSTRAINT one_time_secrets_last_step_not_negative CHECK (last_step >= 0)
);

CALL kababeat_protect('one_time_secrets', 'SELECT, INSERT, UPDATE, DELETE');
CREATE POLICY authenticator ON one_time_secrets
    USING ((SELECT kababeat_role()) = 'authenticator') WITH CHECK ((SELECT kababeat_role()) = 'authenticator');

CREATE TABLE recovery_codes (
    user_id uuid NOT NULL REFERENCES users ON DELETE CASCADE,
    digest bytea NOT NULL,
    used_at timestamptz,

    PRIMARY KEY (user_id, digest),
    CONSTRAINT recovery_codes_digest_length CHECK (octet_length(digest) = 32)
);

CALL kababeat_protect('recovery_codes', 'SELECT, INSERT, UPDATE (used_at), DELETE');
CREATE POLICY authenticator ON recovery_codes
    USING ((SELECT kababeat_role()) = 'authenticator') WITH CHECK ((SELECT kababeat_role()) = 'authenticator');

CREATE TABLE service_keys (
    id uuid PRIMARY KEY,
    name text NOT NULL,
    digest bytea NOT NULL UNIQUE,
    scopes text[] NOT NULL,
    created_by uuid REFERENCES users ON DELETE RESTRICT,
    created_at timestamptz NOT NULL DEFAULT now(),
    expires_at timestamptz,
    last_used_at timestamptz,
    revoked_at timestamptz,

    CONSTRAINT service_keys_name_length CHECK (char_length(name) BETWEEN 1 AND 100),
    CONSTRAINT service_keys_digest_length CHECK (octet_length(digest) = 32),
    CONSTRAINT service_keys_scopes_shape CHECK (
        cardinality(scopes) BETWEEN 1 AND 20 AND array_to_string(scopes, ' ', '?') ~ '^[a-z_]{1,40}:[a-z_]{1,40}( [a-z_]{1,40}:[a-z_]{1,40})*$'
    )
) WITH (fillfactor = 85);

CREATE INDEX service_keys_created_by ON service_keys (created_by) WHERE created_by IS NOT NULL;
CREATE INDEX service_keys_by_time ON service_keys (created_at DESC, id DESC);

COMMENT ON COLUMN service_keys.created_by IS 'The admin who made it; NULL where it was made on the command line.';
COMMENT ON COLUMN service_keys.digest IS 'SHA-256 of a key of 256 random bits: nothing can be done with it, so an admin may see it.';

CALL kababeat_protect('service_keys', 'SELECT, INSERT, UPDATE (last_used_at, revoked_at), DELETE');
CREATE POLICY authenticator_reads ON service_keys FOR SELECT
    USING ((SELECT kababeat_role()) = 'authenticator');
CREATE POLICY authenticator_notes_use ON service_keys FOR UPDATE
    USING ((SELECT kababeat_role()) = 'authenticator') WITH CHECK ((SELECT kababeat_role()) = 'authenticator');
CREATE POLICY admin_reads ON service_keys FOR SELECT
    USING ((SELECT kababeat_role()) = 'admin');
CREATE POLICY admin_creates ON service_keys FOR INSERT
    WITH CHECK ((SELECT kababeat_role()) = 'admin' AND created_by = (SELECT kababeat_user()) AND revoked_at IS NULL);
CREATE POLICY admin_revokes ON service_keys FOR UPDATE
    USING ((SELECT kababeat_role()) = 'admin' AND revoked_at IS NULL)
    WITH CHECK ((SELECT kababeat_role()) = 'admin' AND revoked_at IS NOT NULL);

-- What access tokens are signed with. The system makes and retires keys; the desk signs with them.
CREATE TABLE signing_keys (
    kid text PRIMARY KEY,
    algorithm text NOT NULL,
    sealed_private bytea NOT NULL,
    public_jwk jsonb NOT NULL,
    created_at timestamptz NOT NULL DEFAULT now(),
    active_from timestamptz NOT NULL,
    retired_at timestamptz,

    CONSTRAINT signing_keys_kid_shape CHECK (kid ~ '^[A-Za-z0-9_-]{1,100}$'),
    CONSTRAINT signing_keys_algorithm_known CHECK (algorithm IN ('EdDSA', 'ES256', 'ES384', 'ES512', 'RS256')),
    CONSTRAINT signing_keys_sealed_private_length CHECK (octet_length(sealed_private) BETWEEN 29 AND 8192),
    -- RFC 7517, RFC 7518: `d` and its like are the private halves of a key.
    CONSTRAINT signing_keys_public_jwk_is_public CHECK (
        jsonb_typeof(public_jwk) = 'object' AND NOT public_jwk ?| ARRAY['d', 'p', 'q', 'dp', 'dq', 'qi', 'k']
    )
);

CREATE INDEX signing_keys_retired ON signing_keys (retired_at) WHERE retired_at IS NOT NULL;

CALL kababeat_protect('signing_keys', 'SELECT, INSERT, UPDATE (active_from, retired_at), DELETE');
CREATE POLICY authenticator_reads ON signing_keys FOR SELECT
    USING ((SELECT kababeat_role()) = 'authenticator');

-- Sign-ins that are away at an OpenID provider, until they come back with their state.
CREATE TABLE sign_in_attempts (
    state_digest bytea PRIMARY KEY,
    provider text NOT NULL,
    nonce text NOT NULL,
    sealed_verifier bytea NOT NULL,
    return_to text,
    link_user_id uuid REFERENCES users ON DELETE CASCADE,
    created_at timestamptz NOT NULL DEFAULT now(),
    expires_at timestamptz NOT NULL,

    CONSTRAINT sign_in_attempts_state_digest_length CHECK (octet_length(state_digest) = 32),
    CONSTRAINT sign_in_attempts_sealed_verifier_length CHECK (octet_length(sealed_verifier) BETWEEN 29 AND 1024),
    CONSTRAINT sign_in_attempts_texts_length CHECK (
        char_length(provider) BETWEEN 1 AND 50 AND char_length(nonce) BETWEEN 1 AND 255 AND char_length(return_to) BETWEEN 1 AND 2048
    )
);

CREATE INDEX sign_in_attempts_expiry ON sign_in_attempts (expires_at);
CREATE INDEX sign_in_attempts_link_user ON sign_in_attempts (link_user_id) WHERE link_user_id IS NOT NULL;

CALL kababeat_protect('sign_in_attempts', 'SELECT, INSERT, DELETE');
CREATE POLICY authenticator ON sign_in_attempts
    USING ((SELECT kababeat_role()) = 'authenticator') WITH CHECK ((SELECT kababeat_role()) = 'authenticator');

-- Mails that follow their commit: the outbox says that there is one, the relay sends it and forgets its text.
CREATE TABLE mails (
    id uuid PRIMARY KEY,
    recipient text NOT NULL,
    template text NOT NULL,
    sealed_text bytea,
    subject text NOT NULL,
    created_at timestamptz NOT NULL DEFAULT now(),
    sent_at timestamptz,
    version bigint NOT NULL DEFAULT 1,

    CONSTRAINT mails_recipient_shape CHECK (char_length(recipient) <= 254 AND recipient ~ '^[^@[:space:]]+@[^@[:space:]]+$'),
    CONSTRAINT mails_template_shape CHECK (template ~ '^[a-z][a-z_]{0,49}$'),
    CONSTRAINT mails_subject_is_one_line CHECK (char_length(subject) BETWEEN 1 AND 255 AND subject !~ '[[:cntrl:]]'),
    CONSTRAINT mails_sealed_text_length CHECK (octet_length(sealed_text) BETWEEN 29 AND 65536),
    CONSTRAINT mails_sent_is_forgotten CHECK (sent_at IS NULL OR sealed_text IS NULL),
    CONSTRAINT mails_version_positive CHECK (version > 0)
);

CREATE INDEX mails_by_time ON mails (created_at);

-- The desk only posts: no INSERT of its own can have RETURNING here.
CALL kababeat_protect('mails', 'SELECT, INSERT, UPDATE (sealed_text, sent_at, version), DELETE');
CREATE POLICY authenticator_posts ON mails FOR INSERT
    WITH CHECK ((SELECT kababeat_role()) = 'authenticator' AND sent_at IS NULL);
