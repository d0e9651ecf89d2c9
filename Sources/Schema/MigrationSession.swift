import PostgresClient

/// A connection of the migrator's own. It acts as `system`, so that row security, which binds owners too, lets it pass.
struct MigrationSession {
    let deadline: ContinuousClock.Instant
    private let session: PostgresSession

    nonisolated(nonsending) init(_ session: PostgresSession, deadline: ContinuousClock.Instant) async throws(PostgresError) {
        self.session = session
        self.deadline = deadline
        try await session.execute(PostgresStatement("SELECT set_config('kababeat.role', 'system', false)"), deadline: deadline)
    }

    nonisolated(nonsending) func query<Row>(
        _ statement: PostgresStatement<Row>, _ parameters: [PostgresValue] = []
    ) async throws(PostgresError) -> [Row] {
        try await session.query(statement, parameters, deadline: deadline)
    }

    nonisolated(nonsending) func execute(script: String) async throws(PostgresError) {
        try await session.execute(script: script, deadline: deadline)
    }

    /// Waits for other migrators of this database. The lock goes with the session.
    nonisolated(nonsending) func lock() async throws(PostgresError) {
        let key: Int64 = 0x6b61_6261_6265_6174  // "kababeat"
        _ = try await query(PostgresStatement<Void>("SELECT pg_advisory_lock($1)"), [.int64(key)])
    }

    /// Makes the table that records what was applied, if it is not there.
    nonisolated(nonsending) func createRecordTable() async throws(PostgresError) {
        if try await hasRecordTable() { return }
        try await execute(
            script: """
                CREATE TABLE public.schema_migrations (
                    kind text NOT NULL,
                    name text NOT NULL,
                    checksum text NOT NULL,
                    applied_at timestamptz NOT NULL DEFAULT now(),

                    PRIMARY KEY (kind, name),
                    CONSTRAINT schema_migrations_kind_known CHECK (kind IN ('sql', 'mongo'))
                );
                ALTER TABLE public.schema_migrations ENABLE ROW LEVEL SECURITY;
                ALTER TABLE public.schema_migrations FORCE ROW LEVEL SECURITY;
                CREATE POLICY system ON public.schema_migrations
                    USING ((SELECT current_setting('kababeat.role', true)) = 'system');
                GRANT SELECT ON public.schema_migrations TO kababeat_gateway;
                """)
    }

    private nonisolated(nonsending) func hasRecordTable() async throws(PostgresError) -> Bool {
        let statement = PostgresStatement("SELECT to_regclass('public.schema_migrations') IS NOT NULL") {
            (row: borrowing PostgresRow) throws(PostgresError) in try row.bool(0)
        }
        return try await query(statement).first ?? false
    }

    /// Checksums of what was applied.
    nonisolated(nonsending) func applied() async throws(PostgresError) -> [SchemaState.Entry: String] {
        guard try await hasRecordTable() else { return [:] }
        let statement = PostgresStatement("SELECT kind, name, checksum FROM public.schema_migrations") {
            (row: borrowing PostgresRow) throws(PostgresError) in (try row.text(0), try row.text(1), try row.text(2))
        }
        var applied: [SchemaState.Entry: String] = [:]
        for (kind, name, checksum) in try await query(statement) {
            guard let kind = MigrationStep.Kind(rawValue: kind) else { continue }
            applied[SchemaState.Entry(kind: kind, name: name)] = checksum
        }
        return applied
    }

    /// Checksums of the files as they are, made by Postgres, which has SHA-256 at hand.
    nonisolated(nonsending) func checksums(of files: SchemaFiles) async throws(PostgresError) -> [SchemaState.Entry: String] {
        let entries =
            files.sql.map { (SchemaState.Entry(kind: .sql, name: $0.name), $0.text) }
            + files.mongo.map { (SchemaState.Entry(kind: .mongo, name: $0.name), $0.text) }
        let statement = PostgresStatement(
            """
            SELECT encode(sha256(convert_to(file.text, 'UTF8')), 'hex')
            FROM unnest($1::text[]) WITH ORDINALITY AS file (text, number) ORDER BY file.number
            """
        ) { (row: borrowing PostgresRow) throws(PostgresError) in try row.text(0) }
        let sums = try await query(statement, [.texts(entries.map(\.1))])
        return Dictionary(uniqueKeysWithValues: zip(entries.map(\.0), sums))
    }

    /// Applies a file and records it, both or neither: what is sent as one script is one transaction.
    nonisolated(nonsending) func apply(_ file: SQLFile) async throws(SchemaError) {
        do {
            let checksums = try await query(Self.checksum, [.text(file.text)])
            // Neither the name, which has been checked, nor the sum needs quoting.
            try await execute(
                script: """
                    \(file.text)
                    ;INSERT INTO public.schema_migrations (kind, name, checksum) VALUES ('sql', '\(file.name)', '\(checksums.joined())')
                    """)
        } catch {
            throw .failed(file: file.name, cause: error)
        }
    }

    private static let checksum = PostgresStatement("SELECT encode(sha256(convert_to($1, 'UTF8')), 'hex')") {
        (row: borrowing PostgresRow) throws(PostgresError) in try row.text(0)
    }

    nonisolated(nonsending) func record(_ file: CollectionFile) async throws(PostgresError) {
        let statement = PostgresStatement<Void>(
            """
            INSERT INTO public.schema_migrations (kind, name, checksum)
            VALUES ('mongo', $1, encode(sha256(convert_to($2, 'UTF8')), 'hex'))
            ON CONFLICT (kind, name) DO UPDATE SET checksum = excluded.checksum, applied_at = now()
            """)
        _ = try await query(statement, [.text(file.name), .text(file.text)])
    }
}
