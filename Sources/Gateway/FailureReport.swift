import Catalogue
import Contract
import MongoClient
import PostgresClient
import Schema

/// Turns what stopped a command into what is said of it: which store, where it is looked for, and what to do next. The one place for that.
struct FailureReport: Sendable {
    private let settings: Settings
    private let stores: Stores
    private let isOwner: Bool
    /// How long a store that was silent has to answer while it is asked why.
    private static let patience = Duration.seconds(3)

    /// `stores` are open still, by the owner's login if `isOwner`.
    init(_ settings: Settings, _ stores: Stores, isOwner: Bool) {
        self.settings = settings
        self.stores = stores
        self.isOwner = isOwner
    }

    /// What is told of `error`; the error itself where no store and no problem is behind it.
    func failure(_ error: any Error) async -> any Error {
        switch error {
        case let problem as Problem: await failure(of: problem)
        case let error as PostgresError: await failure(of: .postgres, error.isUnavailable, error.debugDescription)
        case let error as MongoError: await failure(of: .mongo, error.isUnavailable, error.debugDescription)
        case let error as SchemaError: await failure(of: error)
        case let error as CatalogueError: await failure(of: error)
        default: error
        }
    }

    private func failure(of problem: Problem) async -> CommandFailure {
        switch problem.code {
        case .storeUnavailable:
            var reasons: [String] = []
            for store in problem.missing { reasons.append(await silence(of: store)) }
            return CommandFailure(.unavailable, description: reasons.joined(separator: "\n"))
        case .overloaded:
            return CommandFailure(.unavailable, description: "a store has more to do than it takes on; run the command again")
        case .timeout:
            var reasons = [problem.detail]
            for store in [StoreName.postgres, .mongo] where await !stores.isUp(store, within: Self.patience) {
                reasons.append(await silence(of: store))
            }
            return CommandFailure(.unavailable, description: reasons.joined(separator: "\n"))
        case .internal:
            return await unforeseen("something that should not happen; the log above says what")
        default:
            let fields = problem.fields.map { "\n\($0.name) \($0.detail)" }.joined()
            return CommandFailure(description: problem.detail + fields)
        }
    }

    private func failure(of store: StoreName, _ isUnavailable: Bool, _ detail: String) async -> CommandFailure {
        if isUnavailable { return CommandFailure(.unavailable, description: await silence(of: store)) }
        return await unforeseen(Self.withoutSQL(detail))
    }

    private func failure(of error: SchemaError) async -> CommandFailure {
        switch error {
        case .postgres where error.isUnavailable: CommandFailure(.unavailable, description: await silence(of: .postgres))
        case .mongo where error.isUnavailable: CommandFailure(.unavailable, description: await silence(of: .mongo))
        default: CommandFailure(description: error.debugDescription)
        }
    }

    private func failure(of error: CatalogueError) async -> any Error {
        guard case .stopped(let cause) = error else { return CommandFailure(description: error.description) }
        let reason = await failure(cause)
        return CommandFailure(
            (reason as? CommandFailure)?.status ?? .unexpected,
            description: "the import stopped: \(reason)\nRun it again: what is there already is not written twice.")
    }

    /// Most of what nobody foresaw is a database that lacks what the statement speaks of.
    private func unforeseen(_ detail: String) async -> CommandFailure {
        if let pending = try? await stores.pendingMigrations(settings), !pending.isEmpty { return .lacking(pending) }
        return CommandFailure(.unexpected, description: detail)
    }

    /// Why a store did not answer, and what to do about it.
    private func silence(of store: StoreName) async -> String {
        let address = StoreAddress(store, settings)
        guard let reason = await stores.silence(of: store, within: Self.patience) else {
            return "\(address.place) did not answer in time, and answers now: run the command again"
        }
        // What a server says of a login that it refuses, through libpq.
        guard store == .postgres, reason.contains("FATAL:") else {
            return """
                \(address.place) does not answer: \(reason)
                Start it (scripts/up --stores-only starts private stores), or say where it is: \(address.variables).
                """
        }
        let key = isOwner ? "postgres.owner" : "postgres.user"
        let made = isOwner ? "" : " On a new database `kababeat migrate` makes this role."
        return """
            \(address.place) does not let \(settings.text(key)) in: \(reason)
            Say who logs in, and where to: \(Settings.variable(key)), \(Settings.variable(isOwner ? "postgres.owner.password" : "postgres.password")), \
            \(Settings.variable("postgres.database")).\(made)
            """
    }

    private static func withoutSQL(_ text: String) -> String {
        String(text[..<(text.firstRange(of: " [SQL: ")?.lowerBound ?? text.endIndex)])
    }
}

extension Commands {
    /// Runs `body` with the stores open, and closes them. What stops it is told as `FailureReport` has it.
    static func withStores<T: Sendable>(
        _ settings: Settings, asOwner isOwner: Bool = false, isPatient: Bool = false,
        _ body: (Stores, any Observer) async throws -> T
    ) async throws -> T {
        let observer = errorLog()
        let stores = try Stores(settings, observer: observer, asOwner: isOwner, isPatient: isPatient)
        let outcome: Result<T, any Error>
        do { outcome = .success(try await body(stores, observer)) } catch {
            outcome = .failure(await FailureReport(settings, stores, isOwner: isOwner).failure(error))
        }
        await stores.shutdown()
        return try outcome.get()
    }
}
