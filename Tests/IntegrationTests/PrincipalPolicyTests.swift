import PostgresClient
import Testing

/// Who sees and changes what, over every table there is: a new one fails these tests until it stands here.
@Suite("What each principal sees")
struct PrincipalPolicyTests {
    /// The tables of which a principal sees at least a row, where every table has some.
    private static func visible(_ gateway: PostgresClient, as principal: PostgresSettings?) async throws -> Set<String> {
        var visible: Set<String> = []
        for table in try await PolicyRows.tables(gateway) where try await gateway.count(table, settings: principal) > 0 {
            visible.insert(table)
        }
        return visible
    }

    private static let everybody: Set = ["beats", "user_profiles", "users"]
    private static let secrets: Set = [
        "user_credentials", "refresh_tokens", "email_tokens", "one_time_secrets", "recovery_codes", "signing_keys", "sign_in_attempts",
        "mails",
    ]

    @Test("Each principal sees the tables that it is meant to see, and of no other a row")
    func matrix() async throws {
        try await PolicyRows.use { gateway throws in
            let expected: [(PostgresSettings, Set<String>)] = [
                (PolicyRows.anonymous, Self.everybody),
                (PolicyRows.service, Self.everybody),
                (PolicyRows.asEve, Self.everybody),
                // Invited, and followed.
                (PolicyRows.asBob, Self.everybody.union(["beat_permissions", "follows"])),
                (
                    PolicyRows.asRoot,
                    Self.everybody.union(["audit_log", "service_keys", "sessions", "user_accounts", "user_identities", "user_roles"])
                ),
                (
                    PolicyRows.authenticator,
                    [
                        "users", "user_accounts", "user_profiles", "user_roles", "user_identities", "user_credentials", "held_usernames",
                        "sessions", "refresh_tokens", "email_tokens", "one_time_secrets", "recovery_codes", "service_keys", "signing_keys",
                        "sign_in_attempts",
                    ]
                ),
                (
                    PolicyRows.asAda,
                    Set(try await PolicyRows.tables(gateway)).subtracting(Self.secrets).subtracting([
                        "audit_log", "audit_chain", "audit_unsealed", "cache_generation", "held_usernames", "index_rebuilds", "leases",
                        "ledger_transactions",
                        "outbox",
                        "schema_migrations", "service_keys", "verifications", "webhook_events",
                    ])
                ),
            ]
            for (principal, tables) in expected {
                let visible = try await Self.visible(gateway, as: principal)
                #expect(visible == tables, "\(principal): \(visible.symmetricDifference(tables).sorted())")
            }
        }
    }

    @Test("The sign-in desk sees accounts in any standing, and nothing that is published")
    func authenticator() async throws {
        try await PolicyRows.use { gateway throws in
            try await gateway.change("UPDATE users SET status = 'suspended' WHERE username = 'ada'", as: PolicyRows.system)
            #expect(try await gateway.count("users", settings: PolicyRows.authenticator) == 4)
            #expect(try await gateway.count("users", settings: PolicyRows.asRoot) == 4)
            #expect(try await gateway.count("users", settings: PolicyRows.anonymous) == 3)
            #expect(try await gateway.count("beats", settings: PolicyRows.authenticator) == 0)
            #expect(try await gateway.count("playlists", settings: PolicyRows.authenticator) == 0)
            #expect(try await gateway.count("beats", settings: PolicyRows.anonymous) == 1)
            #expect(try await gateway.count("beats", settings: PolicyRows.asRoot) == 2)
        }
    }

    @Test("An account without rights changes, removes and forges no row of any table")
    func immutable() async throws {
        try await PolicyRows.use { gateway throws in
            for table in try await PolicyRows.tables(gateway) {
                let columns = try await gateway.texts(
                    """
                    SELECT column_name::text FROM information_schema.columns
                    WHERE table_schema = 'public' AND table_name = '\(table)' AND is_generated = 'NEVER' AND is_identity = 'NO'
                    ORDER BY NOT has_column_privilege('\(table)', column_name, 'UPDATE'), ordinal_position
                    """)
                let column = try #require(columns.first)
                let all = "SELECT to_jsonb(t)::text FROM \(table) t ORDER BY 1"
                let before = try await gateway.texts(all, settings: PolicyRows.system)
                for principal in [PolicyRows.asEve, PolicyRows.anonymous, PolicyRows.service, nil] {
                    for statement in [
                        "UPDATE \(table) SET \(column) = \(column)", "DELETE FROM \(table)", "TRUNCATE \(table) CASCADE",
                        "SELECT FROM \(table) FOR UPDATE",
                    ] {
                        let outcome = try await gateway.refusal(statement, as: principal)
                        #expect(outcome == "done" || outcome == "42501", "\(statement)")
                    }
                    // Any account may announce a change; what is announced is read anew.
                    if table == "outbox", principal == PolicyRows.asEve { continue }
                    let list = columns.joined(separator: ", ")
                    let row = try #require(
                        try await gateway.texts("SELECT to_jsonb(t)::text FROM \(table) t LIMIT 1", settings: PolicyRows.system).first)
                    let literal = row.replacing("'", with: "''")
                    let forged = "INSERT INTO \(table) (\(list)) SELECT \(list) FROM jsonb_populate_record(NULL::\(table), '\(literal)')"
                    #expect(try await gateway.refusal(forged, as: principal) == "42501", "\(forged)")
                }
                #expect(try await gateway.texts(all, settings: PolicyRows.system) == before, "\(table)")
            }
        }
    }

    @Test("No principal outlives its query: not on the connection, not after a failure, not among queries in one pipeline")
    func pooledConnections() async throws {
        try await PolicyRows.use(connections: 1) { gateway throws in
            let setting = "SELECT coalesce(nullif(current_setting('kababeat.role', true), ''), 'none')"
            #expect(try await gateway.texts(setting, settings: PolicyRows.asAda) == ["creator"])
            #expect(try await gateway.texts(setting) == ["none"])
            #expect(try await gateway.count("sessions") == 0)
            #expect(try await gateway.refusal("SELECT 1 / 0", as: PolicyRows.system) == "22012")
            #expect(try await gateway.count("sessions") == 0)
            let seen = try await gateway.transaction(settings: PolicyRows.asAda, deadline: SchemaFixture.soon) { transaction in
                try await transaction.query(.text("SELECT id::text FROM sessions"))
            }
            #expect(seen.count == 1)
            #expect(try await gateway.count("sessions") == 0)
            struct Left: Error {}
            await #expect(throws: Left.self) {
                try await gateway.transaction(settings: PolicyRows.system, deadline: SchemaFixture.soon) { transaction in
                    _ = try await transaction.query(.text("SELECT id::text FROM sessions"))
                    throw Left()
                }
            }
            #expect(try await gateway.texts(setting) == ["none"])

            let principals: [(PostgresSettings?, Int)] = [
                (PolicyRows.asAda, 2), (nil, 0), (PolicyRows.anonymous, 1), (PolicyRows.asRoot, 2), (PolicyRows.authenticator, 0),
                (PolicyRows.asEve, 1),
            ]
            try await withThrowingTaskGroup(of: Bool.self) { tasks in
                for number in 0..<600 {
                    let (principal, count) = principals[number % principals.count]
                    tasks.addTask { try await gateway.count("beats", settings: principal) == count }
                }
                for try await isRight in tasks { #expect(isRight) }
            }
        }
    }
}
