import CrashPoints
import MongoClient
import PostgresClient

/// Brings both stores to what the files of `sql/` and `mongo/` say.
///
/// SQL files go forward only: each is applied once, in order, in one transaction with the row of `schema_migrations` that records it. A
/// collection's file says how the collection is to be, and is applied again when it changes. Two migrators of one database take turns.
///
/// For the operator alone: ``run(dryRun:report:)`` needs the role that owns the database (with CREATEROLE where the gateway's role is to
/// be made), and ``pending()`` also works for the gateway's own role.
public struct SchemaMigrator: Sendable {
    private let postgres: PostgresClient
    private let mongo: MongoClient
    private let sqlDirectory: String
    private let mongoDirectory: String
    private let role: GatewayRole
    private let mayDropIndexes: Bool
    private let timeLimit: Duration

    /// - Parameters:
    ///   - mongo: its socket timeout must cover the longest index build.
    ///   - gatewayRole: the role the gateway logs in as; made if absent, and given what `kababeat_gateway` is granted.
    ///   - gatewayPassword: set at each run. Empty leaves the role as it is.
    ///   - mayDropIndexes: whether MongoDB's indexes that no file names are dropped, and changed ones made anew.
    ///   - timeLimit: how long a whole run may take, waiting for another migrator included.
    public init(
        postgres: PostgresClient, mongo: MongoClient, sqlDirectory: String, mongoDirectory: String, gatewayRole: String,
        gatewayPassword: String, mayDropIndexes: Bool = false, timeLimit: Duration = .seconds(3600)
    ) {
        self.postgres = postgres
        self.mongo = mongo
        self.sqlDirectory = sqlDirectory
        self.mongoDirectory = mongoDirectory
        self.role = GatewayRole(name: gatewayRole, password: gatewayPassword)
        self.mayDropIndexes = mayDropIndexes
        self.timeLimit = timeLimit
    }

    /// Applies what is not applied yet, and calls `report` after each step; a dry run only reports what it would do.
    ///
    /// Where a file fails, those before it stay applied and nothing of it does, as far as its store has transactions: MongoDB has none
    /// for its catalogue, so a collection may be left half-way and is finished by the next run.
    public nonisolated(nonsending) func run(
        dryRun: Bool = false, report: (MigrationStep) -> Void = { _ in }
    ) async throws(SchemaError) -> MigrationSummary {
        let files = try SchemaFiles(sqlDirectory: sqlDirectory, mongoDirectory: mongoDirectory)
        return try await withSession { session in
            var summary = MigrationSummary()
            func note(_ kind: MigrationStep.Kind, _ name: String, since start: ContinuousClock.Instant) {
                let step = MigrationStep(kind: kind, name: name, duration: dryRun ? nil : .now - start)
                summary.steps.append(step)
                report(step)
            }
            var start = ContinuousClock.now
            if !dryRun { try await session.lock() }
            if try await role.prepare(session, dryRun: dryRun) { note(.role, role.name, since: start) }
            if !dryRun { try await session.createRecordTable() }

            let plan = try MigrationPlan(files: files, state: try await state(of: files, session))
            for file in plan.sql {
                start = .now
                if !dryRun { try await session.apply(file) }
                crash(at: .migrationBetweenFiles)
                note(.sql, file.name, since: start)
            }
            for file in plan.mongo {
                start = .now
                if !dryRun { try await apply(file, session) }
                note(.mongo, file.name, since: start)
            }
            summary.unchanged = files.sql.count + files.mongo.count - plan.sql.count - plan.mongo.count
            return summary
        }
    }

    /// The files that are not applied; empty when both stores are what the files say. Changes nothing.
    public nonisolated(nonsending) func pending() async throws(SchemaError) -> [String] {
        let files = try SchemaFiles(sqlDirectory: sqlDirectory, mongoDirectory: mongoDirectory)
        return try await withSession { session in
            try MigrationPlan(files: files, state: try await state(of: files, session)).names
        }
    }

    private nonisolated(nonsending) func withSession<T: Sendable>(
        _ body: (MigrationSession) async throws -> T
    ) async throws(SchemaError) -> T {
        let deadline = ContinuousClock.now + timeLimit
        do {
            return try await postgres.session(deadline: deadline) { session in
                try await body(MigrationSession(session, deadline: deadline))
            }
        } catch let error as SchemaError {
            throw error
        } catch let error as PostgresError {
            throw .postgres(error)
        } catch let error as MongoError {
            throw .mongo(error)
        } catch {
            throw .failed(file: "the migration", cause: error)
        }
    }

    private nonisolated(nonsending) func state(of files: SchemaFiles, _ session: MigrationSession) async throws -> SchemaState {
        let collections = files.mongo.map(\.definition.collection)
        return SchemaState(
            applied: try await session.applied(), current: try await session.checksums(of: files),
            collections: try await mongo.run(deadline: session.deadline) { try MongoSchema.existing(collections, in: $0) })
    }

    private nonisolated(nonsending) func apply(_ file: CollectionFile, _ session: MigrationSession) async throws {
        do {
            try await mongo.run(deadline: session.deadline) { [mayDropIndexes] in
                try MongoSchema.apply(file.definition, mayDrop: mayDropIndexes, in: $0)
            }
        } catch {
            if let error = error.underlying as? SchemaError { throw error }
            throw SchemaError.failed(file: file.name, cause: error)
        }
        crash(at: .migrationBeforeRecord)
        try await session.record(file)
    }
}
