import Dispatch
import Reactor
import Synchronization

/// The client's inside: the pool and its connections, all on the reactor's thread.
actor PostgresCore {
    nonisolated let reactor: Reactor
    nonisolated let configuration: PostgresConfiguration
    nonisolated let observe: @Sendable (PostgresEvent) -> Void
    /// Open, busy and waiting, packed, so that metrics read them without a hop.
    private nonisolated let published = Atomic<UInt64>(0)

    nonisolated var unownedExecutor: UnownedSerialExecutor { reactor.asUnownedSerialExecutor() }

    var pool: PoolMachine<Request>
    var links: [Link]
    var deadlines = DeadlineWatch()
    private var isSettling = false
    private var shutdownTimer: Reactor.Timer?
    private var shutdownWaiters: [UnsafeContinuation<Void, Never>] = []
    private var isFinished = false
    var lastOpenError = ""
    /// With which of the configured servers an attempt to connect begins.
    var firstServer = 0
    private var gathering: [Connection] = []
    /// Blocking calls have a thread of their own: names are resolved on one, cancellations delivered on the other.
    let resolving = DispatchQueue(label: "kababeat.postgres.resolve")
    let cancelling = DispatchQueue(label: "kababeat.postgres.cancel")
    var cancellationsUnderWay = 0

    /// One place in the pool, with its connection while it has one.
    struct Link {
        var connection: Connection?
        /// Tells answers that belong to an earlier connection of this place.
        var generation = 0
        var began = ContinuousClock.now
        /// The server that its last attempt to connect began with.
        var firstServer = 0
        var timer: Reactor.Timer?
    }

    init(_ configuration: PostgresConfiguration, reactor: Reactor, observe: @escaping @Sendable (PostgresEvent) -> Void) {
        self.reactor = reactor
        self.configuration = configuration
        self.observe = observe
        pool = PoolMachine(
            connections: configuration.connections, depth: configuration.pipelineDepth, exclusiveLimit: configuration.exclusiveLimit,
            queueLimit: configuration.queueLimit, reconnectDelay: configuration.reconnectDelay)
        links = Array(repeating: Link(), count: configuration.connections)
    }

    /// Runs `body` here from any thread, after what was handed over before.
    nonisolated func perform(_ body: @escaping @Sendable (isolated PostgresCore) -> Void) {
        reactor.perform { self.assumeIsolated(body) }
    }

    nonisolated var state: PostgresPoolState {
        let packed = published.load(ordering: .relaxed)
        return PostgresPoolState(open: Int(packed >> 48), busy: Int(packed >> 32 & 0xFFFF), waiting: Int(packed & 0xFFFF_FFFF))
    }

    func start() {
        pool.start()
        settle()
    }

    // MARK: Requests

    /// Takes a one-shot query, or a wait for a lease.
    func submit(_ request: Request) {
        guard arrive(request) else { return }
        watch(request.deadline)
        pool.submit(request, request.kind == .lease ? .exclusive : .oneShot)
        settle()
    }

    /// False where the task was cancelled before its request got here.
    func arrive(_ request: Request) -> Bool {
        request.hasArrived = true
        guard request.isCancelled.load(ordering: .relaxed) else { return true }
        request.giveUp(.cancelled, wasSent: false)
        return false
    }

    /// Carries out what the pool has decided, and what follows from that.
    func settle() {
        guard !isSettling else { return }
        isSettling = true
        while let action = pool.nextAction() { carryOut(action) }
        isSettling = false
        publish()
    }

    func publish() {
        let state = pool.state
        published.store(
            UInt64(state.open) << 48 | UInt64(state.busy) << 32 | UInt64(state.waiting), ordering: .relaxed)
    }

    private func carryOut(_ action: PoolMachine<Request>.Action) {
        switch action {
        case .connect(let slot): connect(slot)
        case .reconnect(let slot, let delay):
            // Jitter, so that many gateways do not come back in step.
            links[slot].timer = reactor.schedule(at: .now + delay * Double.random(in: 0.5...1)) { [weak self] in
                self?.assumeIsolated { core in
                    core.links[slot].timer = nil
                    core.pool.reconnectDue(slot)
                    core.settle()
                }
            }
        case .send(let request, let slot): send(request, on: slot)
        case .lend(let request, let slot): lend(request, slot)
        case .refuse(let request, let refusal):
            switch refusal {
            case .queueFull: request.finish(PostgresError(.queueFull))
            case .unreachable: request.finish(PostgresError(.connection, lastOpenError))
            case .shutdown: request.finish(PostgresError(.shutdown))
            }
        case .close(let slot): close(slot)
        case .finished: finishShutdown()
        }
    }

    private func send(_ request: Request, on slot: Int) {
        guard let connection = links[slot].connection else { return request.giveUp(.connection, wasSent: false) }
        switch put(request, on: connection) {
        case .sent: break
        case .refused: pool.completed(slot)
        case .lost: break
        }
    }

    enum Sending { case sent, refused, lost }

    /// Writes a request to a connection. One that cannot be sent is told so; a connection that fails is dropped.
    func put(_ request: Request, on connection: Connection, begin: String? = nil, beginSettings: PostgresSettings? = nil) -> Sending {
        gather(connection)
        do throws(Connection.Failure) {
            try connection.send(request, begin: begin, beginSettings: beginSettings)
            guard flush(connection) else { return .lost }
            return .sent
        } catch {
            switch error {
            case .request(let error):
                request.finish(error.about(request.sql))
                return .refused
            case .connection:
                request.giveUp(.connection, connection.errorMessage, wasSent: true)
                lose(connection, connection.errorMessage)
                return .lost
            }
        }
    }

    /// Keeps what is sent on a connection in this turn of the reactor together, see `Connection.isGathering`.
    private func gather(_ connection: Connection) {
        guard !connection.isGathering else { return }
        connection.isGathering = true
        if gathering.isEmpty { perform { $0.letGo() } }
        gathering.append(connection)
    }

    private func letGo() {
        for connection in gathering { connection.isGathering = false }
        gathering.removeAll(keepingCapacity: true)
    }

    // MARK: Shutdown

    func shutdown(_ waiter: UnsafeContinuation<Void, Never>) {
        if isFinished { return waiter.resume() }
        shutdownWaiters.append(waiter)
        guard shutdownTimer == nil else { return }
        shutdownTimer = reactor.schedule(at: .now + configuration.shutdownGrace) { [weak self] in
            self?.assumeIsolated { $0.closeAll() }
        }
        pool.shutdown()
        settle()
    }

    /// Closes everything now; requests in flight fail.
    func closeAll() {
        pool.shutdown()
        settle()
        for link in links {
            if let connection = link.connection { lose(connection, "the client is shutting down") }
        }
        settle()
    }

    private func finishShutdown() {
        isFinished = true
        for link in links { if let timer = link.timer { reactor.cancel(timer) } }
        if let shutdownTimer { reactor.cancel(shutdownTimer) }
        if let timer = deadlines.timer { reactor.cancel(timer) }
        deadlines = DeadlineWatch()
        for waiter in shutdownWaiters { waiter.resume() }
        shutdownWaiters = []
    }
}
