import Foundation
import Schema
import Testing

@Suite("docs/placement.md and the real schemas")
struct PlacementTests {
    /// The names in the `where` column of the page's table, as often as they stand there.
    private static func placed(_ store: String) throws -> [String] {
        let page = try String(contentsOfFile: "\(SchemaFixture.root)/docs/placement.md", encoding: .utf8)
        let rows = page.split(separator: "\n").filter { $0.hasPrefix("|") }.map { $0.split(separator: "|") }
        let header = try #require(rows.first)
        #expect(header.map { $0.trimming } == ["fact", "owner", "where", "copies"])
        return rows.dropFirst(2).flatMap { row in
            row[2].split(separator: ",").map { $0.trimming.replacing("`", with: "") }
        }
        .filter { $0.hasPrefix("\(store).") }.map { String($0.dropFirst(store.count + 1)) }.sorted()
    }

    @Test("Every table and every collection stands on the page exactly once, and none that does not exist")
    func complete() async throws {
        try await SchemaFixture.use { fixture in
            _ = try await fixture.migrator().run()
            // A partition is a part of its table.
            let tables = try await fixture.owner.texts(
                """
                SELECT relname::text FROM pg_class
                WHERE relnamespace = 'public'::regnamespace AND relkind IN ('r', 'p') AND NOT relispartition
                """)
            #expect(try Self.placed("postgres") == tables.sorted())
            let collections = try await fixture.collections().compactMap { $0.split(separator: ":").first.map(String.init) }
            #expect(try Self.placed("mongo") == collections)
        }
    }

    @Test("Postgres holds no floating-point number and no time without its zone")
    func types() async throws {
        try await SchemaFixture.use { fixture in
            _ = try await fixture.migrator(fixture.projectFiles()).run()
            let wrong = try await fixture.owner.texts(
                """
                SELECT table_name || '.' || column_name || ' is ' || data_type FROM information_schema.columns
                WHERE table_schema = 'public'
                    AND data_type IN ('double precision', 'real', 'money', 'timestamp without time zone', 'time without time zone')
                """)
            #expect(wrong == [])
        }
    }

    @Test("Row security binds everybody on every table, and the gateway's role owns and inherits nothing that gets round it")
    func rowSecurity() async throws {
        try await SchemaFixture.use { fixture in
            _ = try await fixture.migrator(fixture.projectFiles()).run()
            let open = try await fixture.owner.texts(
                """
                SELECT relname::text FROM pg_class
                WHERE relnamespace = 'public'::regnamespace AND relkind IN ('r', 'p') AND NOT (relrowsecurity AND relforcerowsecurity)
                """)
            #expect(open == [])
            let roles = "'kababeat_gateway', '\(SchemaFixture.gatewayRole)'"
            let owned = try await fixture.owner.texts(
                """
                SELECT relname::text FROM pg_class JOIN pg_roles ON pg_roles.oid = relowner WHERE rolname IN (\(roles))
                UNION ALL SELECT proname::text FROM pg_proc JOIN pg_roles ON pg_roles.oid = proowner WHERE rolname IN (\(roles))
                UNION ALL SELECT rolname::text FROM pg_roles
                WHERE rolname IN (\(roles)) AND (rolsuper OR rolbypassrls OR rolcreaterole OR rolcreatedb OR rolreplication)
                UNION ALL SELECT nspname::text FROM pg_namespace WHERE has_schema_privilege('\(SchemaFixture.gatewayRole)', oid, 'CREATE')
                    AND nspname !~ '^pg_(toast_)?temp_'
                """)
            #expect(owned == [])
        }
    }

    @Test("Every foreign key has an index that begins with its columns")
    func foreignKeys() async throws {
        try await SchemaFixture.use { fixture in
            _ = try await fixture.migrator(fixture.projectFiles()).run()
            let bare = try await fixture.owner.texts(
                """
                SELECT conrelid::regclass || ' ' || conname FROM pg_constraint AS key
                WHERE contype = 'f' AND NOT EXISTS (
                    SELECT FROM pg_index WHERE indrelid = key.conrelid
                        AND (indkey::int2[])[0:cardinality(key.conkey) - 1] @> key.conkey
                )
                """)
            #expect(bare == [])
        }
    }

    @Test("Every column that a policy compares with the account has an index that begins with it")
    func policyColumns() async throws {
        try await SchemaFixture.use { fixture in
            _ = try await fixture.migrator(fixture.projectFiles()).run()
            let compared = """
                SELECT DISTINCT attrelid, attnum, tablename || '.' || attname AS name
                FROM pg_policies,
                    regexp_matches(concat_ws(' ', qual, with_check), '(\\w+) = \\( SELECT kababeat_user\\(\\)', 'g') AS found,
                    pg_attribute
                WHERE attrelid = tablename::regclass AND attname = found[1]
                """
            #expect(try await fixture.owner.count("(\(compared)) AS compared") > 20)
            let bare = try await fixture.owner.texts(
                """
                SELECT name FROM (\(compared)) AS compared
                WHERE NOT EXISTS (SELECT FROM pg_index WHERE indrelid = attrelid AND indkey[0] = attnum)
                """)
            #expect(bare == [])
        }
    }

    @Test("No foreign key of a financial record destroys it")
    func financialRecords() async throws {
        try await SchemaFixture.use { fixture in
            _ = try await fixture.migrator(fixture.projectFiles()).run()
            let destroying = try await fixture.owner.texts(
                """
                SELECT conrelid::regclass || ' ' || conname FROM pg_constraint
                WHERE contype = 'f' AND confdeltype <> 'r' AND conrelid::regclass::text IN (
                    'beats', 'beat_splits', 'orders', 'order_items', 'licenses', 'payouts',
                    'ledger_accounts', 'ledger_transactions', 'ledger_entries')
                """)
            #expect(destroying == [])
        }
    }
}

extension Substring {
    fileprivate var trimming: String { trimmingCharacters(in: .whitespaces) }
}
