import PostgresClient
import Schema
import Testing

/// What row security costs where it is paid on every request, at 100,000 accounts.
@Suite("Budgets of row security", .timeLimit(.minutes(5)))
struct PolicyBudgetTests {
    private static let accounts = 100_000

    /// Everybody has an account, a role, a session with a refresh token, a beat that is published or not, and an audit entry; every tenth
    /// shares his beat with the next.
    private static let rows = """
        SET synchronous_commit = off;
        CREATE FUNCTION number(n bigint) RETURNS uuid LANGUAGE sql IMMUTABLE RETURN lpad(to_hex(n), 32, '0')::uuid;
        INSERT INTO users (id, username) SELECT number(n), 'user-' || n FROM generate_series(1, \(accounts)) n;
        INSERT INTO user_accounts (user_id, email) SELECT id, username || '@example.com' FROM users;
        INSERT INTO user_roles (user_id, role) SELECT id, 'user' FROM users;
        INSERT INTO user_credentials (user_id, password_hash) SELECT id, '$2b$04$' || repeat('a', 53) FROM users;
        INSERT INTO sessions (id, user_id, expires_at) SELECT id, id, now() + interval '30 days' FROM users;
        INSERT INTO refresh_tokens (digest, session_id, generation, expires_at) SELECT sha256(uuid_send(id)), id, 0, expires_at FROM sessions;
        INSERT INTO beats (id, creator_id, title, status, published_at)
            SELECT number(n), number(n), 'Beat', CASE n % 2 WHEN 0 THEN 'published' ELSE 'draft' END, now() FROM generate_series(1, \(accounts)) n;
        INSERT INTO beat_permissions (beat_id, user_id, permission_type, granted_by, accepted_at)
            SELECT number(n), number(n + 1), 'viewer', number(n), now() FROM generate_series(1, \(accounts - 1), 10) n;
        INSERT INTO audit_log (id, actor_id, action, category, severity)
            SELECT number(n), number(n), 'logged_in', 'sign_in', 'info' FROM generate_series(1, \(accounts)) n;
        ANALYZE
        """

    private struct LookUp {
        let name: String
        let principal: PostgresSettings
        let sql: String
        /// Pages of 8 KiB that it may touch, indexes included.
        let pages: Int
        let rows: Int
    }

    private static func id(_ number: Int) -> String {
        "00000000-0000-0000-0000-" + String(repeating: "0", count: 12 - String(number, radix: 16).count) + String(number, radix: 16)
    }

    private static let sixteen = "ARRAY[" + (1...16).map { "'\(id($0 * 6000))'" }.joined(separator: ", ") + "]::uuid[]"
    private static let me = PolicyRows.principal("creator", id(42))
    private static let admin = PolicyRows.principal("admin", id(99))

