-- A creator whom nobody may see any more takes his beats with him at once, however many they are: rows of kind `standing` have them forgotten
-- by caches and hidden from lists, before each beat has a version of its own that says so. They have a lane and an index of their own, so
-- that they neither wait for the deliveries of single beats nor hold them up.

CREATE INDEX outbox_standings_due ON outbox (next_at, id) WHERE state = 'pending' AND aggregate_type = 'standing';

ALTER POLICY authenticator_announces ON outbox
    WITH CHECK ((SELECT kababeat_role()) = 'authenticator' AND aggregate_type IN ('mail', 'user', 'creator', 'standing'));
