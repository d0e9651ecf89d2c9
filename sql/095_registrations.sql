-- A mailed link makes the account of the registration that it was mailed for. Whoever registers with another's address, before or
-- after its holder does, gets an account with their own password only if the holder follows the link that was mailed for them.

ALTER TABLE email_tokens
    ADD COLUMN username text,
    ADD COLUMN display_name text,
    ADD COLUMN password_hash text,
    ADD CONSTRAINT email_tokens_registration_is_whole CHECK (password_hash IS NULL OR (username IS NOT NULL AND purpose = 'verify')),
    ADD CONSTRAINT email_tokens_password_hash_is_bcrypt CHECK (password_hash ~ '^\$2[aby]\$[0-9]{2}\$[./A-Za-z0-9]{53}$');

COMMENT ON COLUMN email_tokens.password_hash IS 'What the account gets when it is verified by this token; forgotten once the token is used.';

GRANT UPDATE (password_hash) ON email_tokens TO kababeat_gateway;
