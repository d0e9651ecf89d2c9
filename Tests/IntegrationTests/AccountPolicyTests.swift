import PostgresClient
import Testing

/// What accounts, admins and the sign-in desk may change of accounts, roles, sessions and keys.
@Suite("Policies of accounts and sessions")
struct AccountPolicyTests {
    private static let refused = "42501"

    @Test("An account ends sessions of its own, and can do nothing else to them; nothing at all to another's")
    func sessions() async throws {
        try await PolicyRows.use { gateway throws in
            let end = "UPDATE sessions SET revoked_at = now(), revoked_reason = 'logout'"
            #expect(try await gateway.count("sessions", settings: PolicyRows.asBob) == 0)
            #expect(try await gateway.change(end, as: PolicyRows.asBob) == 0)
            for change in [
                "last_used_at = now()", "expires_at = now() + interval '1 year'", "second_factor_at = now()",
                "user_id = '\(PolicyRows.bob)', revoked_at = now()",
            ] {
                #expect(try await gateway.refusal("UPDATE sessions SET \(change)", as: PolicyRows.asAda) == Self.refused, "\(change)")
            }
            #expect(try await gateway.change("DELETE FROM sessions", as: PolicyRows.asAda) == 0)
            let new = "INSERT INTO sessions (id, user_id, expires_at) VALUES (gen_random_uuid(), '\(PolicyRows.ada)', now())"
            for principal in [PolicyRows.asAda, PolicyRows.asRoot] {
                #expect(try await gateway.refusal(new, as: principal) == Self.refused)
            }
            #expect(try await gateway.change(end, as: PolicyRows.asAda) == 1)
            #expect(try await gateway.change("UPDATE sessions SET revoked_at = NULL, revoked_reason = NULL", as: PolicyRows.asAda) == 0)
            #expect(try await gateway.change("UPDATE sessions SET revoked_at = NULL, revoked_reason = NULL", as: PolicyRows.asRoot) == 0)
        }
    }

    @Test("No account, admins included, reads or changes a password's hash, a refresh token, a sealed secret or a mail")
    func secrets() async throws {
        try await PolicyRows.use { gateway throws in
            let secrets = [
                "user_credentials", "refresh_tokens", "email_tokens", "one_time_secrets", "recovery_codes", "signing_keys",
                "sign_in_attempts", "mails",
            ]
            for table in secrets {
                for principal in [PolicyRows.asAda, PolicyRows.asRoot, PolicyRows.service] {
                    #expect(try await gateway.count(table, settings: principal) == 0, "\(table)")
                    let outcome = try await gateway.refusal("DELETE FROM \(table)", as: principal)
                    #expect(outcome == "done" || outcome == Self.refused)
                }
                #expect(try await gateway.count(table, settings: PolicyRows.system) > 0, "\(table)")
            }
        }
    }

