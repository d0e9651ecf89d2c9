-- A link that was begun in a session is only finished while that session lives: whoever ends a stolen session ends this, too.
ALTER TABLE sign_in_attempts ADD COLUMN link_session_id uuid REFERENCES sessions ON DELETE CASCADE;

CREATE INDEX sign_in_attempts_link_session ON sign_in_attempts (link_session_id) WHERE link_session_id IS NOT NULL;

-- Each that leaves clears away a few that never came back, and passes over those that another one is at: a lock takes the right to UPDATE.
GRANT UPDATE (expires_at) ON sign_in_attempts TO kababeat_gateway;
