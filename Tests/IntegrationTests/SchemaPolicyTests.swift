import Foundation
import PostgresClient
import Schema
import Testing

/// What the database itself lets the gateway's role do, whatever the gateway's code asks for.
@Suite("Row security")
struct SchemaPolicyTests {
    private static func principal(_ role: String, _ user: String = "") -> PostgresSettings {
        PostgresSettings([("kababeat.role", role), ("kababeat.user", user)])
    }

    private static let ada = "00000000-0000-7000-8000-00000000000a"
    private static let bob = "00000000-0000-7000-8000-00000000000b"
    private static let system = principal("system")
    private static let strangers: [PostgresSettings?] = [
        nil, principal(""), principal("superuser", ada), principal("", ada),
        PostgresSettings([("kababeat.user", ada)]),
    ]

    /// Ada made two beats, one published, and has a row wherever an account can have one.
    private static let rows = """
        SELECT set_config('kababeat.role', 'system', true);
        INSERT INTO users (id, username) VALUES ('\(ada)', 'ada'), ('\(bob)', 'bob');
        INSERT INTO user_accounts (user_id, email) VALUES ('\(ada)', 'ada@example.com');
        INSERT INTO user_profiles (user_id) VALUES ('\(ada)');
        INSERT INTO user_roles (user_id, role) VALUES ('\(ada)', 'creator');
        INSERT INTO beats (id, creator_id, title, status, published_at, price_basic) VALUES
            ('10000000-0000-7000-8000-000000000001', '\(ada)', 'out', 'published', now(), 10),
            ('10000000-0000-7000-8000-000000000002', '\(ada)', 'in the works', 'draft', NULL, NULL);
        INSERT INTO beat_permissions (beat_id, user_id, permission_type, granted_by) SELECT id, '\(bob)', 'viewer', creator_id FROM beats;
        INSERT INTO beat_splits (beat_id, user_id, share, offered_by) SELECT id, creator_id, 100, creator_id FROM beats;
        INSERT INTO beat_content_staged (beat_id, version, content) SELECT id, 1, '{}' FROM beats;
        INSERT INTO outbox (aggregate_type, aggregate_id, version, operation) SELECT 'beat', id, 1, 'upsert' FROM beats;
        INSERT INTO idempotency_keys (principal_id, key, fingerprint, locked_until, expires_at)
            VALUES ('\(ada)', 'k', sha256(''), now(), now());
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
        """

    private func withRows(_ body: (PostgresClient) async throws -> Void) async throws {
        try await SchemaFixture.use { fixture throws in
            _ = try await fixture.migrator(fixture.projectFiles()).run()
            try await fixture.asGateway { gateway throws in
                try await gateway.run(Self.rows)
                try await body(gateway)
            }
        }
    }

    @Test("No principal, or a malformed one, sees no row of any table, and no error; the system sees every row")
    func strangers() async throws {
        try await withRows { gateway throws in
            let tables = try await gateway.texts(
                "SELECT relname::text FROM pg_class WHERE relnamespace = 'public'::regnamespace AND relkind = 'r'")
            #expect(tables.count == 27)
            for table in tables {
                for stranger in Self.strangers { #expect(try await gateway.count(table, settings: stranger) == 0, "\(table)") }
                #expect(try await gateway.count(table, settings: Self.system) > 0, "\(table)")
            }
        }
    }

    @Test("Anybody sees what is published, of accounts what is public, and nothing else")
    func anonymous() async throws {
        try await withRows { gateway throws in
            for settings in [Self.principal("anonymous"), Self.principal("user", "no uuid"), Self.principal("anonymous", Self.ada)] {
                #expect(try await gateway.texts("SELECT title FROM beats", settings: settings) == ["out"])
                #expect(try await gateway.count("users", settings: settings) == 2)
                for table in ["user_accounts", "user_roles", "playlists", "favorites", "orders", "licenses", "ledger_entries", "outbox"] {
                    #expect(try await gateway.count(table, settings: settings) == 0, "\(table)")
                }
            }
        }
    }

    @Test("An account sees and changes what is its own, and nothing of another's")
    func owners() async throws {
        try await withRows { gateway throws in
            let (ada, bob) = (Self.principal("creator", Self.ada), Self.principal("user", Self.bob))
            let own = [
                "user_accounts", "user_roles", "carts", "cart_items", "orders", "order_items", "licenses", "payouts", "notifications",
                "favorites",
            ]
            for table in own {
                #expect(try await gateway.count(table, settings: ada) > 0, "\(table)")
                #expect(try await gateway.count(table, settings: bob) == 0, "\(table)")
            }
            #expect(try await gateway.count("beats", settings: ada) == 2)
            let rename = PostgresStatement<Void>("UPDATE beats SET title = 'mine', version = version + 1")
            #expect(try await gateway.execute(rename, settings: bob, deadline: SchemaFixture.soon) == 0)
            #expect(try await gateway.execute(rename, settings: ada, deadline: SchemaFixture.soon) == 2)
            let give = PostgresStatement<Void>("UPDATE beats SET creator_id = '\(Self.bob)'")
            let refused = await #expect(throws: PostgresError.self) {
                try await gateway.execute(give, settings: ada, deadline: SchemaFixture.soon)
            }
            #expect(refused?.sqlState == "42501")
        }
    }

