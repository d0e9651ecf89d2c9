import Audit
import Beats
import Catalogue
import Contract
import DataPlane
import Foundation
import Logging
import Observability
import Schema
import ServiceLifecycle
import UnixSignals

/// What the command line does, without its words.
public enum Commands {
    /// Serves until SIGINT or SIGTERM.
    public static func serve(_ settings: Settings) async throws {
        let gateway = try GatewayService(settings: settings)
        let pending = try await gateway.pendingMigrations()
        guard pending.isEmpty else {
            throw CommandFailure.lacking(pending)
        }
        try await gateway.prepare()
        let group = ServiceGroup(
            configuration: .init(
                services: [gateway], gracefulShutdownSignals: [.sigint, .sigterm],
                logger: Logger(label: "kababeat") {
                    JSONLogHandler(label: $0, level: .error)
                }))
        try await group.run()
    }

    /// Brings both databases to what `sql/` and `mongo/` say, a line for each step.
    public static func migrate(_ settings: Settings, dryRun: Bool, report: (String) -> Void) async throws {
        try await withStores(settings, asOwner: true) { stores, _ in
            let migrator = SchemaMigrator(
                postgres: stores.postgres, mongo: stores.mongo, sqlDirectory: settings.text("sql.directory"),
                mongoDirectory: settings.text("mongo.directory"), gatewayRole: settings.text("postgres.user"),
                gatewayPassword: settings.text("postgres.password"))
            let summary = try await migrator.run(dryRun: dryRun) { step in
                let time = step.duration.map { " (\($0.microseconds / 1000) ms)" } ?? ""
                report("\(dryRun ? "would apply" : "applied") \(step.kind.rawValue) \(step.name)\(time)")
            }
            if summary.steps.isEmpty { report("up to date: \(summary.unchanged) files") }
        }
    }

    /// Imports a catalogue. `onProgress` hears lines done and the fraction of the file that is read.
    public static func importCatalogue(
        _ settings: Settings, path: String, onInvalid: (@Sendable (Int, String) -> Void)?,
        onProgress: @escaping @Sendable (Int, Double) -> Void
    ) async throws -> String {
        try await withStores(settings) { stores, observer in
            let postgres = PostgresAccess(stores.postgres, observer: observer)
            let cache = EntityCache(
                representations: GatewayService.representations, redis: stores.redis, postgres: postgres, observer: observer)
            let projectors = GatewayService.projectors(postgres, MongoAccess(stores.mongo, observer: observer), observer)
            let relay = OutboxRelay(
                settings.copiesLane, postgres: postgres, projectors: projectors, cache: cache, observer: observer)
            let start = ContinuousClock.now
            let progress = try await CatalogueImport(postgres: stores.postgres, mongo: stores.mongo, relay: relay).run(
                path: path, onInvalid: onInvalid
            ) { progress in
                onProgress(progress.lines, progress.size > 0 ? Double(progress.bytes) / Double(progress.size) : 0)
            }
            let seconds = Double((ContinuousClock.now - start).microseconds) / 1_000_000
            let rate = Int(Double(progress.lines) / max(seconds, 0.001))
            return
                "imported \(progress.lines) beats in \(Int(seconds * 10) / 10).\(Int(seconds * 10) % 10) s (\(rate)/s), skipped \(progress.skipped)"
        }
    }

    /// Walks the audit log's chain. `link` is the last one of an earlier walk; months before `month`, as in 2026-09, may have been dropped;
    /// `onProgress` hears links walked and the fraction of all. Answers what holds; throws what does not.
    public static func verifyAudit(
        _ settings: Settings, after link: String?, keptFrom month: String?, onProgress: @escaping @Sendable (Int, Double) -> Void
    ) async throws -> String {
        let anchor = try link.map { link in
            guard let anchor = AuditAnchor(link) else {
                throw CommandFailure(description: "\(link) is no NUMBER:HASH, as this command prints it")
            }
            return anchor
        }
        let keptFrom = try month.map { month in
            guard let time = Timestamp("\(month)-01T00:00:00Z") else {
                throw CommandFailure(description: "\(month) is no month such as 2026-09")
            }
            return time
        }
        return try await withStores(settings) { stores, observer in
            let verifier = AuditVerifier(postgres: PostgresAccess(stores.postgres, observer: observer))
            return try summary(
                await verifier.run(anchor: anchor, keptFrom: keptFrom) { links, all in
                    onProgress(Int(links), Double(links) / Double(max(all, 1)))
                })
        }
    }

    private static func summary(_ found: AuditVerification) throws -> String {
        if let fault = found.fault {
            throw CommandFailure(description: "the audit log is not as it was sealed: \(fault). \(found.links) links before it hold")
        }
        let head = found.links == 0 ? "" : "; the last is \(found.links):\(found.head)"
        let dropped = found.dropped == 0 ? "" : "\(found.dropped) went with their months, "
        return "\(found.links - found.dropped) entries are as they were sealed, \(dropped)\(found.waiting) are not yet sealed\(head)"
    }

    static func errorLog() -> any Observer {
        EventLogger(Logger(label: "kababeat") { JSONLogHandler(label: $0, level: .warning) })
    }
}
