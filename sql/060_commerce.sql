-- From cart to licence. What was sold is a record: order items are never changed, and nothing here goes when a user goes.

CREATE TABLE carts (
    id uuid PRIMARY KEY,
    user_id uuid NOT NULL UNIQUE REFERENCES users ON DELETE CASCADE,
    version bigint NOT NULL DEFAULT 1,
    created_at timestamptz NOT NULL DEFAULT now(),
    updated_at timestamptz NOT NULL DEFAULT now(),

    CONSTRAINT carts_version_positive CHECK (version > 0)
);

CALL kababeat_protect('carts', 'SELECT, INSERT, UPDATE, DELETE');
CREATE POLICY own ON carts
    USING (user_id = (SELECT kababeat_user())) WITH CHECK (user_id = (SELECT kababeat_user()));

CREATE TABLE cart_items (
    id uuid PRIMARY KEY,
    cart_id uuid NOT NULL REFERENCES carts ON DELETE CASCADE,
    beat_id uuid NOT NULL REFERENCES beats ON DELETE RESTRICT,
    license_type text NOT NULL,
    quantity smallint NOT NULL DEFAULT 1,
    price_seen numeric(12, 2) NOT NULL,
    currency char(3) NOT NULL,
    added_at timestamptz NOT NULL DEFAULT now(),

    CONSTRAINT cart_items_license_type_known CHECK (license_type IN ('basic', 'premium', 'exclusive')),
    CONSTRAINT cart_items_one_licence CHECK (quantity = 1),
    CONSTRAINT cart_items_price_seen_positive CHECK (price_seen > 0),
    CONSTRAINT cart_items_currency_shape CHECK (currency ~ '^[A-Z]{3}$'),
    CONSTRAINT cart_items_beat_once UNIQUE (cart_id, beat_id, license_type)
);

CREATE INDEX cart_items_of_beat ON cart_items (beat_id);

COMMENT ON COLUMN cart_items.price_seen IS 'The price when it was put in, to tell the buyer of a change; the order takes the price of its day.';

CALL kababeat_protect('cart_items', 'SELECT, INSERT, UPDATE, DELETE');
CREATE POLICY of_own_cart ON cart_items
    USING (EXISTS (SELECT FROM carts WHERE carts.id = cart_id AND carts.user_id = (SELECT kababeat_user())))
    WITH CHECK (EXISTS (SELECT FROM carts WHERE carts.id = cart_id AND carts.user_id = (SELECT kababeat_user())));

CREATE TABLE orders (
    id uuid PRIMARY KEY,
    user_id uuid NOT NULL REFERENCES users ON DELETE RESTRICT,
    status text NOT NULL DEFAULT 'pending',
    total_amount numeric(12, 2) NOT NULL,
    currency char(3) NOT NULL DEFAULT 'USD',
    payment_intent_id text,
    stripe_session_id text,
    version bigint NOT NULL DEFAULT 1,
    created_at timestamptz NOT NULL DEFAULT now(),
    updated_at timestamptz NOT NULL DEFAULT now(),
    expires_at timestamptz,
    paid_at timestamptz,

    CONSTRAINT orders_status_known CHECK (status IN ('pending', 'paid', 'cancelled', 'refunded')),
    CONSTRAINT orders_paid_at_with_status CHECK ((status IN ('paid', 'refunded')) = (paid_at IS NOT NULL)),
    CONSTRAINT orders_total_not_negative CHECK (total_amount >= 0),
    CONSTRAINT orders_currency_shape CHECK (currency ~ '^[A-Z]{3}$'),
    CONSTRAINT orders_provider_ids_length CHECK (char_length(payment_intent_id) BETWEEN 1 AND 255 AND char_length(stripe_session_id) BETWEEN 1 AND 255),
    CONSTRAINT orders_version_positive CHECK (version > 0),
    CONSTRAINT orders_payment_intent_key UNIQUE (payment_intent_id),
    CONSTRAINT orders_stripe_session_key UNIQUE (stripe_session_id)
);

CREATE INDEX orders_of_user_by_time ON orders (user_id, created_at DESC, id DESC);
CREATE INDEX orders_pending_expiry ON orders (expires_at) WHERE status = 'pending';

COMMENT ON COLUMN orders.expires_at IS 'When an unpaid order lets go of what it reserves.';

CALL kababeat_protect('orders', 'SELECT, INSERT, UPDATE');
CREATE POLICY own_is_readable ON orders FOR SELECT
    USING (user_id = (SELECT kababeat_user()));
