import Contract
import MongoClient
import Observability
import PostgresClient
import Reactor
import RedisClient
import Schema

/// The clients of the three stores, with what they report turned into observations.
struct Stores: Sendable {
    let reactor: Reactor
    let postgres: PostgresClient
    let mongo: MongoClient
    let redis: RedisClient?

    /// Throws where MongoDB's connection string makes no sense, without a word of it: it may hold a password. No store needs to be up yet.
    /// With `isPatient`, MongoDB may take as long as what is asked of it does: making indexes, copying collections.
    init(_ settings: Settings, observer: any Observer, asOwner: Bool = false, isPatient: Bool = false) throws(SettingsError) {
        reactor = Reactor(name: "stores")
        postgres = PostgresClient(settings.postgres(asOwner: asOwner), reactor: reactor) { event in
            if let note = Self.note(event) { observer.observe(.storeNote(.postgres, note)) }
        }
        do throws(MongoError) {
            mongo = try MongoClient(settings.mongo(asOwner: asOwner || isPatient)) { event in
                if case .log(.error, _, let message) = event { observer.observe(.storeNote(.mongo, message)) }
            }
        } catch {
            throw .malformed(
                name: Settings.variable("mongo.uri"),
                expected: "a connection string that the driver can use: mongodb://user:password@host:port/?replicaSet=name")
        }
        let reactor = reactor
        redis = settings.redis().map { configuration in
            RedisClient(configuration, reactor: reactor) { event in
                if let note = Self.note(event) { observer.observe(.storeNote(.redis, note)) }
            }
        }
    }

    func shutdown() async {
        await redis?.shutdown()
        await postgres.shutdown()
        await mongo.shutdown()
        reactor.shutdown()
    }

    /// Whether a store answers. A Redis that is switched off does not.
    func isUp(_ store: StoreName, within patience: Duration) async -> Bool { await silence(of: store, within: patience) == nil }

    /// Why a store does not answer, in the words of its client, on one line; nil where it does. For whoever runs the gateway.
    func silence(of store: StoreName, within patience: Duration) async -> String? {
        let deadline = ContinuousClock.now + patience
        do {
            switch store {
            case .postgres: try await postgres.ping(deadline: deadline)
            case .mongo: try await mongo.ping(deadline: deadline)
            case .redis:
                guard let redis else { return "it is switched off" }
                try await redis.ping(deadline: deadline)
            }
            return nil
        } catch let error as PostgresError {
            return Self.firstLine(error.debugDescription, past: "\(error.description): ")
        } catch let error as MongoError {
            return Self.firstLine(error.debugDescription, past: "\(error.code): ")
        } catch {
            return Self.firstLine(String(reflecting: error), past: "")
        }
    }

    private static func firstLine(_ text: String, past opening: String) -> String {
        let text = text.hasPrefix(opening) ? text.dropFirst(opening.count) : text[...]
        return String(text.prefix { !$0.isNewline })
    }

    /// What `kababeat migrate` would apply.
    func pendingMigrations(_ settings: Settings) async throws(SchemaError) -> [String] {
        try await SchemaMigrator(
            postgres: postgres, mongo: mongo, sqlDirectory: settings.text("sql.directory"),
            mongoDirectory: settings.text("mongo.directory"), gatewayRole: settings.text("postgres.user"), gatewayPassword: "",
            timeLimit: .seconds(5)
        ).pending()
    }

    /// How pools and queues stand.
    var gauges: [Metrics.Gauge] {
        let (postgres, mongo) = (postgres.state(), mongo.state())
        func gauge(_ name: String, _ help: String, _ store: StoreName, _ value: Int) -> Metrics.Gauge {
            Metrics.Gauge(name, help, labels: [("store", store.rawValue)], Double(value))
        }
        var gauges = [
            gauge("kababeat_pool_connections", "Connections of the pool.", .postgres, postgres.open),
            gauge("kababeat_pool_connections", "Connections of the pool.", .mongo, mongo.threads),
            gauge("kababeat_pool_busy", "Connections in use.", .postgres, postgres.busy),
            gauge("kababeat_pool_busy", "Connections in use.", .mongo, mongo.busy),
            gauge(
                "kababeat_queue_depth", "Calls that wait: for a connection, or on the one of Redis for their answers.", .postgres,
                postgres.waiting),
            gauge(
                "kababeat_queue_depth", "Calls that wait: for a connection, or on the one of Redis for their answers.", .mongo, mongo.queued
            ),
        ]
        if let redis = redis?.state() {
            gauges.append(gauge("kababeat_pool_connections", "Connections of the pool.", .redis, redis.isConnected ? 1 : 0))
            gauges.append(gauge("kababeat_pool_busy", "Connections in use.", .redis, redis.inFlight > 0 ? 1 : 0))
            gauges.append(
                gauge(
                    "kababeat_queue_depth", "Calls that wait: for a connection, or on the one of Redis for their answers.", .redis,
                    redis.inFlight))
        }
        return gauges
    }

    private static func note(_ event: PostgresEvent) -> String? {
        switch event {
        case .openFailed(_, let error): "cannot connect: \(error.debugDescription)"
        case .lost(_, let error): "connection lost: \(error.debugDescription)"
        case .opened, .cancelRequested, .notice: nil
        }
    }
}

extension Stores {
    private static func note(_ event: RedisEvent) -> String? {
        switch event {
        case .openFailed(_, let error): "cannot connect: \(error.debugDescription)"
        case .lost(_, let error): "connection lost: \(error.debugDescription)"
        case .breakerOpened: "not asked for a while: it failed too often"
        case .breakerClosed: "asked again"
        case .overflowed: "announcements were missed"
        case .opened: nil
        }
    }
}

extension Duration {
    var microseconds: Int64 { components.seconds * 1_000_000 + components.attoseconds / 1_000_000_000_000 }
}
