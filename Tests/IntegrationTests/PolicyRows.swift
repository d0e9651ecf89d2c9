import PostgresClient
import Schema
import Testing

/// What tests of row security look at: one row or more in every table, all of them Ada's as far as a row is anybody's.
enum PolicyRows {
    static let ada = "00000000-0000-7000-8000-00000000000a"
    /// Follows nobody and owns nothing; was invited to Ada's beats and followed by her.
    static let bob = "00000000-0000-7000-8000-00000000000b"
    /// Has an account and nothing else.
    static let eve = "00000000-0000-7000-8000-00000000000e"
    /// Grants roles and reads logs.
    static let root = "00000000-0000-7000-8000-00000000000f"
    static let published = "10000000-0000-7000-8000-000000000001"
    static let draft = "10000000-0000-7000-8000-000000000002"

    static func principal(_ role: String, _ user: String = "") -> PostgresSettings {
        PostgresSettings([("kababeat.role", role), ("kababeat.user", user)])
    }

    static let anonymous = principal("anonymous")
    static let service = principal("service")
    static let authenticator = principal("authenticator")
    static let system = principal("system")
    static let asAda = principal("creator", ada)
    static let asBob = principal("user", bob)
    static let asEve = principal("user", eve)
    static let asRoot = principal("admin", root)

    /// Ada made two beats, one published, and has a row wherever an account can have one.
    private static let rows = """
        SELECT set_config('kababeat.role', 'system', true);
        INSERT INTO users (id, username) VALUES ('\(ada)', 'ada'), ('\(bob)', 'bob'), ('\(eve)', 'eve'), ('\(root)', 'toor');
        INSERT INTO user_accounts (user_id, email) VALUES ('\(ada)', 'ada@example.com');
        INSERT INTO user_profiles (user_id) VALUES ('\(ada)');
        INSERT INTO user_roles (user_id, role) VALUES ('\(ada)', 'creator');
        INSERT INTO beats (id, creator_id, title, status, published_at, price_basic) VALUES
            ('\(published)', '\(ada)', 'out', 'published', now(), 10),
            ('\(draft)', '\(ada)', 'in the works', 'draft', NULL, NULL);
        INSERT INTO beat_permissions (beat_id, user_id, permission_type, granted_by) SELECT id, '\(bob)', 'viewer', creator_id FROM beats;
        INSERT INTO beat_splits (beat_id, user_id, share, offered_by) SELECT id, creator_id, 100, creator_id FROM beats;
        INSERT INTO beat_content_staged (beat_id, version, content) SELECT id, 1, '{}' FROM beats;
        INSERT INTO outbox (aggregate_type, aggregate_id, version, operation) SELECT 'beat', id, 1, 'upsert' FROM beats;
        INSERT INTO leases (name, holder, held_until) VALUES ('work', 'a gateway', now());
        INSERT INTO index_rebuilds (index_name, collection) VALUES ('search_index', 'search_index_next_0');
        INSERT INTO verifications (name, begun_at, ended_at, compared, mismatches) VALUES ('beats', now(), now(), 0, 0);
        INSERT INTO idempotency_keys (principal_id, key, fingerprint, claim, effect_id, locked_until, expires_at)
            VALUES ('\(ada)', 'k', sha256(''), gen_random_uuid(), gen_random_uuid(), now(), now());
        INSERT INTO playlists (id, curator_id, name, is_public) SELECT id, creator_id, title, false FROM beats;
        INSERT INTO playlist_collaborators (playlist_id, user_id, added_by) SELECT id, '\(ada)', curator_id FROM playlists;
        INSERT INTO playlist_items (id, playlist_id, beat_id, added_by, position) SELECT id, id, id, curator_id, 0 FROM playlists;
        INSERT INTO favorites (user_id, beat_id) SELECT creator_id, id FROM beats;
        INSERT INTO follows (follower_id, followed_id) VALUES ('\(ada)', '\(bob)');
        INSERT INTO notifications (id, user_id, kind, event_key) SELECT id, creator_id, 'sale', id::text FROM beats;
        INSERT INTO carts (id, user_id) VALUES ('\(ada)', '\(ada)');
        INSERT INTO cart_items (id, cart_id, beat_id, license_type, price_seen, currency) SELECT id, creator_id, id, 'basic', 10, 'USD' FROM beats;
        INSERT INTO orders (id, user_id, total_amount) VALUES ('\(ada)', '\(ada)', 20);
        INSERT INTO order_items (id, order_id, beat_id, seller_id, beat_title, artist_name, license_type, price, currency)
            SELECT id, creator_id, id, creator_id, title, 'Ada', 'basic', 10, 'USD' FROM beats;
        INSERT INTO licenses (id, order_item_id, beat_id, user_id, license_type) SELECT id, id, id, creator_id, 'basic' FROM beats;
        INSERT INTO ledger_accounts (id, owner_id, kind, currency) VALUES ('\(ada)', '\(ada)', 'creator', 'USD'), ('\(bob)', NULL, 'platform', 'USD');
        INSERT INTO payouts (id, creator_id, amount, currency) VALUES ('\(ada)', '\(ada)', 5, 'USD');
        INSERT INTO ledger_transactions (id, kind, event_key) VALUES ('\(ada)', 'sale', 'e');
        INSERT INTO ledger_entries (transaction_id, line, account_id, amount, currency)
            VALUES ('\(ada)', 1, '\(ada)', 5, 'USD'), ('\(ada)', 2, '\(bob)', -5, 'USD');
        INSERT INTO webhook_events (provider, event_id, event_type, payload, provider_created_at) VALUES ('stripe', 'e', 't', 'x', now());
        INSERT INTO held_usernames (username, held_until) VALUES ('ada', now());
        INSERT INTO user_credentials (user_id, password_hash) VALUES ('\(ada)', '$2b$04$' || repeat('a', 53));
        INSERT INTO user_identities (issuer, subject, user_id) VALUES ('https://issuer.example', 'ada', '\(ada)');
        INSERT INTO sessions (id, user_id, expires_at) VALUES ('\(ada)', '\(ada)', now() + interval '1 day');
        INSERT INTO refresh_tokens (digest, session_id, generation, expires_at) VALUES (sha256('r'), '\(ada)', 0, now());
        INSERT INTO email_tokens (digest, user_id, purpose, email, expires_at) VALUES (sha256('m'), '\(ada)', 'reset', 'ada@example.com', now());
        INSERT INTO one_time_secrets (user_id, sealed) VALUES ('\(ada)', repeat('s', 40)::bytea);
        INSERT INTO recovery_codes (user_id, digest) VALUES ('\(ada)', sha256('c'));
        INSERT INTO service_keys (id, name, digest, scopes, created_by) VALUES ('\(ada)', 'job', sha256('k'), '{catalogue:read}', '\(ada)');
        INSERT INTO signing_keys (kid, algorithm, sealed_private, public_jwk, active_from)
            VALUES ('k', 'ES256', repeat('s', 40)::bytea, '{"kty": "EC"}', now());
        INSERT INTO sign_in_attempts (state_digest, provider, nonce, sealed_verifier, link_user_id, expires_at)
            VALUES (sha256('s'), 'google', 'n', repeat('s', 40)::bytea, '\(ada)', now());
        INSERT INTO mails (id, recipient, template, sealed_text, subject)
            VALUES ('\(ada)', 'ada@example.com', 'verify', repeat('s', 40)::bytea, 'Hello');
        INSERT INTO audit_log (id, actor_id, action, category, severity) VALUES ('\(ada)', '\(ada)', 'logged_in', 'sign_in', 'info');
        INSERT INTO audit_chain (seq, entry_id, entry_at, entry_hash, chain_hash)
            SELECT 1, id, at, sha256(''), sha256('') FROM audit_log;
        """

