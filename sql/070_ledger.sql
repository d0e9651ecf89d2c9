-- Double entry. Transactions and entries are only ever added; a correction is a reversal.

CREATE TABLE ledger_accounts (
    id uuid PRIMARY KEY,
    owner_id uuid REFERENCES users ON DELETE RESTRICT,
    kind text NOT NULL,
    currency char(3) NOT NULL,
    balance numeric(12, 2) NOT NULL DEFAULT 0,
    created_at timestamptz NOT NULL DEFAULT now(),
    updated_at timestamptz NOT NULL DEFAULT now(),

    CONSTRAINT ledger_accounts_kind_known CHECK (kind IN ('creator', 'platform', 'provider', 'tax')),
    CONSTRAINT ledger_accounts_owner_with_kind CHECK ((kind = 'creator') = (owner_id IS NOT NULL)),
    CONSTRAINT ledger_accounts_currency_shape CHECK (currency ~ '^[A-Z]{3}$'),
    CONSTRAINT ledger_accounts_currency_key UNIQUE (id, currency)
);

CREATE UNIQUE INDEX ledger_accounts_of_owner ON ledger_accounts (owner_id, currency) WHERE owner_id IS NOT NULL;
CREATE UNIQUE INDEX ledger_accounts_of_house ON ledger_accounts (kind, currency) WHERE owner_id IS NULL;

COMMENT ON COLUMN ledger_accounts.balance IS 'Sum of the account''s entries, kept in the transaction that adds them.';

CALL kababeat_protect('ledger_accounts', 'SELECT, INSERT, UPDATE');
CREATE POLICY own_is_readable ON ledger_accounts FOR SELECT
    USING (owner_id = (SELECT kababeat_user()));

CREATE TABLE payouts (
    id uuid PRIMARY KEY,
    creator_id uuid NOT NULL REFERENCES users ON DELETE RESTRICT,
    amount numeric(12, 2) NOT NULL,
    currency char(3) NOT NULL,
    status text NOT NULL DEFAULT 'pending',
    stripe_payout_id text UNIQUE,
    failure_code text,
    version bigint NOT NULL DEFAULT 1,
    created_at timestamptz NOT NULL DEFAULT now(),
    updated_at timestamptz NOT NULL DEFAULT now(),
    processed_at timestamptz,

    CONSTRAINT payouts_amount_positive CHECK (amount > 0),
    CONSTRAINT payouts_currency_shape CHECK (currency ~ '^[A-Z]{3}$'),
    CONSTRAINT payouts_status_known CHECK (status IN ('pending', 'processed', 'failed')),
    CONSTRAINT payouts_processed_at_with_status CHECK ((status = 'pending') = (processed_at IS NULL)),
    CONSTRAINT payouts_provider_text_length CHECK (char_length(stripe_payout_id) BETWEEN 1 AND 255 AND char_length(failure_code) BETWEEN 1 AND 100),
    CONSTRAINT payouts_version_positive CHECK (version > 0)
);

CREATE INDEX payouts_of_creator_by_time ON payouts (creator_id, created_at DESC, id DESC);
CREATE INDEX payouts_pending ON payouts (created_at) WHERE status = 'pending';

CALL kababeat_protect('payouts', 'SELECT, INSERT, UPDATE');
CREATE POLICY own_is_readable ON payouts FOR SELECT
    USING (creator_id = (SELECT kababeat_user()));

CREATE TABLE ledger_transactions (
    id uuid PRIMARY KEY,
    kind text NOT NULL,
    order_id uuid REFERENCES orders ON DELETE RESTRICT,
    payout_id uuid REFERENCES payouts ON DELETE RESTRICT,
    reverses_id uuid UNIQUE REFERENCES ledger_transactions ON DELETE RESTRICT,
    event_key text NOT NULL UNIQUE,
    created_at timestamptz NOT NULL DEFAULT now(),

    CONSTRAINT ledger_transactions_kind_known CHECK (kind IN ('sale', 'refund', 'chargeback', 'payout', 'payout_returned', 'adjustment')),
    CONSTRAINT ledger_transactions_event_key_length CHECK (char_length(event_key) BETWEEN 1 AND 200)
);

CREATE INDEX ledger_transactions_of_order ON ledger_transactions (order_id) WHERE order_id IS NOT NULL;
CREATE INDEX ledger_transactions_of_payout ON ledger_transactions (payout_id) WHERE payout_id IS NOT NULL;