    private static let lookUps = [
        LookUp(
            name: "sixteen sessions with their standing", principal: PolicyRows.authenticator,
            sql: """
                SELECT sessions.id, users.status, user_accounts.email_verified_at,
                       ARRAY(SELECT role FROM user_roles WHERE user_roles.user_id = sessions.user_id)
                FROM sessions JOIN users ON users.id = sessions.user_id LEFT JOIN user_accounts ON user_accounts.user_id = sessions.user_id
                WHERE sessions.id = ANY(\(sixteen))
                """, pages: 16 * 20, rows: 16),
        LookUp(
            name: "sixteen public profiles", principal: PolicyRows.anonymous,
            sql: "SELECT username FROM users WHERE id = ANY(\(sixteen)) AND status = 'active'", pages: 16 * 4, rows: 16),
        LookUp(
            name: "a profile by its name", principal: PolicyRows.anonymous,
            sql: "SELECT id FROM users WHERE username_key = lower('User-77') AND status = 'active'", pages: 5, rows: 1),
        LookUp(
            name: "an account by its address", principal: PolicyRows.authenticator,
            sql: "SELECT user_id FROM user_accounts WHERE email_key = lower('User-77@example.com')", pages: 5, rows: 1),
        LookUp(
            name: "a password's hash", principal: PolicyRows.authenticator,
            sql: "SELECT password_hash FROM user_credentials WHERE user_id = '\(id(77))'", pages: 5, rows: 1),
        LookUp(
            name: "a refresh token by its digest", principal: PolicyRows.authenticator,
            sql: "SELECT session_id FROM refresh_tokens WHERE digest = sha256(uuid_send('\(id(77))'::uuid))", pages: 5, rows: 1),
        LookUp(
            name: "one's own account", principal: me,
            sql: "SELECT username, email FROM users JOIN user_accounts ON user_id = id WHERE id = '\(id(42))'", pages: 10, rows: 1),
        LookUp(
            name: "one's own sessions", principal: me,
            sql: "SELECT id FROM sessions WHERE user_id = '\(id(42))' ORDER BY created_at DESC, id DESC LIMIT 100", pages: 8, rows: 1),
        LookUp(
            name: "one's own beats", principal: me,
            sql: "SELECT title FROM beats WHERE creator_id = '\(id(42))' ORDER BY created_at DESC, id DESC LIMIT 20", pages: 8, rows: 1),
        LookUp(
            name: "sixteen beats for everybody", principal: PolicyRows.anonymous,
            sql: "SELECT title FROM beats WHERE id = ANY(\(sixteen))", pages: 16 * 4, rows: 16),
        LookUp(
            name: "a draft that was shared", principal: PolicyRows.principal("user", id(12)),
            sql: "SELECT title FROM beats WHERE id = '\(id(11))'", pages: 16, rows: 1),
        LookUp(
            name: "a draft that was not", principal: PolicyRows.principal("user", id(12)),
            sql: "SELECT title FROM beats WHERE id = '\(id(13))'", pages: 16, rows: 0),
        LookUp(
            name: "one account's audit entries", principal: admin,
            sql: "SELECT action FROM audit_log WHERE actor_id = '\(id(42))' ORDER BY at DESC, id DESC LIMIT 21", pages: 40, rows: 1),
        LookUp(
            name: "the newest audit entries", principal: admin,
            sql: "SELECT action FROM audit_log ORDER BY at DESC, id DESC LIMIT 21", pages: 60, rows: 21),
    ]

    @Test("Every hot look-up goes through an index and touches few pages, policies included")
    func budgets() async throws {
        try await SchemaFixture.use { fixture throws in
            _ = try await fixture.migrator(fixture.projectFiles()).run()
            try await fixture.owner.run(Self.rows)
            try await fixture.asGateway { gateway throws in
                for lookUp in Self.lookUps {
                    let found = try await gateway.count("(\(lookUp.sql)) AS found", settings: lookUp.principal)
                    #expect(found == lookUp.rows, "\(lookUp.name)")
                    let plan = try await gateway.texts(
                        "EXPLAIN (ANALYZE, BUFFERS, TIMING OFF, SUMMARY OFF) \(lookUp.sql)", settings: lookUp.principal)
                    let text = plan.joined(separator: "\n")
                    let scanned = plan.filter { $0.contains("Seq Scan on") && !$0.contains("audit_log_") && !$0.contains("never executed") }
                    #expect(scanned == [], "\(lookUp.name):\n\(text)")
                    let pages = try #require(Self.pages(plan), "\(lookUp.name):\n\(text)")
                    #expect(pages <= lookUp.pages, "\(lookUp.name) touches \(pages) pages:\n\(text)")
                }
            }
        }
    }

    /// What the whole plan touched: the first line of its kind is the root's.
    private static func pages(_ plan: [String]) -> Int? {
        guard let line = plan.first(where: { $0.contains("Buffers: shared") }) else { return nil }
        return line.split(separator: " ").compactMap { word in
            let parts = word.split(separator: "=")
            return parts.count == 2 && ["hit", "read"].contains(parts[0]) ? Int(parts[1]) : nil
        }.reduce(0, +)
    }
}
