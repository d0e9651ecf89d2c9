-- Registration that tells nobody who has an account, and names that follow into what shows them.

-- A pending account is seen by nobody but its holder's mailbox: that a name appeared would say that an address was free.
ALTER TABLE users
    DROP CONSTRAINT users_status_known,
    ADD CONSTRAINT users_status_known CHECK (status IN ('pending', 'active', 'suspended', 'deleted'));

ALTER POLICY authenticator_registers ON users
    WITH CHECK ((SELECT kababeat_role()) = 'authenticator' AND status IN ('pending', 'active') AND NOT is_verified);

CREATE INDEX users_by_time ON users (created_at DESC, id DESC);

-- Who registers holds a name for a while, whether that made an account or the address had one already: a name that is refused
-- the second time says nothing of the address. Once the time is over, the name of an account that is still pending is free again.
CREATE TABLE held_usernames (
    username text PRIMARY KEY,
    held_until timestamptz NOT NULL,

    CONSTRAINT held_usernames_shape CHECK (username = lower(username) AND char_length(username) BETWEEN 3 AND 50)
);

CREATE INDEX held_usernames_until ON held_usernames (held_until);

CALL kababeat_protect('held_usernames', 'SELECT, INSERT, UPDATE, DELETE');
CREATE POLICY authenticator ON held_usernames
    USING ((SELECT kababeat_role()) = 'authenticator') WITH CHECK ((SELECT kababeat_role()) = 'authenticator');

-- An account's profile begins and ends with it.
CREATE POLICY authenticator ON user_profiles
    USING ((SELECT kababeat_role()) = 'authenticator') WITH CHECK ((SELECT kababeat_role()) = 'authenticator');

-- What beats show of their creator is a copy of it in caches and in the search index. A change of it leaves an outbox row of kind
-- `creator`; whoever delivers it notes here up to which version of the creator a beat has followed.
ALTER TABLE beats ADD COLUMN byline_version bigint NOT NULL DEFAULT 0;

COMMENT ON COLUMN beats.byline_version IS 'The version of its creator that this beat was last announced for; 0 before the first such time.';

ALTER POLICY authenticator_announces ON outbox
    WITH CHECK ((SELECT kababeat_role()) = 'authenticator' AND aggregate_type IN ('mail', 'user', 'creator'));
