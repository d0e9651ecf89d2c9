-- What an account likes, whom it follows, what it is told. Counts of these live in MongoDB.

CREATE TABLE favorites (
    user_id uuid NOT NULL REFERENCES users ON DELETE CASCADE,
    beat_id uuid NOT NULL REFERENCES beats ON DELETE CASCADE,
    created_at timestamptz NOT NULL DEFAULT now(),

    PRIMARY KEY (user_id, beat_id)
);

CREATE INDEX favorites_of_user_by_time ON favorites (user_id, created_at DESC, beat_id DESC);
CREATE INDEX favorites_of_beat ON favorites (beat_id);

CALL kababeat_protect('favorites', 'SELECT, INSERT, DELETE');
CREATE POLICY own ON favorites
    USING (user_id = (SELECT kababeat_user())) WITH CHECK (user_id = (SELECT kababeat_user()));

CREATE TABLE follows (
    follower_id uuid NOT NULL REFERENCES users ON DELETE CASCADE,
    followed_id uuid NOT NULL REFERENCES users ON DELETE CASCADE,
    created_at timestamptz NOT NULL DEFAULT now(),

    PRIMARY KEY (follower_id, followed_id),
    CONSTRAINT follows_not_oneself CHECK (follower_id <> followed_id)
);

CREATE INDEX follows_by_time ON follows (follower_id, created_at DESC, followed_id DESC);
CREATE INDEX follows_followers_by_time ON follows (followed_id, created_at DESC, follower_id DESC);

CALL kababeat_protect('follows', 'SELECT, INSERT, DELETE');
CREATE POLICY concerned_may_read ON follows FOR SELECT
    USING ((SELECT kababeat_user()) IN (follower_id, followed_id));
CREATE POLICY follower_follows ON follows FOR INSERT
    WITH CHECK (follower_id = (SELECT kababeat_user()));
CREATE POLICY follower_unfollows ON follows FOR DELETE
    USING (follower_id = (SELECT kababeat_user()));

CREATE TABLE notifications (
    id uuid PRIMARY KEY,
    user_id uuid NOT NULL REFERENCES users ON DELETE CASCADE,
    kind text NOT NULL,
    payload jsonb NOT NULL DEFAULT '{}',
    event_key text NOT NULL,
    created_at timestamptz NOT NULL DEFAULT now(),
    read_at timestamptz,
    expires_at timestamptz,

    CONSTRAINT notifications_kind_shape CHECK (kind ~ '^[a-z][a-z_.]{0,49}$'),
    CONSTRAINT notifications_payload_object CHECK (jsonb_typeof(payload) = 'object' AND pg_column_size(payload) <= 16384),
    CONSTRAINT notifications_event_key_length CHECK (char_length(event_key) BETWEEN 1 AND 200),
    -- The same event delivered twice tells nobody twice.
    CONSTRAINT notifications_event_key_key UNIQUE (user_id, event_key)
);

CREATE INDEX notifications_of_user_by_time ON notifications (user_id, created_at DESC, id DESC);
CREATE INDEX notifications_unread ON notifications (user_id) WHERE read_at IS NULL;
CREATE INDEX notifications_expiry ON notifications (expires_at) WHERE expires_at IS NOT NULL;

CALL kababeat_protect('notifications', 'SELECT, INSERT, UPDATE, DELETE');
CREATE POLICY own_is_readable ON notifications FOR SELECT
    USING (user_id = (SELECT kababeat_user()));
CREATE POLICY own_is_markable ON notifications FOR UPDATE
    USING (user_id = (SELECT kababeat_user())) WITH CHECK (user_id = (SELECT kababeat_user()));
CREATE POLICY own_is_removable ON notifications FOR DELETE
    USING (user_id = (SELECT kababeat_user()));
