import Foundation
import PostgresClient
import Schema
import Testing

/// What the database itself lets the gateway's role do, whatever the gateway's code asks for.
@Suite("Row security")
struct SchemaPolicyTests {
    private static let strangers: [PostgresSettings?] = [
        nil, PolicyRows.principal(""), PolicyRows.principal("superuser", PolicyRows.ada), PolicyRows.principal("", PolicyRows.ada),
        PostgresSettings([("kababeat.user", PolicyRows.ada)]),
    ]

    @Test("No principal, or a malformed one, sees no row of any table, and no error; the system sees every row")
    func strangers() async throws {
        try await PolicyRows.use { gateway throws in
            let tables = try await PolicyRows.tables(gateway)
            #expect(tables.count > 40)
            for table in tables {
                for stranger in Self.strangers { #expect(try await gateway.count(table, settings: stranger) == 0, "\(table)") }
                #expect(try await gateway.count(table, settings: PolicyRows.system) > 0, "\(table)")
            }
        }
    }

    @Test("Anybody sees what is published, of accounts what is public, and nothing else")
    func anonymous() async throws {
        try await PolicyRows.use { gateway throws in
            for settings in [
                PolicyRows.principal("anonymous"), PolicyRows.principal("user", "no uuid"),
                PolicyRows.principal("anonymous", PolicyRows.ada),
            ] {
                #expect(try await gateway.texts("SELECT title FROM beats", settings: settings) == ["out"])
                #expect(try await gateway.count("users", settings: settings) == 4)
                for table in ["user_accounts", "user_roles", "playlists", "favorites", "orders", "licenses", "ledger_entries", "outbox"] {
                    #expect(try await gateway.count(table, settings: settings) == 0, "\(table)")
                }
            }
        }
    }

    @Test("An account sees and changes what is its own, and nothing of another's")
    func owners() async throws {
        try await PolicyRows.use { gateway throws in
            let (ada, bob) = (PolicyRows.principal("creator", PolicyRows.ada), PolicyRows.principal("user", PolicyRows.bob))
            let own = [
                "user_accounts", "user_roles", "carts", "cart_items", "orders", "order_items", "licenses", "payouts", "notifications",
                "favorites", "idempotency_keys",
            ]
            for table in own {
                #expect(try await gateway.count(table, settings: ada) > 0, "\(table)")
                #expect(try await gateway.count(table, settings: bob) == 0, "\(table)")
            }
            #expect(try await gateway.count("beats", settings: ada) == 2)
            let rename = PostgresStatement<Void>("UPDATE beats SET title = 'mine', version = version + 1")
            #expect(try await gateway.execute(rename, settings: bob, deadline: SchemaFixture.soon) == 0)
            #expect(try await gateway.execute(rename, settings: ada, deadline: SchemaFixture.soon) == 2)
            let give = PostgresStatement<Void>("UPDATE beats SET creator_id = '\(PolicyRows.bob)'")
            let refused = await #expect(throws: PostgresError.self) {
                try await gateway.execute(give, settings: ada, deadline: SchemaFixture.soon)
            }
            #expect(refused?.sqlState == "42501")
        }
    }

    @Test("Only a beat's creator grants permissions on it, in nobody else's name")
    func grants() async throws {
        try await PolicyRows.use { gateway throws in
            let grant = PostgresStatement<Void>(
                """
                INSERT INTO beat_permissions (beat_id, user_id, permission_type, granted_by)
                VALUES ('10000000-0000-7000-8000-000000000001', '\(PolicyRows.ada)', 'owner', $1::uuid)
                """)
            // Another creator: who is none is refused before that.
            let promotion = "INSERT INTO user_roles (user_id, role) VALUES ('\(PolicyRows.bob)', 'creator')"
            try await gateway.change(promotion, as: PolicyRows.system)
            for (name, state) in [(PolicyRows.bob, "23503"), (PolicyRows.ada, "42501")] {
                let refused = await #expect(throws: PostgresError.self) {
                    try await gateway.execute(
                        grant, [.text(name)], settings: PolicyRows.principal("user", PolicyRows.bob), deadline: SchemaFixture.soon)
                }
                #expect(refused?.sqlState == state)
            }
            let granted = try await gateway.execute(
                grant, [.text(PolicyRows.ada)], settings: PolicyRows.principal("creator", PolicyRows.ada), deadline: SchemaFixture.soon)
            #expect(granted == 1)
        }
    }

    @Test("What is only ever added cannot be changed or deleted, not even by the system")
    func appendOnly() async throws {
        try await PolicyRows.use { gateway throws in
            for table in ["order_items", "ledger_transactions", "ledger_entries", "audit_log", "audit_chain"] {
                let column = table.hasPrefix("audit") ? table == "audit_log" ? "at" : "seq" : "created_at"
                for verb in ["DELETE FROM \(table)", "UPDATE \(table) SET \(column) = \(column)", "TRUNCATE \(table)"] {
                    #expect(try await gateway.refusal(verb, as: PolicyRows.system) == "42501", "\(verb)")
                }
            }
        }
    }

    @Test("A ledger transaction whose entries do not add up to zero is refused at COMMIT")
    func ledgerBalances() async throws {
        try await PolicyRows.use { gateway throws in
            for legs in [
                "1, '\(PolicyRows.ada)', 5", "1, '\(PolicyRows.ada)', 5, 'USD'), ('\(PolicyRows.bob)', 2, '\(PolicyRows.bob)', -4",
            ] {
                let refused = await #expect(throws: PostgresError.self) {
                    try await gateway.run(
                        """
                        SELECT set_config('kababeat.role', 'system', true);
                        INSERT INTO ledger_transactions (id, kind, event_key) VALUES ('\(PolicyRows.bob)', 'sale', 'other');
                        INSERT INTO ledger_entries (transaction_id, line, account_id, amount, currency) VALUES ('\(PolicyRows.bob)', \(legs), 'USD')
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
            let insert = PostgresStatement<Void>("INSERT INTO users (id, username) VALUES ('\(PolicyRows.ada)', $1)")
            for name in ["me", "ab", "Profile", "featured", "search", "admin", "-ab", "ab.", "a b", "ab/c", PolicyRows.ada] {
                let refused = await #expect(throws: PostgresError.self, "\(name)") {
                    try await fixture.owner.execute(insert, [.text(name)], deadline: SchemaFixture.soon)
                }
                #expect(refused?.constraint?.hasPrefix("users_username") == true, "\(name)")
            }
        }
    }
}
