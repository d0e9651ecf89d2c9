-- The core of a beat: what is bought, sold and permitted. Its content (metadata, audio, artwork, credits) lives in MongoDB.

CREATE TABLE beats (
    id uuid PRIMARY KEY,
    creator_id uuid NOT NULL REFERENCES users ON DELETE RESTRICT,
    title text NOT NULL,
    description text,
    status text NOT NULL DEFAULT 'draft',
    is_featured boolean NOT NULL DEFAULT false,
    currency char(3) NOT NULL DEFAULT 'USD',
    price_basic numeric(12, 2),
    price_premium numeric(12, 2),
    price_exclusive numeric(12, 2),
    price numeric(12, 2) GENERATED ALWAYS AS (LEAST(price_basic, price_premium, price_exclusive)) STORED,
    source text,
    external_id text,
    content_digest bytea,
    version bigint NOT NULL DEFAULT 1,
    published_at timestamptz,
    created_at timestamptz NOT NULL DEFAULT now(),
    updated_at timestamptz NOT NULL DEFAULT now(),
    deleted_at timestamptz,

    CONSTRAINT beats_title_length CHECK (char_length(title) BETWEEN 1 AND 255),
    CONSTRAINT beats_description_length CHECK (char_length(description) <= 5000),
    CONSTRAINT beats_status_known CHECK (status IN ('draft', 'published', 'archived')),
    CONSTRAINT beats_published_at_with_status CHECK (status <> 'published' OR published_at IS NOT NULL),
    -- A published row is a live row: readers need to test one column only.
    CONSTRAINT beats_deleted_is_archived CHECK (deleted_at IS NULL OR status = 'archived'),
    -- Those that the gateway can show exactly; it has the same list. No part of a yen, won or Chilean peso is money.
    CONSTRAINT beats_currency_sold CHECK (currency IN (
        'AUD', 'BRL', 'CAD', 'CHF', 'CLP', 'CNY', 'CZK', 'DKK', 'EUR', 'GBP', 'HKD', 'INR', 'JPY', 'KRW', 'MXN', 'NOK', 'NZD',
        'PLN', 'SEK', 'SGD', 'USD', 'ZAR'
    )),
    CONSTRAINT beats_prices_in_whole_units CHECK (
        currency NOT IN ('CLP', 'JPY', 'KRW')
        OR (price_basic % 1 = 0 AND price_premium % 1 = 0 AND price_exclusive % 1 = 0) IS NOT FALSE
    ),
    CONSTRAINT beats_prices_positive CHECK (price_basic > 0 AND price_premium > 0 AND price_exclusive > 0),
    CONSTRAINT beats_external_id_with_source CHECK ((source IS NULL) = (external_id IS NULL)),
    CONSTRAINT beats_external_id_length CHECK (char_length(source) BETWEEN 1 AND 50 AND char_length(external_id) BETWEEN 1 AND 255),
    CONSTRAINT beats_content_digest_length CHECK (octet_length(content_digest) BETWEEN 8 AND 64),
    CONSTRAINT beats_version_positive CHECK (version > 0),
    CONSTRAINT beats_external_id_key UNIQUE (source, external_id),
    -- For foreign keys that prove who a beat's creator is.
    CONSTRAINT beats_creator_key UNIQUE (id, creator_id)
) WITH (fillfactor = 90);

CREATE INDEX beats_of_creator ON beats (creator_id, created_at DESC, id DESC);

COMMENT ON COLUMN beats.price IS 'The lowest licence price on sale; NULL when the beat is not for sale.';
COMMENT ON COLUMN beats.published_at IS 'First publication; stays when the beat is unpublished.';
COMMENT ON COLUMN beats.source IS 'The catalogue an imported beat comes from; NULL for a beat made here.';
COMMENT ON COLUMN beats.content_digest IS 'Digest of the imported line, so that importing the same line again changes nothing.';

CALL kababeat_protect('beats', 'SELECT, INSERT, UPDATE');
CREATE POLICY published_is_public ON beats FOR SELECT
    USING (status = 'published' AND (SELECT kababeat_role()) IS NOT NULL);
CREATE POLICY own_is_readable ON beats FOR SELECT
    USING (creator_id = (SELECT kababeat_user()));
CREATE POLICY own_is_creatable ON beats FOR INSERT
    WITH CHECK (creator_id = (SELECT kababeat_user()));
CREATE POLICY own_is_editable ON beats FOR UPDATE
    USING (creator_id = (SELECT kababeat_user())) WITH CHECK (creator_id = (SELECT kababeat_user()));

-- `granted_by` is the beat's creator: the foreign key proves it, so that no policy here has to look at `beats`, and policies of
-- `beats` may look here without a cycle.
CREATE TABLE beat_permissions (
    beat_id uuid NOT NULL,
    user_id uuid NOT NULL REFERENCES users ON DELETE CASCADE,
    permission_type text NOT NULL,
    granted_by uuid NOT NULL,
    created_at timestamptz NOT NULL DEFAULT now(),
    accepted_at timestamptz,

    PRIMARY KEY (beat_id, user_id),
    CONSTRAINT beat_permissions_granted_by_creator FOREIGN KEY (beat_id, granted_by) REFERENCES beats (id, creator_id)
        ON UPDATE CASCADE ON DELETE CASCADE,
    CONSTRAINT beat_permissions_type_known CHECK (permission_type IN ('owner', 'collaborator', 'viewer'))
);

CREATE INDEX beat_permissions_of_user ON beat_permissions (user_id, beat_id);
CREATE INDEX beat_permissions_granted_by ON beat_permissions (granted_by, beat_id);

COMMENT ON TABLE beat_permissions IS 'Who besides its creator may do what with a beat; in force once accepted.';

CALL kababeat_protect('beat_permissions', 'SELECT, INSERT, UPDATE, DELETE');
CREATE POLICY concerned_may_read ON beat_permissions FOR SELECT
    USING ((SELECT kababeat_user()) IN (user_id, granted_by));
CREATE POLICY creator_grants ON beat_permissions FOR INSERT
    WITH CHECK (granted_by = (SELECT kababeat_user()) AND accepted_at IS NULL);
CREATE POLICY concerned_may_remove ON beat_permissions FOR DELETE
    USING ((SELECT kababeat_user()) IN (user_id, granted_by));

-- Shares of what a beat earns. They are money, so they are not in the content's credits.
CREATE TABLE beat_splits (
    beat_id uuid NOT NULL,
    user_id uuid NOT NULL REFERENCES users ON DELETE RESTRICT,
    share numeric(5, 2) NOT NULL,
    offered_by uuid NOT NULL,
    created_at timestamptz NOT NULL DEFAULT now(),
    accepted_at timestamptz,

    PRIMARY KEY (beat_id, user_id),
    CONSTRAINT beat_splits_offered_by_creator FOREIGN KEY (beat_id, offered_by) REFERENCES beats (id, creator_id)
        ON UPDATE CASCADE ON DELETE RESTRICT,
    CONSTRAINT beat_splits_share_range CHECK (share > 0 AND share <= 100)
);

CREATE INDEX beat_splits_of_user ON beat_splits (user_id, beat_id);
CREATE INDEX beat_splits_offered_by ON beat_splits (offered_by, beat_id);

COMMENT ON COLUMN beat_splits.share IS 'Percent of the seller''s part. The accepted shares of a published beat add up to 100.00.';

CALL kababeat_protect('beat_splits', 'SELECT, INSERT, UPDATE, DELETE');
CREATE POLICY concerned_may_read ON beat_splits FOR SELECT
    USING ((SELECT kababeat_user()) IN (user_id, offered_by));