    @Test("Only a beat's creator grants permissions on it, in nobody else's name")
    func grants() async throws {
        try await withRows { gateway throws in
            let grant = PostgresStatement<Void>(
                """
                INSERT INTO beat_permissions (beat_id, user_id, permission_type, granted_by)
                VALUES ('10000000-0000-7000-8000-000000000001', '\(Self.ada)', 'owner', $1::uuid)
                """)
            for (name, state) in [(Self.bob, "23503"), (Self.ada, "42501")] {
                let refused = await #expect(throws: PostgresError.self) {
                    try await gateway.execute(
                        grant, [.text(name)], settings: Self.principal("user", Self.bob), deadline: SchemaFixture.soon)
                }
                #expect(refused?.sqlState == state)
            }
            let granted = try await gateway.execute(
                grant, [.text(Self.ada)], settings: Self.principal("creator", Self.ada), deadline: SchemaFixture.soon)
            #expect(granted == 1)
        }
    }

    @Test("What is only ever added cannot be changed or deleted, not even by the system")
    func appendOnly() async throws {
        try await withRows { gateway throws in
            for table in ["order_items", "ledger_transactions", "ledger_entries"] {
                for verb in ["DELETE FROM \(table)", "UPDATE \(table) SET created_at = now()", "TRUNCATE \(table)"] {
                    let refused = await #expect(throws: PostgresError.self) {
                        try await gateway.execute(PostgresStatement(verb), settings: Self.system, deadline: SchemaFixture.soon)
                    }
                    #expect(refused?.sqlState == "42501", "\(verb)")
                }
            }
        }
    }

    @Test("A ledger transaction whose entries do not add up to zero is refused at COMMIT")
    func ledgerBalances() async throws {
        try await withRows { gateway throws in
            for legs in ["1, '\(Self.ada)', 5", "1, '\(Self.ada)', 5, 'USD'), ('\(Self.bob)', 2, '\(Self.bob)', -4"] {
                let refused = await #expect(throws: PostgresError.self) {
                    try await gateway.run(
                        """
                        SELECT set_config('kababeat.role', 'system', true);
                        INSERT INTO ledger_transactions (id, kind, event_key) VALUES ('\(Self.bob)', 'sale', 'other');
                        INSERT INTO ledger_entries (transaction_id, line, account_id, amount, currency) VALUES ('\(Self.bob)', \(legs), 'USD')
                        """)
                }
                #expect(refused?.constraint == "ledger_transaction_balances")
            }
        }
    }

    @Test("Names that could not be reached, or are the API's own, are no usernames")
    func usernames() async throws {
        try await SchemaFixture.use { fixture throws in
            _ = try await fixture.migrator(fixture.projectFiles(first: 2)).run()
            let insert = PostgresStatement<Void>("INSERT INTO users (id, username) VALUES ('\(Self.ada)', $1)")
            for name in ["me", "ab", "Profile", "featured", "search", "admin", "-ab", "ab.", "a b", "ab/c", Self.ada] {
                let refused = await #expect(throws: PostgresError.self, "\(name)") {
                    try await fixture.owner.execute(insert, [.text(name)], deadline: SchemaFixture.soon)
                }
                #expect(refused?.constraint?.hasPrefix("users_username") == true, "\(name)")
            }
        }
    }
}
