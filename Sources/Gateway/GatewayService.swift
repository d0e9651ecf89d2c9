import Audit
import Beats
import Contract
import Credentials
import DataPlane
import Foundation
import HTTPAPI
import Identity
import Logging
import Mail
import NIOCore
import NIOPosix
import Observability
import RateLimits
import Schema
import ServiceLifecycle

/// The whole gateway: the one place that knows every feature and every client. `serve` runs it; tests start the same object.
public struct GatewayService: Service {
    private let settings: Settings
    private let stores: Stores
    private let cache: EntityCache
    private let relay: OutboxRelay
    private let standings: OutboxRelay
    private let outbox: OutboxAdministration
    private let upkeep: CopiesUpkeep
    private let mails: MailDelivery
    private let sealer: AuditSealer
    private let sweeper: IdempotencySweeper
    private let identity: IdentityBasics
    private let elsewhere: IdentityElsewhere
    private let edge: HTTPEdge
    private let limits: EdgeLimits
    private let logger: Logger
    private let observer: any Observer
    /// Every route, for tests that hold the table against `openapi.yaml`.
    public let routes: [Route]

    /// Wires everything up; nothing is connected and no port is open yet. Throws where a setting or a file cannot be used.
    public init(settings: Settings) throws {
        self.settings = settings
        logger = Logger(label: "kababeat") { JSONLogHandler(label: $0, level: settings.logLevel) }
        let late = LateObserver()
        observer = late
        let stores = try Stores(settings, observer: late)
        self.stores = stores

        let listeners = Listeners()
        let postgres = PostgresAccess(stores.postgres, observer: late)
        let cache = EntityCache(
            representations: Self.representations, limits: EntityCache.Limits(localBytes: settings.cacheBytes), redis: stores.redis,
            postgres: postgres, observer: late
        ) { listeners.hear($0) }
        self.cache = cache
        let mongo = MongoAccess(stores.mongo, observer: late)
        let users = UserService(cache: cache, postgres: postgres, observer: late)
        let beats = BeatService(cache: cache, postgres: postgres, mongo: mongo, observer: late)
        listeners.add { users.heard($0) }
        listeners.add { beats.heard($0) }
        let audit = AuditStore(postgres: postgres, observer: late)
        sealer = AuditSealer(postgres: postgres, observer: late)
        let keys = IdempotencyStore(postgres: postgres)
        sweeper = IdempotencySweeper(store: keys)
        let permissions = BeatPermissionService(postgres: postgres, accounts: users)
        let watch = ProjectionWatch(postgres: postgres, observer: late)
        let relay = OutboxRelay(
            settings.copiesLane, postgres: postgres, projectors: Self.projectors(postgres, mongo, observer), cache: cache, watch: watch,
            observer: late)
        self.relay = relay
        let standings = OutboxRelay(
            settings.standingsLane, postgres: postgres,
            projectors: [CreatorStandingProjector(postgres: postgres, mongo: mongo, cache: cache)], cache: cache, watch: watch,
            observer: late)
        self.standings = standings
        let following = CreatorFollowing(postgres: postgres, cache: cache, watch: watch) { standings.poke() }
        let notice = CommitNotice(cache: cache, follower: following, observer: late) { relay.poke() }
        let outbox = OutboxAdministration(postgres: postgres)
        self.outbox = outbox
        let upkeep = try CopiesUpkeep(settings, stores, postgres: postgres, mongo: mongo, observer: late)
        self.upkeep = upkeep
        let drafts = BeatDraftService(beats: beats, postgres: postgres, mongo: mongo, watch: watch, notice: notice, observer: late)
        let identity = try IdentityBasics(settings, postgres: postgres, observer: late)
        self.identity = identity
        let limiter = RequestLimiter(rules: try settings.limitRules(), redis: stores.redis, observer: late)
        let sessions = IdentitySessions(settings, identity, postgres: postgres, limiter: limiter, audit: audit, observer: late)
        let mailSeal = identity.secret.seal(for: .mails)
        let mails = MailDelivery(
            postgres: postgres, seal: mailSeal, sender: try settings.mailSender(logger), cache: cache, observer: late)
        self.mails = mails
        let accounts = IdentityAccounts(
            settings, identity, sessions: sessions,
            mails: MailQueue(seal: mailSeal, links: MailLinks(base: settings.text("site.url"))), postgres: postgres, limiter: limiter,
            audit: audit,
            notice: notice)
        let elsewhere = try IdentityElsewhere(
            settings, identity, sessions, postgres: postgres, audit: audit, notice: notice, observer: late)
        self.elsewhere = elsewhere
        let serviceKeys = ServiceKeyService(postgres: postgres, observer: late)
        let authenticator = AccountAuthenticator(
            postgres: postgres, tokens: identity.tokens, signingKeys: identity.signingKeys, serviceKeys: serviceKeys,
            issuers: elsewhere.tokens,
            adminsNeedSecondFactor: settings.adminsNeedSecondFactor, observer: late)

        let openAPI: Data
        do { openAPI = try Data(contentsOf: URL(fileURLWithPath: settings.text("openapi.file"))) } catch {
            throw SettingsError.malformed(name: "KABABEAT_OPENAPI_FILE", expected: "the path of openapi.yaml")
        }
        let trust = try settings.edgeTrust()
        let health = HealthRoutes(stores: stores, trust: trust, metricsText: { late.metricsText }, openAPI: ByteBuffer(bytes: openAPI))
        routes =
            BeatRoutes(service: beats, creators: users).routes + BeatPermissionRoutes(service: permissions).routes
            + BeatDraftRoutes(service: drafts).routes + BeatSplitRoutes(postgres: postgres).routes
            + OutboxRoutes(outbox: outbox) { relay.poke() }.routes
            + UserRoutes(service: users).routes + AuditRoutes(store: audit).routes
            + sessions.routes + accounts.routes + elsewhere.routes + ServiceKeyRoutes(service: serviceKeys).routes
            + SigningKeyRoutes(service: identity.signingKeys).routes + health.routes
        let limits = try settings.edgeLimits()
        self.limits = limits
        let edge = HTTPEdge(
            table: RouteTable(routes), limits: limits, observer: late, trust: trust, authenticator: authenticator,
            rateLimiter: limiter, refusals: AuditRefusals(trail: audit), keys: keys)
        self.edge = edge

        let metrics = Metrics(routes: routes.map(\.name))
        metrics.register { Self.gauges(stores, cache, edge, beats) }
        metrics.register { [.init("kababeat_rate_limit_subjects", "Subjects whose requests are counted.", Double(limiter.subjects))] }
        metrics.register {
            [.init("kababeat_password_hashes_waiting", "Passwords that wait to be hashed.", Double(identity.hasher.waiting))]
        }
        metrics.register { Self.gauges(outbox) }
        metrics.register { upkeep.gauges }
        metrics.register {
            let backlog = mails.backlog
            return [
                .init("kababeat_mails_waiting", "Mails that are still to be sent, by any gateway.", Double(backlog.waiting)),
                .init("kababeat_mails_dead", "Mails that no server took: dead letters.", Double(backlog.dead)),
            ]
        }
        late.begin(metrics: metrics, logger: EventLogger(logger))
    }

