-- Which generation of cached entries counts, and which Redis server holds it. Whoever commits a change and cannot announce it ends the
-- generation here: instances ask several times a second, and trust nothing that they hold of an earlier one (docs/caching.md).
CREATE TABLE cache_generation (
    singleton boolean PRIMARY KEY DEFAULT true,
    generation bigint NOT NULL,
    server text NOT NULL DEFAULT '',

    CONSTRAINT cache_generation_one_row CHECK (singleton),
    CONSTRAINT cache_generation_server_length CHECK (char_length(server) <= 200)
) WITH (fillfactor = 10);

-- From a random number: a database that is made anew beside a Redis that is not must meet no key of the old one.
INSERT INTO cache_generation (generation) VALUES ((random() * 1000000000000)::bigint);

COMMENT ON COLUMN cache_generation.server IS 'run_id and master_replid of the server, as INFO has them; empty until one was met.';

CALL kababeat_protect('cache_generation', 'SELECT, UPDATE');
