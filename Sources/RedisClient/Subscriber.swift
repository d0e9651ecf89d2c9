import Reactor

/// A subscription's connection, on the reactor's thread: it subscribes whenever it is open, and puts what it hears into the mailbox.
actor Subscriber: LineOwner {
    nonisolated let reactor: Reactor
    nonisolated let configuration: RedisConfiguration
    private nonisolated let channels: [String]
    private nonisolated let mailbox: Mailbox
    private nonisolated let observe: @Sendable (RedisEvent) -> Void

    nonisolated var unownedExecutor: UnownedSerialExecutor { reactor.asUnownedSerialExecutor() }

    var line: Line
    /// Channels that the server has not yet confirmed.
    private var unconfirmed = 0
    private var lastByte = ContinuousClock.now
    private var pingTimer: Reactor.Timer?

    init(
        _ configuration: RedisConfiguration, channels: [String], reactor: Reactor, mailbox: Mailbox,
        observe: @escaping @Sendable (RedisEvent) -> Void
    ) {
        self.configuration = configuration
        self.channels = channels
        self.reactor = reactor
        self.mailbox = mailbox
        self.observe = observe
        line = Line(configuration)
    }

    func close() {
        closeLine()
        cancelPing()
        mailbox.end()
    }

    func lineOpened(after duration: Duration) {
        unconfirmed = channels.count
        line.openWire?.put(RedisCommand("SUBSCRIBE", channels.map { .text($0) }))
        observe(.opened(connection: nil, after: duration))
        lastByte = .now
        scheduleNextPing()
    }

    func lineReceived(_ reply: RedisValue) throws(RedisError) {
        if case .error(let message) = reply { throw RedisError(reply: message) }
        guard let parts = reply.elements, let kind = parts.first?.text else { throw unexpected }
        switch kind {
        case "message":
            guard parts.count == 3, let channel = parts[1].text, let payload = parts[2].bytes else { throw unexpected }
            put(.message(channel: channel, payload: payload))
        case "subscribe":
            unconfirmed -= 1
            guard unconfirmed == 0 else { return }
            line.backoff.reset()
            put(.subscribed)
        case "pong": break
        default: throw unexpected
        }
    }

    private var unexpected: RedisError { RedisError(.protocolViolation, "not a message") }

    func lineWasRead() { lastByte = .now }

    func lineLost(_ error: RedisError, wasOpen: Bool) {
        cancelPing()
        if wasOpen, unconfirmed == 0 { put(.gap) }
        observe(wasOpen ? .lost(connection: nil, error) : .openFailed(connection: nil, error))
    }

    private func put(_ event: RedisSubscription.Event) {
        if !mailbox.put(event) { observe(.overflowed) }
    }

    // MARK: Silence

    private func scheduleNextPing() {
        pingTimer = schedule(at: .now + configuration.subscriptionPing) { $0.ping() }
    }

    private func ping() {
        pingTimer = nil
        guard lastByte.duration(to: .now) < configuration.subscriptionPing * 2 else {
            return loseLine(RedisError(.connection, "silent for \(lastByte.duration(to: .now))"))
        }
        line.openWire?.put(RedisCommand("PING"))
        scheduleNextPing()
        flush()
    }

    private func cancelPing() {
        if let pingTimer { reactor.cancel(pingTimer) }
        pingTimer = nil
    }
}