    /// What `kababeat migrate` would apply. A store that does not answer is no reason not to start: reads say what is missing.
    func pendingMigrations() async throws -> [String] {
        do throws(SchemaError) {
            return try await stores.pendingMigrations(settings)
        } catch {
            guard error.isUnavailable else { throw CommandFailure(description: error.debugDescription) }
            observer.observe(.lifecycle("a store does not answer, so its schema was not checked: \(error.debugDescription)"))
            return []
        }
    }

    /// Reads what the first request needs. Throws where the secrets in the database are of another `identity.secret`.
    func prepare() async throws {
        if let warning = settings.mailWarning { observer.observe(.lifecycle("warning: \(warning)")) }
        try await identity.prepare(observer)
    }

    /// Everything that is ever cached.
    static let representations = [BeatService.detail, BeatService.summary, UserService.profile]

    /// What delivers the outbox, but for the lanes of mails and standings.
    static func projectors(_ postgres: PostgresAccess, _ mongo: MongoAccess, _ observer: any Observer) -> [any Projector] {
        [
            BeatProjector(postgres: postgres, mongo: mongo, observer: observer), CreatorProjector(postgres: postgres),
            UserProjector(postgres: postgres),
        ]
    }

    /// Serves until it is told to shut down, then lets requests under way finish and closes the stores.
    public func run() async throws {
        let server = try HTTPServer(edge: edge, limits: limits, certificate: settings.certificate()).service(
            host: settings.httpHost, port: settings.httpPort, eventLoopGroup: MultiThreadedEventLoopGroup.singleton, logger: logger
        ) { address in
            observer.observe(.lifecycle("listening on \(Self.url(of: address, scheme: edge.scheme))"))
        }
        let relayTask = Task { await relay.run() }
        let standingsTask = Task { await standings.run() }
        let mailTask = Task { await mails.run() }
        let mailWatch = Task { await mails.watch() }
        let outboxWatch = Task { await outbox.watch() }
        let upkeepTask = Task { await upkeep.run() }
        let sealTask = Task { await sealer.run() }
        let sweepTask = Task { await sweeper.run() }
        let keysTask = Task { await identity.signingKeys.run() }
        let cacheTask = Task { await cache.run() }
        defer {
            relay.stop()
            standings.stop()
            mailTask.cancel()
            mailWatch.cancel()
            outboxWatch.cancel()
            upkeepTask.cancel()
            sealTask.cancel()
            sweepTask.cancel()
            keysTask.cancel()
            cacheTask.cancel()
        }
        var configuration = ServiceGroupConfiguration(services: [server], logger: logger)
        configuration.maximumGracefulShutdownDuration = limits.shutdown
        let group = ServiceGroup(configuration: configuration)
        do { try await serve(group) } catch let error as IOError {
            let reason = String(cString: strerror(error.errnoCode))
            throw CommandFailure(
                description:
                    "cannot listen on \(settings.httpHost):\(settings.httpPort): \(reason). Stop what listens there, or choose --port NUMBER"
            )
        }
        relay.stop()
        standings.stop()
        sealTask.cancel()
        upkeepTask.cancel()
        await upkeepTask.value
        await relayTask.value
        await standingsTask.value
        await sealTask.value
        await mails.stop(within: limits.shutdown)
        await elsewhere.shutdown()
        await stores.shutdown()
        observer.observe(.lifecycle("stopped"))
    }