    /// Lends a client that logs in as the gateway does, to a database that holds the rows.
    static func use(connections: Int = 2, _ body: (PostgresClient) async throws -> Void) async throws {
        try await SchemaFixture.use { fixture throws in
            _ = try await fixture.migrator(fixture.projectFiles()).run()
            try await fixture.asGateway(connections: connections) { gateway throws in
                try await gateway.run(rows)
                try await body(gateway)
            }
        }
    }

    /// Every table there is; partitions are parts of theirs.
    static func tables(_ client: PostgresClient) async throws -> [String] {
        try await client.texts(
            """
            SELECT relname::text FROM pg_class
            WHERE relnamespace = 'public'::regnamespace AND relkind IN ('r', 'p') AND NOT relispartition ORDER BY 1
            """)
    }
}

extension PostgresClient {
    /// Runs one statement as a principal. Answers how many rows it touched.
    @discardableResult
    func change(_ sql: String, as principal: PostgresSettings?) async throws -> Int {
        try await execute(PostgresStatement(sql), settings: principal, deadline: SchemaFixture.soon)
    }

    /// The SQLSTATE with which the server refuses a statement, or the name of what refused it where that is one of the project's own
    /// triggers; "done" where it does not.
    func refusal(_ sql: String, as principal: PostgresSettings?) async throws -> String {
        do throws(PostgresError) {
            _ = try await execute(PostgresStatement(sql), settings: principal, deadline: SchemaFixture.soon)
            return "done"
        } catch {
            return error.constraint ?? error.sqlState ?? error.debugDescription
        }
    }
}
