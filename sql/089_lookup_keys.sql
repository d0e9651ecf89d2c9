-- Row security lets no index be used through a function that could tell what it sees, and lower() counts as one: behind a policy,
-- `lower(email) = ...` reads every account. So names and addresses are kept a second time as they are looked up; the indexes keep
-- their names. Ask for `username_key = lower($1)` and `email_key = lower($1)`.
-- https://www.postgresql.org/docs/15/rules-privileges.html

ALTER TABLE users ADD COLUMN username_key text NOT NULL GENERATED ALWAYS AS (lower(username)) STORED;
DROP INDEX users_username_key;
CREATE UNIQUE INDEX users_username_key ON users (username_key);

ALTER TABLE user_accounts ADD COLUMN email_key text GENERATED ALWAYS AS (lower(email)) STORED;
DROP INDEX user_accounts_email_key;
CREATE UNIQUE INDEX user_accounts_email_key ON user_accounts (email_key);