    /// Where a browser on this machine finds what listens at `address`.
    static func url(of address: SocketAddress?, scheme: String) -> String {
        guard let host = address?.ipAddress, let port = address?.port else { return address.map { "\($0)" } ?? "an unknown address" }
        switch host {
        case "0.0.0.0": return "\(scheme)://127.0.0.1:\(port), at every address"
        case "::": return "\(scheme)://[::1]:\(port), at every address"
        default: return "\(scheme)://\(StoreAddress.text(host, port))"
        }
    }

    /// At a shutdown clients are told to leave before the server closes. Detached, because a group hears of a shutdown around it at once.
    private func serve(_ group: ServiceGroup) async throws {
        let serving = Task.detached { try await group.run() }
        try await withTaskCancellationHandler {
            try await withGracefulShutdownHandler {
                try await serving.value
            } onGracefulShutdown: {
                edge.drain()
                Task {
                    // So long clients are told to leave. Nobody cancels it.
                    try? await Task.sleep(for: limits.drain)
                    await group.triggerGracefulShutdown()
                }
            }
        } onCancel: {
            serving.cancel()
        }
    }

    private static func gauges(_ outbox: OutboxAdministration) -> [Metrics.Gauge] {
        var gauges: [Metrics.Gauge] = []
        for depth in outbox.lastDepths {
            func add(_ name: String, _ help: String, _ value: Int64) {
                gauges.append(Metrics.Gauge(name, help, labels: [("kind", depth.kind)], Double(value)))
            }
            add("kababeat_outbox_pending", "Outbox rows that wait for delivery, by any gateway.", depth.pending)
            add("kababeat_outbox_dead", "Outbox rows that were given up: dead letters.", depth.dead)
            add("kababeat_outbox_oldest_seconds", "Age of the oldest row that waits.", depth.oldestSeconds ?? 0)
        }
        return gauges
    }

    private static func gauges(_ stores: Stores, _ cache: EntityCache, _ edge: HTTPEdge, _ beats: BeatService) -> [Metrics.Gauge] {
        let size = cache.localSize
        return [
            .init("kababeat_http_requests_in_flight", "Requests being worked on.", Double(edge.requestsInFlight)),
            .init("kababeat_cache_local_bytes", "Memory that bodies take in this process.", Double(size.bytes)),
            .init("kababeat_cache_local_entries", "Bodies in this process's memory.", Double(size.entries)),
            .init(
                "kababeat_cache_trusted", "1 while this process is sure to hear of changes and serves its memory without asking Postgres.",
                cache.isTrusted ? 1 : 0),
        ] + stores.gauges
            + beats.waiting.map { kind, count in
                .init("kababeat_batch_waiting", "Ids that wait for their look-up.", labels: [("kind", kind)], Double(count))
            }
    }
}