COMMENT ON COLUMN ledger_transactions.event_key IS 'What happened, once: the same event posted again violates this key.';

CALL kababeat_protect('ledger_transactions', 'SELECT, INSERT');

CREATE TABLE ledger_entries (
    transaction_id uuid NOT NULL REFERENCES ledger_transactions ON DELETE RESTRICT,
    line smallint NOT NULL,
    account_id uuid NOT NULL,
    amount numeric(12, 2) NOT NULL,
    currency char(3) NOT NULL,
    created_at timestamptz NOT NULL DEFAULT now(),

    PRIMARY KEY (transaction_id, line),
    CONSTRAINT ledger_entries_line_positive CHECK (line > 0),
    CONSTRAINT ledger_entries_amount_not_zero CHECK (amount <> 0),
    CONSTRAINT ledger_entries_account FOREIGN KEY (account_id, currency) REFERENCES ledger_accounts (id, currency) ON DELETE RESTRICT
);

CREATE INDEX ledger_entries_of_account_by_time ON ledger_entries (account_id, currency, created_at DESC, transaction_id DESC);

CALL kababeat_protect('ledger_entries', 'SELECT, INSERT');
CREATE POLICY of_own_account ON ledger_entries FOR SELECT
    USING (EXISTS (SELECT FROM ledger_accounts WHERE ledger_accounts.id = account_id AND ledger_accounts.owner_id = (SELECT kababeat_user())));

-- Checked at COMMIT. It reads as the writer does: a writer that may not see the entries it wrote is refused, not waved through.
CREATE FUNCTION ledger_transaction_balances() RETURNS trigger
LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    IF EXISTS (
        SELECT FROM public.ledger_entries WHERE transaction_id = NEW.transaction_id GROUP BY currency HAVING sum(amount) <> 0
    ) OR (SELECT count(*) FROM public.ledger_entries WHERE transaction_id = NEW.transaction_id) < 2 THEN
        RAISE EXCEPTION 'ledger transaction % does not balance', NEW.transaction_id
            USING ERRCODE = 'check_violation', CONSTRAINT = 'ledger_transaction_balances', TABLE = 'ledger_entries';
    END IF;
    RETURN NULL;
END
$$;

REVOKE EXECUTE ON FUNCTION ledger_transaction_balances() FROM PUBLIC;

CREATE CONSTRAINT TRIGGER ledger_transaction_balances
AFTER INSERT ON ledger_entries DEFERRABLE INITIALLY DEFERRED
FOR EACH ROW EXECUTE FUNCTION ledger_transaction_balances();

-- What payment providers told us, kept before it is acted on, so that an event counts once however often it is delivered.
CREATE TABLE webhook_events (
    provider text NOT NULL,
    event_id text NOT NULL,
    event_type text NOT NULL,
    object_id text,
    payload bytea NOT NULL,
    provider_created_at timestamptz NOT NULL,
    received_at timestamptz NOT NULL DEFAULT now(),
    state text NOT NULL DEFAULT 'received',
    attempts integer NOT NULL DEFAULT 0,
    last_error text,
    processed_at timestamptz,

    PRIMARY KEY (provider, event_id),
    CONSTRAINT webhook_events_texts_length CHECK (
        char_length(provider) BETWEEN 1 AND 50 AND char_length(event_id) BETWEEN 1 AND 255
        AND char_length(event_type) BETWEEN 1 AND 100 AND char_length(object_id) BETWEEN 1 AND 255
    ),
    CONSTRAINT webhook_events_payload_length CHECK (octet_length(payload) BETWEEN 1 AND 262144),
    CONSTRAINT webhook_events_state_known CHECK (state IN ('received', 'processed', 'ignored', 'failed')),
    CONSTRAINT webhook_events_processed_at_with_state CHECK ((state = 'received') = (processed_at IS NULL)),
    CONSTRAINT webhook_events_attempts_not_negative CHECK (attempts >= 0),
    CONSTRAINT webhook_events_last_error_is_a_code CHECK (last_error ~ '^[A-Za-z0-9_.:-]{1,100}$')
);

CREATE INDEX webhook_events_waiting ON webhook_events (received_at) WHERE state = 'received';
CREATE INDEX webhook_events_of_object ON webhook_events (provider, object_id, provider_created_at) WHERE object_id IS NOT NULL;

CALL kababeat_protect('webhook_events', 'SELECT, INSERT, UPDATE');