    @Test("An account lifts no suspension, verifies nothing and takes no role but creator; an admin does, in his own name")
    func standing() async throws {
        try await PolicyRows.use { gateway throws in
            for (change, trigger) in [
                ("users SET status = 'suspended'", "users_standing_is_given"), ("users SET is_verified = true", "users_standing_is_given"),
                ("users SET source = 's', external_id = 'e'", "users_standing_is_given"),
                ("user_accounts SET suspended_at = now()", "user_accounts_suspension_is_given"),
                ("user_accounts SET email_verified_at = now()", "user_accounts_email_is_proven"),
                ("user_accounts SET email = 'b@example.com', email_verified_at = now()", "user_accounts_email_is_proven"),
            ] {
                let id = change.hasPrefix("users") ? "id" : "user_id"
                let statement = "UPDATE \(change) WHERE \(id) = '\(PolicyRows.ada)'"
                #expect(try await gateway.refusal(statement, as: PolicyRows.asAda) == trigger, "\(change)")
            }
            #expect(try await gateway.change("UPDATE users SET bio = 'b', is_creator = true", as: PolicyRows.asAda) == 1)
            #expect(try await gateway.change("UPDATE user_accounts SET email = 'b@example.com'", as: PolicyRows.asAda) == 1)

            func grant(_ role: String, to user: String, by grantor: String?) -> String {
                let grantor = grantor.map { "'\($0)'" } ?? "NULL"
                return "INSERT INTO user_roles (user_id, role, granted_by) VALUES ('\(user)', '\(role)', \(grantor))"
            }
            for statement in [
                grant("admin", to: PolicyRows.eve, by: nil), grant("admin", to: PolicyRows.eve, by: PolicyRows.eve),
                grant("brand", to: PolicyRows.eve, by: nil), grant("creator", to: PolicyRows.bob, by: nil),
                grant("creator", to: PolicyRows.eve, by: PolicyRows.root),
            ] {
                #expect(try await gateway.refusal(statement, as: PolicyRows.asEve) == Self.refused, "\(statement)")
            }
            #expect(try await gateway.refusal(grant("creator", to: PolicyRows.eve, by: nil), as: PolicyRows.asEve) == "done")
            #expect(try await gateway.change("DELETE FROM user_roles", as: PolicyRows.asEve) == 0)

            let byRoot = grant("admin", to: PolicyRows.bob, by: PolicyRows.root)
            #expect(
                try await gateway.refusal(grant("admin", to: PolicyRows.bob, by: PolicyRows.ada), as: PolicyRows.asRoot) == Self.refused)
            #expect(try await gateway.refusal(byRoot, as: PolicyRows.asRoot) == "done")
            #expect(try await gateway.change("DELETE FROM user_roles WHERE role = 'admin'", as: PolicyRows.asRoot) == 1)
            #expect(try await gateway.change("UPDATE users SET status = 'suspended' WHERE username = 'ada'", as: PolicyRows.asRoot) == 1)
            #expect(
                try await gateway.refusal("UPDATE user_accounts SET email = 'root@example.com'", as: PolicyRows.asRoot)
                    == "user_accounts_email_is_proven")
            #expect(try await gateway.change("UPDATE user_accounts SET suspended_at = now()", as: PolicyRows.asRoot) == 1)
        }
    }

    @Test("The sign-in desk makes users and no more than users, and puts nothing into what is sold or owned")
    func desk() async throws {
        try await PolicyRows.use { gateway throws in
            let desk = PolicyRows.authenticator
            let id = "00000000-0000-7000-8000-0000000000d0"
            for statement in [
                "INSERT INTO users (id, username) VALUES ('\(id)', 'dora')",
                "INSERT INTO user_accounts (user_id, email) VALUES ('\(id)', 'd@example.com')",
                "INSERT INTO user_roles (user_id, role) VALUES ('\(id)', 'user')",
                "UPDATE user_accounts SET email_verified_at = now() WHERE user_id = '\(id)'",
                "INSERT INTO outbox (aggregate_type, aggregate_id, version, operation) VALUES ('mail', '\(id)', 1, 'upsert')",
            ] {
                #expect(try await gateway.refusal(statement, as: desk) == "done", "\(statement)")
            }
            for statement in [
                "INSERT INTO users (id, username, status) VALUES ('\(PolicyRows.published)', 'x-y', 'suspended')",
                "INSERT INTO users (id, username, is_verified) VALUES ('\(PolicyRows.published)', 'x-y', true)",
                "INSERT INTO user_roles (user_id, role) VALUES ('\(id)', 'admin')",
                "INSERT INTO beats (id, creator_id, title) VALUES (gen_random_uuid(), '\(id)', 't')",
                "INSERT INTO orders (id, user_id, total_amount) VALUES (gen_random_uuid(), '\(id)', 1)",
                "INSERT INTO outbox (aggregate_type, aggregate_id, version, operation) VALUES ('beat', '\(id)', 1, 'upsert')",
                "INSERT INTO service_keys (id, name, digest, scopes, created_by) VALUES (gen_random_uuid(), 'n', sha256('n'), '{a:b}', '\(id)')",
                "INSERT INTO signing_keys (kid, algorithm, sealed_private, public_jwk, active_from) VALUES ('x', 'ES256', repeat('x', 40)::bytea, '{}', now())",
                "INSERT INTO audit_log (id, action, category, severity) VALUES ('\(id)', 'a', 'admin', 'info')",
            ] {
                #expect(try await gateway.refusal(statement, as: desk) == Self.refused, "\(statement)")
            }
            for statement in ["UPDATE beats SET title = 'x'", "DELETE FROM orders", "DELETE FROM user_roles", "DELETE FROM mails"] {
                let outcome = try await gateway.refusal(statement, as: desk)
                #expect(outcome == "done" || outcome == Self.refused)
            }
            #expect(try await gateway.count("user_roles", settings: PolicyRows.system) == 2)
            #expect(try await gateway.count("mails", settings: PolicyRows.system) == 1)
        }
    }

    @Test("Only an admin makes service keys, in his own name, and revoking one is for ever")
    func serviceKeys() async throws {
        try await PolicyRows.use { gateway throws in
            func key(by user: String) -> String {
                "INSERT INTO service_keys (id, name, digest, scopes, created_by) VALUES ('\(PolicyRows.draft)', 'n', sha256('n'), '{events:write}', '\(user)')"
            }
            for (statement, principal) in [
                (key(by: PolicyRows.ada), PolicyRows.asAda), (key(by: PolicyRows.ada), PolicyRows.asRoot),
                (key(by: PolicyRows.root), PolicyRows.service),
            ] {
                #expect(try await gateway.refusal(statement, as: principal) == Self.refused)
            }
            #expect(try await gateway.refusal(key(by: PolicyRows.root), as: PolicyRows.asRoot) == "done")
            let mine = "WHERE id = '\(PolicyRows.draft)'"
            #expect(
                try await gateway.refusal("UPDATE service_keys SET scopes = '{audit:read}' \(mine)", as: PolicyRows.asRoot) == Self.refused)
            #expect(try await gateway.change("UPDATE service_keys SET last_used_at = now() \(mine)", as: PolicyRows.authenticator) == 1)
            #expect(try await gateway.change("UPDATE service_keys SET revoked_at = now() \(mine)", as: PolicyRows.asRoot) == 1)
            #expect(try await gateway.change("UPDATE service_keys SET revoked_at = NULL \(mine)", as: PolicyRows.asRoot) == 0)
        }
    }

    @Test("The key of a request is an account's or a service key's own, and nobody else's")
    func requestKeys() async throws {
        try await PolicyRows.use { gateway throws in
            for principal in [PolicyRows.asAda, PolicyRows.principal("service", PolicyRows.ada)] {
                #expect(try await gateway.count("idempotency_keys", settings: principal) == 1)
                #expect(try await gateway.refusal(Self.requestKey(of: PolicyRows.bob), as: principal) == Self.refused)
            }
            for principal in [
                PolicyRows.asBob, PolicyRows.asRoot, PolicyRows.service, PolicyRows.principal("service", PolicyRows.bob),
                PolicyRows.principal("anonymous", PolicyRows.ada), PolicyRows.principal("authenticator", PolicyRows.ada),
            ] {
                #expect(try await gateway.count("idempotency_keys", settings: principal) == 0)
                #expect(try await gateway.refusal(Self.requestKey(of: PolicyRows.ada), as: principal) == Self.refused)
                #expect(try await gateway.change("DELETE FROM idempotency_keys", as: principal) == 0)
            }
            #expect(try await gateway.refusal(Self.requestKey(of: PolicyRows.bob), as: PolicyRows.asBob) == "done")
            #expect(
                try await gateway.texts(
                    "SELECT coalesce(kababeat_user()::text, '')", settings: PolicyRows.principal("service", PolicyRows.ada)) == [""])
        }
    }

    private static func requestKey(of principal: String) -> String {
        """
        INSERT INTO idempotency_keys (principal_id, key, fingerprint, claim, effect_id, locked_until, expires_at)
        VALUES ('\(principal)', 'other', sha256(''), gen_random_uuid(), gen_random_uuid(), now(), now())
        """
    }

    @Test("What has expired can be deleted by the system, through an index")
    func housekeeping() async throws {
        try await PolicyRows.use { gateway throws in
            let expired = [
                "sessions": "expires_at", "refresh_tokens": "expires_at", "email_tokens": "expires_at", "sign_in_attempts": "expires_at",
                "held_usernames": "held_until", "mails": "created_at", "signing_keys": "retired_at", "idempotency_keys": "expires_at",
            ]
            for (table, column) in expired {
                let plan = try await gateway.transaction(settings: PolicyRows.system, deadline: SchemaFixture.soon) { transaction in
                    try await transaction.execute(PostgresStatement("SET LOCAL enable_seqscan = off"))
                    return try await transaction.query(.text("EXPLAIN DELETE FROM \(table) WHERE \(column) < now()"))
                }
                #expect(plan.contains { $0.contains("Index Cond: (\(column) < now())") }, "\(table): \(plan)")
                #expect(try await gateway.refusal("DELETE FROM \(table) WHERE \(column) < now()", as: PolicyRows.system) == "done")
            }
        }
    }

    @Test("The gateway dates no audit entry itself, and no partition is a way round its table")
    func auditLog() async throws {
        try await PolicyRows.use { gateway throws in
            let backdated =
                "INSERT INTO audit_log (id, at, action, category, severity) VALUES (gen_random_uuid(), '2020-01-01', 'a', 'admin', 'info')"
            #expect(try await gateway.refusal(backdated, as: PolicyRows.system) == Self.refused)
            let partitions = try await gateway.texts("SELECT relid::text FROM pg_partition_tree('audit_log') WHERE isleaf")
            #expect(partitions.count == 5)
            for partition in partitions {
                for verb in ["SELECT FROM \(partition)", "DELETE FROM \(partition)", "UPDATE \(partition) SET action = 'x'"] {
                    #expect(try await gateway.refusal(verb, as: PolicyRows.system) == Self.refused, "\(verb)")
                }
            }
            #expect(try await gateway.texts("SELECT kababeat_audit_months(3)::text", settings: PolicyRows.system) == ["0"])
        }
    }
}
