-- Work that one gateway does for all: who does it now, what it has come to, and what the others must do meanwhile.

CREATE TABLE leases (
    name text PRIMARY KEY,
    holder text NOT NULL,
    held_until timestamptz NOT NULL,

    CONSTRAINT leases_name_length CHECK (char_length(name) BETWEEN 1 AND 50),
    CONSTRAINT leases_holder_length CHECK (char_length(holder) BETWEEN 1 AND 50)
) WITH (fillfactor = 50, autovacuum_vacuum_scale_factor = 0.01);

COMMENT ON TABLE leases IS 'Who alone does a piece of work, and until when, unless he renews it.';

CALL kababeat_protect('leases', 'SELECT, INSERT, UPDATE, DELETE');

-- While a row stands here, whatever is written to the index is written to that collection too, and there first. A relay reads the row
-- in the snapshot in which it reads the beats that it delivers.
CREATE TABLE index_rebuilds (
    index_name text PRIMARY KEY,
    collection text NOT NULL,
    begun_at timestamptz NOT NULL DEFAULT now(),

    CONSTRAINT index_rebuilds_index_known CHECK (index_name = 'search_index'),
    CONSTRAINT index_rebuilds_collection_shape CHECK (collection ~ '^search_index_next_[0-9a-f]{1,32}$')
);

CALL kababeat_protect('index_rebuilds', 'SELECT, INSERT, UPDATE, DELETE');

CREATE TABLE verifications (
    name text PRIMARY KEY,
    begun_at timestamptz NOT NULL,
    complete_begun_at timestamptz,
    ended_at timestamptz NOT NULL,
    compared bigint NOT NULL,
    mismatches bigint NOT NULL,

    CONSTRAINT verifications_name_known CHECK (name = 'beats'),
    CONSTRAINT verifications_counts_not_negative CHECK (compared >= 0 AND mismatches >= 0),
    CONSTRAINT verifications_end_after_begin CHECK (ended_at >= begun_at)
);

COMMENT ON TABLE verifications IS 'The last comparison of copies with their owners, by whichever gateway, and when the last one of all of them began.';

CALL kababeat_protect('verifications', 'SELECT, INSERT, UPDATE, DELETE');

-- The version that last brought content. What MongoDB has of an older one is not what an edit may begin with.
ALTER TABLE beats
    ADD COLUMN content_version bigint NOT NULL DEFAULT 1,
    ADD CONSTRAINT beats_content_version_range CHECK (content_version BETWEEN 1 AND version);
