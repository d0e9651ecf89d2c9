-- Whoever shows a refresh token again, shortly after it was used, gets the very token that took its place: a session has one line of
-- tokens, not one for each who held a token at the same time.

ALTER TABLE refresh_tokens
    ADD COLUMN successor_salt bytea,
    ADD CONSTRAINT refresh_tokens_successor_salt_length CHECK (octet_length(successor_salt) = 32);

COMMENT ON COLUMN refresh_tokens.successor_salt IS
    'What the token that took this one''s place was derived with, besides this one itself and a key of the gateway.';

GRANT UPDATE (successor_salt) ON refresh_tokens TO kababeat_gateway;
