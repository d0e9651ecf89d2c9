-- Playlists: names, rights and order. Notes on items and counters live in MongoDB.

CREATE TABLE playlists (
    id uuid PRIMARY KEY,
    curator_id uuid NOT NULL REFERENCES users ON DELETE RESTRICT,
    name text NOT NULL,
    description text,
    cover_image_url text,
    is_public boolean NOT NULL DEFAULT true,
    is_collaborative boolean NOT NULL DEFAULT false,
    source text,
    external_id text,
    version bigint NOT NULL DEFAULT 1,
    created_at timestamptz NOT NULL DEFAULT now(),
    updated_at timestamptz NOT NULL DEFAULT now(),

    CONSTRAINT playlists_name_length CHECK (char_length(name) BETWEEN 1 AND 255),
    CONSTRAINT playlists_description_length CHECK (char_length(description) <= 5000),
    CONSTRAINT playlists_cover_image_url_length CHECK (char_length(cover_image_url) BETWEEN 1 AND 2048),
    CONSTRAINT playlists_external_id_with_source CHECK ((source IS NULL) = (external_id IS NULL)),
    CONSTRAINT playlists_external_id_length CHECK (char_length(source) BETWEEN 1 AND 50 AND char_length(external_id) BETWEEN 1 AND 255),
    CONSTRAINT playlists_version_positive CHECK (version > 0),
    CONSTRAINT playlists_external_id_key UNIQUE (source, external_id),
    -- For the foreign key that proves who a playlist's curator is.
    CONSTRAINT playlists_curator_key UNIQUE (id, curator_id)
);

CREATE INDEX playlists_of_curator ON playlists (curator_id, created_at DESC, id DESC);
CREATE INDEX playlists_public ON playlists (created_at DESC, id DESC) WHERE is_public;

-- `added_by` is the playlist's curator: the foreign key proves it, so that no policy here has to look at `playlists`, and policies of
-- `playlists` may look here without a cycle.
CREATE TABLE playlist_collaborators (
    playlist_id uuid NOT NULL,
    user_id uuid NOT NULL REFERENCES users ON DELETE CASCADE,
    role text NOT NULL DEFAULT 'editor',
    added_by uuid NOT NULL,
    added_at timestamptz NOT NULL DEFAULT now(),

    PRIMARY KEY (playlist_id, user_id),
    CONSTRAINT playlist_collaborators_added_by_curator FOREIGN KEY (playlist_id, added_by) REFERENCES playlists (id, curator_id)
        ON UPDATE CASCADE ON DELETE CASCADE,
    CONSTRAINT playlist_collaborators_role_known CHECK (role IN ('editor', 'viewer'))
);

CREATE INDEX playlist_collaborators_of_user ON playlist_collaborators (user_id, playlist_id);
CREATE INDEX playlist_collaborators_added_by ON playlist_collaborators (added_by, playlist_id);

CREATE TABLE playlist_items (
    id uuid PRIMARY KEY,
    playlist_id uuid NOT NULL REFERENCES playlists ON DELETE CASCADE,
    beat_id uuid NOT NULL REFERENCES beats ON DELETE RESTRICT,
    added_by uuid NOT NULL REFERENCES users ON DELETE RESTRICT,
    position integer NOT NULL,
    added_at timestamptz NOT NULL DEFAULT now(),

    CONSTRAINT playlist_items_position_not_negative CHECK (position >= 0),
    -- Deferred, so that one transaction may move items past each other.
    CONSTRAINT playlist_items_position_key UNIQUE (playlist_id, position) DEFERRABLE INITIALLY DEFERRED
);

CREATE INDEX playlist_items_of_beat ON playlist_items (beat_id);
CREATE INDEX playlist_items_added_by ON playlist_items (added_by);

CALL kababeat_protect('playlist_collaborators', 'SELECT, INSERT, UPDATE, DELETE');
CREATE POLICY concerned_may_read ON playlist_collaborators FOR SELECT
    USING ((SELECT kababeat_user()) IN (user_id, added_by));
CREATE POLICY curator_adds ON playlist_collaborators FOR INSERT
    WITH CHECK (added_by = (SELECT kababeat_user()));
CREATE POLICY concerned_may_remove ON playlist_collaborators FOR DELETE
    USING ((SELECT kababeat_user()) IN (user_id, added_by));

CALL kababeat_protect('playlists', 'SELECT, INSERT, UPDATE, DELETE');
CREATE POLICY public_is_public ON playlists FOR SELECT
    USING (is_public AND (SELECT kababeat_role()) IS NOT NULL);
CREATE POLICY own ON playlists
    USING (curator_id = (SELECT kababeat_user())) WITH CHECK (curator_id = (SELECT kababeat_user()));
CREATE POLICY collaborators_may_read ON playlists FOR SELECT
    USING (EXISTS (
        SELECT FROM playlist_collaborators
        WHERE playlist_collaborators.playlist_id = playlists.id AND playlist_collaborators.user_id = (SELECT kababeat_user())
    ));

CALL kababeat_protect('playlist_items', 'SELECT, INSERT, UPDATE, DELETE');
CREATE POLICY readable_with_playlist ON playlist_items FOR SELECT
    USING (EXISTS (SELECT FROM playlists WHERE playlists.id = playlist_id));
CREATE POLICY of_own_playlist ON playlist_items
    USING (EXISTS (SELECT FROM playlists WHERE playlists.id = playlist_id AND playlists.curator_id = (SELECT kababeat_user())))
    WITH CHECK (EXISTS (SELECT FROM playlists WHERE playlists.id = playlist_id AND playlists.curator_id = (SELECT kababeat_user())));
CREATE POLICY of_playlist_as_editor ON playlist_items
    USING (EXISTS (
        SELECT FROM playlist_collaborators AS collaborator
        WHERE collaborator.playlist_id = playlist_items.playlist_id AND collaborator.user_id = (SELECT kababeat_user())
            AND collaborator.role = 'editor'
    ))
    WITH CHECK (EXISTS (
        SELECT FROM playlist_collaborators AS collaborator
        WHERE collaborator.playlist_id = playlist_items.playlist_id AND collaborator.user_id = (SELECT kababeat_user())
            AND collaborator.role = 'editor'
    ));
