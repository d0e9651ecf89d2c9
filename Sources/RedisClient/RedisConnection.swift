import Reactor
import Synchronization

/// One connection that many callers share, on the reactor's thread.
///
/// Callers put requests behind the gate's lock. The first one to do so calls the reactor, which takes all that have gathered by then,
/// so the commands of one turn leave in one write. Replies come in order; a request that was given up keeps its place in it.
actor RedisConnection: LineOwner {
    nonisolated let reactor: Reactor
    nonisolated let configuration: RedisConfiguration
    nonisolated let number: Int
    private nonisolated let observe: @Sendable (RedisEvent) -> Void
    private nonisolated let gate = Mutex(Gate())

    nonisolated var unownedExecutor: UnownedSerialExecutor { reactor.asUnownedSerialExecutor() }

    /// What callers see of the connection.
    private struct Gate {
        var requests: [Request] = []
        /// Replies that the server owes, and the bytes they were asked for with; both include what has not been sent.
        var inFlight = 0
        var bytes = 0
        /// Why nothing can be sent now.
        var refusal: RedisError?
        var isOpen = false
        /// How often the connection was opened.
        var openings = 0
    }

    var line: Line
    /// In the order of their replies. Those taken before the line was first open are still to be sent.
    private var queue = Queue<Request>()
    /// Swapped with the gate's, so that neither is allocated anew.
    private var taken: [Request] = []
    private var breaker: CircuitBreaker
    private var nextDeadline: (at: ContinuousClock.Instant, timer: Reactor.Timer)?
    private var probeTimer: Reactor.Timer?
    /// Since when the server has been silent, while it owes something.
    private var silentSince = ContinuousClock.now
    /// What is no longer on its way, to be told to the gate once. Callers are resumed after that, so that they find room.
    private var released = (replies: 0, bytes: 0)
    private var answered: [(request: Request, value: RedisValue)] = []
    private var lastLineError: RedisError?
    private var shutdownTimer: Reactor.Timer?
    private var shutdownWaiters: [UnsafeContinuation<Void, Never>]?

    init(
        _ configuration: RedisConfiguration, number: Int, reactor: Reactor, observe: @escaping @Sendable (RedisEvent) -> Void
    ) {
        self.configuration = configuration
        self.number = number
        self.reactor = reactor
        self.observe = observe
        line = Line(configuration)
        breaker = CircuitBreaker(configuration.breaker)
    }

    // MARK: From any thread

    /// Takes a request, whose continuation will be resumed; answers why where it does not.
    nonisolated func submit(_ request: Request) -> RedisError? {
        enum Outcome { case refused(RedisError), first, behindOthers }
        let outcome: Outcome = gate.withLock { gate in
            if let refusal = gate.refusal { return .refused(refusal) }
            let fits =
                gate.inFlight + request.replies <= configuration.inFlightLimit
                && (gate.bytes + request.size <= configuration.inFlightBytes || gate.inFlight == 0)
            guard fits else { return .refused(RedisError(.queueFull)) }
            gate.inFlight += request.replies
            gate.bytes += request.size
            gate.requests.append(request)
            return gate.requests.count == 1 ? .first : .behindOthers
        }
        switch outcome {
        case .refused(let refusal): return refusal
        case .first: perform { $0.takeRequests() }
        case .behindOthers: break
        }
        return nil
    }

    nonisolated var openings: Int { gate.withLock { $0.openings } }

    nonisolated var state: (isOpen: Bool, inFlight: Int, isBreakerOpen: Bool) {
        gate.withLock { ($0.isOpen, $0.inFlight, $0.refusal?.code == .breakerOpen) }
    }

    // MARK: Sending

    private func takeRequests() {
        let refusal = gate.withLock { gate in
            swap(&gate.requests, &taken)
            return gate.refusal
        }
        for request in taken {
            guard request.take() else {
                release(request)
                continue
            }
            if let refusal {
                release(request)
                request.finish(.failure(refusal))
            } else {
                enqueue(request)
            }
        }
        taken.removeAll(keepingCapacity: true)
        tellGate()
        flush()
    }

    private func enqueue(_ request: Request) {
        if queue.isEmpty { silentSince = .now }
        queue.append(request)
        if let wire = line.openWire { request.put(on: wire) }
        watch(request.deadline)
    }

    private func release(_ request: Request) {
        released.replies += request.replies
        released.bytes += request.size
    }

    private func tellGate() {
        guard released.replies > 0 else { return }
        gate.withLock { gate in
            gate.inFlight -= released.replies
            gate.bytes -= released.bytes
        }
        released = (0, 0)
    }

    // MARK: The line

    func lineOpened(after duration: Duration) {
        // Before anything is sent on the new line.
        gate.withLock { $0.openings += 1 }
        line.backoff.reset()
        silentSince = .now
        lastLineError = nil
        // Taken before the line was open, or given up since.
        let waiting = queue
        queue.removeAll()
        waiting.forEach { request in
            if request.isFinished { release(request) } else { enqueue(request) }
        }
        tellGate()
        succeed()
        updateGate()
        observe(.opened(connection: number, after: duration))
    }

    func lineReceived(_ reply: RedisValue) throws(RedisError) {
        guard let request = queue.first else { throw RedisError(.protocolViolation, "a reply without a command") }
        guard let value = request.receive(reply) else { return }
        _ = queue.popFirst()
        release(request)
        if !request.isFinished { answered.append((request, value)) }
    }

    func lineWasRead() {
        silentSince = .now
        tellGate()
        if !answered.isEmpty { succeed() }
        for (request, value) in answered { request.finish(.success(value)) }
        answered.removeAll(keepingCapacity: true)
        finishShutdownIfIdle()
    }

    func lineLost(_ error: RedisError, wasOpen: Bool) {
        let loss = error.code == .connection ? error : RedisError(.connection, error.debugDescription)
        lastLineError = loss
        observe(wasOpen ? .lost(connection: number, error) : .openFailed(connection: number, error))
        fail(at: .now)
        updateGate()
        failAll(error.code == .protocolViolation ? error : loss)
        finishShutdownIfIdle()
    }

    private func failAll(_ error: RedisError) {
        let failed = queue
        queue.removeAll()
        failed.forEach { release($0) }
        tellGate()
        failed.forEach { if !$0.isFinished { $0.finish(.failure(error)) } }
    }

    // MARK: Deadlines and the breaker

    private func watch(_ deadline: ContinuousClock.Instant) {
        if let nextDeadline {
            guard deadline < nextDeadline.at else { return }
            reactor.cancel(nextDeadline.timer)
        }
        nextDeadline = (deadline, schedule(at: deadline) { $0.expire() })
    }

    private func expire() {
        nextDeadline = nil
        let now = ContinuousClock.now
        var earliest: ContinuousClock.Instant?
        var hasFailed = false
        queue.forEach { request in
            guard !request.isFinished else { return }
            if request.deadline <= now {
                hasFailed = true
                fail(at: now)
                request.finish(.failure(RedisError(.timeout)))
            } else {
                earliest = min(earliest ?? request.deadline, request.deadline)
            }
        }
        if let earliest { watch(earliest) }
        guard hasFailed else { return }
        if line.openWire != nil, silentSince.duration(to: now) >= configuration.stallTimeout {
            loseLine(RedisError(.connection, "silent for \(silentSince.duration(to: now))"))
        }
        finishShutdownIfIdle()
    }

    private func succeed() {
        let wasClosed = breaker.isClosed
        breaker.succeeded()
        guard !wasClosed else { return }
        if let probeTimer { reactor.cancel(probeTimer) }
        probeTimer = nil
        updateGate()
        observe(.breakerClosed(connection: number))
    }

    private func fail(at now: ContinuousClock.Instant) {
        let wasClosed = breaker.isClosed
        guard let probeAt = breaker.failed(at: now, jitter: .random(in: 0...1)) else { return }
        probeTimer = schedule(at: probeAt) { $0.probe() }
        guard wasClosed else { return }
        updateGate()
        observe(.breakerOpened(connection: number))
    }

    /// Asks whether the server is back. Its answer in time closes the breaker as any would; its timeout is a failure like any. Without a
    /// line there is nothing to ask: opening one is an answer too.
    private func probe() {
        probeTimer = nil
        guard line.openWire != nil, breaker.probeIsDue() else { return }
        let request = Request(.one(RedisCommand("PING")), deadline: .now + configuration.breaker.probeTimeout)
        gate.withLock { gate in
            gate.inFlight += request.replies
            gate.bytes += request.size
        }
        enqueue(request)
        flush()
    }

    private func updateGate() {
        let refusal: RedisError? =
            if shutdownWaiters != nil {
                RedisError(.shutdown)
            } else if line.openWire == nil, let lastLineError {
                lastLineError
            } else {
                breaker.isClosed ? nil : RedisError(.breakerOpen)
            }
        let isOpen = line.openWire != nil
        gate.withLock { gate in
            gate.refusal = refusal
            gate.isOpen = isOpen
        }
    }

    // MARK: The end

    func shutdown(_ waiter: UnsafeContinuation<Void, Never>?) {
        if case .closed = line.phase {
            waiter?.resume()
            return
        }
        let isFirst = shutdownWaiters == nil
        shutdownWaiters = (shutdownWaiters ?? []) + (waiter.map { [$0] } ?? [])
        guard isFirst else { return }
        // What callers handed over before this still counts.
        takeRequests()
        updateGate()
        shutdownTimer = schedule(at: .now + configuration.shutdownGrace) { $0.finishShutdown() }
        finishShutdownIfIdle()
    }

    private func finishShutdownIfIdle() {
        guard shutdownWaiters != nil else { return }
        var isIdle = true
        queue.forEach { if !$0.isFinished { isIdle = false } }
        if isIdle || line.openWire == nil { finishShutdown() }
    }

    private func finishShutdown() {
        if case .closed = line.phase { return }
        closeLine()
        updateGate()
        failAll(RedisError(.shutdown))
        for timer in [shutdownTimer, probeTimer, nextDeadline?.timer] {
            if let timer { reactor.cancel(timer) }
        }
        for waiter in shutdownWaiters ?? [] { waiter.resume() }
        shutdownWaiters = []
    }
}
