-- Accounts. `users` is what anyone may see of an account; what only its holder may see lives in `user_accounts`, because a row
-- policy cannot hide a column. Users are never deleted, only marked so: money and licences keep pointing at them.

CREATE TABLE users (
    id uuid PRIMARY KEY,
    username text NOT NULL,
    display_name text,
    avatar_url text,
    bio text,
    is_verified boolean NOT NULL DEFAULT false,
    is_creator boolean NOT NULL DEFAULT false,
    status text NOT NULL DEFAULT 'active',
    source text,
    external_id text,
    version bigint NOT NULL DEFAULT 1,
    created_at timestamptz NOT NULL DEFAULT now(),
    updated_at timestamptz NOT NULL DEFAULT now(),
    deleted_at timestamptz,

    CONSTRAINT users_username_shape CHECK (username ~ '^[A-Za-z0-9][A-Za-z0-9._-]{1,48}[A-Za-z0-9]$'),
    -- A name that reads as an id, or as a path of the API, could never be reached at /api/users/{id or username}.
    CONSTRAINT users_username_is_no_id CHECK (username !~ '^[0-9A-Fa-f]{8}(-[0-9A-Fa-f]{4}){3}-[0-9A-Fa-f]{12}$'),
    CONSTRAINT users_username_not_reserved CHECK (lower(username) NOT IN (
        'admin', 'administrator', 'analytics', 'anonymous', 'api', 'auth', 'beats', 'cart', 'creator', 'explore', 'favorites',
        'featured', 'health', 'help', 'kababeat', 'library', 'login', 'logout', 'metrics', 'moderator', 'notifications', 'null',
        'orders', 'playlists', 'profile', 'recommendations', 'register', 'root', 'search', 'security', 'settings', 'staff',
        'status', 'support', 'system', 'trending', 'undefined', 'upload', 'users', 'webhooks'
    )),
    CONSTRAINT users_display_name_length CHECK (char_length(display_name) BETWEEN 1 AND 100),
    CONSTRAINT users_avatar_url_length CHECK (char_length(avatar_url) BETWEEN 1 AND 2048),
    CONSTRAINT users_bio_length CHECK (char_length(bio) <= 5000),
    CONSTRAINT users_status_known CHECK (status IN ('active', 'suspended', 'deleted')),
    CONSTRAINT users_deleted_at_with_status CHECK ((status = 'deleted') = (deleted_at IS NOT NULL)),
    CONSTRAINT users_external_id_with_source CHECK ((source IS NULL) = (external_id IS NULL)),
    CONSTRAINT users_external_id_length CHECK (char_length(source) BETWEEN 1 AND 50 AND char_length(external_id) BETWEEN 1 AND 255),
    CONSTRAINT users_version_positive CHECK (version > 0),
    CONSTRAINT users_external_id_key UNIQUE (source, external_id)
);

CREATE UNIQUE INDEX users_username_key ON users (lower(username));

COMMENT ON TABLE users IS 'The public side of an account, or of a creator that was imported from a catalogue.';
COMMENT ON COLUMN users.source IS 'The catalogue an imported creator comes from; NULL for an account made here.';

CALL kababeat_protect('users', 'SELECT, INSERT, UPDATE');
CREATE POLICY active_is_public ON users FOR SELECT
    USING (status = 'active' AND (SELECT kababeat_role()) IS NOT NULL);
CREATE POLICY own_is_readable ON users FOR SELECT
    USING (id = (SELECT kababeat_user()));
CREATE POLICY own_is_editable ON users FOR UPDATE
    USING (id = (SELECT kababeat_user())) WITH CHECK (id = (SELECT kababeat_user()));

CREATE TABLE user_accounts (
    user_id uuid PRIMARY KEY REFERENCES users ON DELETE RESTRICT,
    email text,
    email_verified_at timestamptz,
    preferences jsonb NOT NULL DEFAULT '{}',
    version bigint NOT NULL DEFAULT 1,
    created_at timestamptz NOT NULL DEFAULT now(),
    updated_at timestamptz NOT NULL DEFAULT now(),

    CONSTRAINT user_accounts_email_shape CHECK (char_length(email) <= 254 AND email ~ '^[^@[:space:]]+@[^@[:space:]]+$'),
    CONSTRAINT user_accounts_verified_has_email CHECK (email_verified_at IS NULL OR email IS NOT NULL),
    CONSTRAINT user_accounts_preferences_object CHECK (jsonb_typeof(preferences) = 'object' AND pg_column_size(preferences) <= 16384),
    CONSTRAINT user_accounts_version_positive CHECK (version > 0)
);

CREATE UNIQUE INDEX user_accounts_email_key ON user_accounts (lower(email));

COMMENT ON TABLE user_accounts IS 'The private side of an account: what only its holder may read.';

CALL kababeat_protect('user_accounts', 'SELECT, INSERT, UPDATE');
CREATE POLICY own_is_readable ON user_accounts FOR SELECT
    USING (user_id = (SELECT kababeat_user()));
CREATE POLICY own_is_editable ON user_accounts FOR UPDATE
    USING (user_id = (SELECT kababeat_user())) WITH CHECK (user_id = (SELECT kababeat_user()));

CREATE TABLE user_profiles (
    user_id uuid PRIMARY KEY REFERENCES users ON DELETE CASCADE,
    social_links jsonb NOT NULL DEFAULT '{}',
    version bigint NOT NULL DEFAULT 1,
    created_at timestamptz NOT NULL DEFAULT now(),
    updated_at timestamptz NOT NULL DEFAULT now(),

    CONSTRAINT user_profiles_social_links_object CHECK (jsonb_typeof(social_links) = 'object' AND pg_column_size(social_links) <= 16384),
    CONSTRAINT user_profiles_version_positive CHECK (version > 0)
);

COMMENT ON TABLE user_profiles IS 'What a public profile shows beyond the account itself.';

CALL kababeat_protect('user_profiles', 'SELECT, INSERT, UPDATE');
CREATE POLICY public_with_its_user ON user_profiles FOR SELECT
    USING (EXISTS (SELECT FROM users WHERE users.id = user_profiles.user_id));
CREATE POLICY own_is_creatable ON user_profiles FOR INSERT
    WITH CHECK (user_id = (SELECT kababeat_user()));
CREATE POLICY own_is_editable ON user_profiles FOR UPDATE
    USING (user_id = (SELECT kababeat_user())) WITH CHECK (user_id = (SELECT kababeat_user()));

CREATE TABLE user_roles (
    user_id uuid NOT NULL REFERENCES users ON DELETE CASCADE,
    role text NOT NULL,
    permissions jsonb NOT NULL DEFAULT '[]',
    granted_by uuid REFERENCES users ON DELETE RESTRICT,
    created_at timestamptz NOT NULL DEFAULT now(),

    PRIMARY KEY (user_id, role),
    CONSTRAINT user_roles_role_known CHECK (role IN ('user', 'creator', 'brand', 'admin')),
    CONSTRAINT user_roles_permissions_array CHECK (jsonb_typeof(permissions) = 'array' AND pg_column_size(permissions) <= 16384)
);

CREATE INDEX user_roles_granted_by ON user_roles (granted_by) WHERE granted_by IS NOT NULL;

COMMENT ON TABLE user_roles IS 'Roles an account holds, each with further permissions by name.';

CALL kababeat_protect('user_roles', 'SELECT, INSERT, UPDATE, DELETE');
CREATE POLICY own_is_readable ON user_roles FOR SELECT
    USING (user_id = (SELECT kababeat_user()));