CREATE POLICY own_is_placeable ON orders FOR INSERT
    WITH CHECK (user_id = (SELECT kababeat_user()) AND status = 'pending');

CREATE TABLE order_items (
    id uuid PRIMARY KEY,
    order_id uuid NOT NULL REFERENCES orders ON DELETE RESTRICT,
    beat_id uuid NOT NULL REFERENCES beats ON DELETE RESTRICT,
    seller_id uuid NOT NULL REFERENCES users ON DELETE RESTRICT,
    beat_title text NOT NULL,
    artist_name text NOT NULL,
    license_type text NOT NULL,
    price numeric(12, 2) NOT NULL,
    currency char(3) NOT NULL,
    created_at timestamptz NOT NULL DEFAULT now(),

    CONSTRAINT order_items_license_type_known CHECK (license_type IN ('basic', 'premium', 'exclusive')),
    CONSTRAINT order_items_price_positive CHECK (price > 0),
    CONSTRAINT order_items_currency_shape CHECK (currency ~ '^[A-Z]{3}$'),
    CONSTRAINT order_items_names_length CHECK (char_length(beat_title) BETWEEN 1 AND 255 AND char_length(artist_name) BETWEEN 1 AND 255),
    CONSTRAINT order_items_beat_once UNIQUE (order_id, beat_id, license_type)
);

CREATE INDEX order_items_of_seller_by_time ON order_items (seller_id, created_at DESC, id DESC);
CREATE INDEX order_items_of_beat ON order_items (beat_id);

COMMENT ON TABLE order_items IS 'What was sold, as it was called and priced at that moment. Rows are never changed.';

CALL kababeat_protect('order_items', 'SELECT, INSERT');
CREATE POLICY of_own_order ON order_items FOR SELECT
    USING (EXISTS (SELECT FROM orders WHERE orders.id = order_id AND orders.user_id = (SELECT kababeat_user())));
CREATE POLICY own_sale_is_readable ON order_items FOR SELECT
    USING (seller_id = (SELECT kababeat_user()));
CREATE POLICY of_own_pending_order ON order_items FOR INSERT
    WITH CHECK (EXISTS (
        SELECT FROM orders WHERE orders.id = order_id AND orders.user_id = (SELECT kababeat_user()) AND orders.status = 'pending'
    ));

-- A licence is reserved with its pending order and active once that is paid. Downloads are signed when asked for, never stored.
CREATE TABLE licenses (
    id uuid PRIMARY KEY,
    order_item_id uuid NOT NULL UNIQUE REFERENCES order_items ON DELETE RESTRICT,
    beat_id uuid NOT NULL REFERENCES beats ON DELETE RESTRICT,
    user_id uuid NOT NULL REFERENCES users ON DELETE RESTRICT,
    license_type text NOT NULL,
    status text NOT NULL DEFAULT 'reserved',
    version bigint NOT NULL DEFAULT 1,
    created_at timestamptz NOT NULL DEFAULT now(),
    updated_at timestamptz NOT NULL DEFAULT now(),
    expires_at timestamptz,

    CONSTRAINT licenses_license_type_known CHECK (license_type IN ('basic', 'premium', 'exclusive')),
    CONSTRAINT licenses_status_known CHECK (status IN ('reserved', 'active', 'released', 'expired', 'revoked')),
    CONSTRAINT licenses_version_positive CHECK (version > 0)
);

CREATE INDEX licenses_of_user_by_time ON licenses (user_id, created_at DESC, id DESC);
CREATE INDEX licenses_of_beat ON licenses (beat_id);
CREATE INDEX licenses_expiry ON licenses (expires_at) WHERE expires_at IS NOT NULL AND status IN ('reserved', 'active');
-- The backstop behind the lock on the beat: one exclusive licence, and none twice for the same buyer.
CREATE UNIQUE INDEX licenses_one_exclusive ON licenses (beat_id) WHERE license_type = 'exclusive' AND status IN ('reserved', 'active');
CREATE UNIQUE INDEX licenses_once_per_buyer ON licenses (user_id, beat_id, license_type) WHERE status IN ('reserved', 'active');

CALL kababeat_protect('licenses', 'SELECT, INSERT, UPDATE');
CREATE POLICY own_is_readable ON licenses FOR SELECT
    USING (user_id = (SELECT kababeat_user()));
