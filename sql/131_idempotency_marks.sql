-- Whether a request was carried out is written down where that is decided: in the transaction that does so. Whoever resumes a request knows
-- then what its first sender cannot tell them, and whoever was thought dead and is not finds the key taken, and commits nothing.
ALTER TABLE idempotency_keys ADD COLUMN carried_out_at timestamptz;

COMMENT ON COLUMN idempotency_keys.carried_out_at IS
    'When what the request asks for was done: set by the transaction that did it, so there if and only if that has committed.';
