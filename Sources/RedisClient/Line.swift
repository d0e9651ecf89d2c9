import Dispatch
import Reactor

/// One connection that is made again whenever it is lost; where it stands.
struct Line {
    enum Phase {
        case idle
        case resolving
        /// The addresses are those still to be tried.
        case connecting(Wire, [Address])
        /// Logging in; so many answers are still to come.
        case greeting(Wire, Int)
        case open(Wire)
        /// Lost, or not to be had; the timer dials again.
        case waiting
        /// For good.
        case closed
    }

    var phase = Phase.idle
    var began = ContinuousClock.now
    var timer: Reactor.Timer?
    var backoff: Backoff
    var isWatchedForWrite = false
    /// A name is being resolved, perhaps for an attempt that has been given up since.
    var isResolving = false

    init(_ configuration: RedisConfiguration) { backoff = Backoff(configuration.reconnectDelay) }

    var wire: Wire? {
        switch phase {
        case .connecting(let wire, _), .greeting(let wire, _), .open(let wire): wire
        case .idle, .resolving, .waiting, .closed: nil
        }
    }

    var openWire: Wire? {
        guard case .open(let wire) = phase else { return nil }
        return wire
    }
}

/// An actor on the reactor that owns a line. Dialling, logging in and trying again are the same for all of them.
protocol LineOwner: Actor {
    nonisolated var reactor: Reactor { get }
    nonisolated var configuration: RedisConfiguration { get }
    var line: Line { get set }

    /// The line is ready for use.
    func lineOpened(after: Duration)
    /// A reply has come on the open line.
    func lineReceived(_ reply: RedisValue) throws(RedisError)
    /// All that had come was handed out.
    func lineWasRead()
    /// The line was lost, or could not be opened; it will be tried again.
    func lineLost(_ error: RedisError, wasOpen: Bool)
}

/// Names are resolved here, because that blocks.
private let resolver = DispatchQueue(label: "kababeat.redis.resolve")

extension LineOwner {
    /// Runs `body` here from any thread, after what was handed over before.
    nonisolated func perform(_ body: @escaping @Sendable (isolated Self) -> Void) {
        reactor.perform { self.assumeIsolated(body) }
    }

    /// Runs `body` here at `deadline`, unless the actor is gone by then.
    func schedule(at deadline: ContinuousClock.Instant, _ body: @escaping @Sendable (isolated Self) -> Void) -> Reactor.Timer {
        reactor.schedule(at: deadline) { [weak self] in self?.assumeIsolated(body) }
    }

    func dial() {
        line.began = .now
        line.timer = schedule(at: line.began + configuration.connectTimeout) { owner in
            owner.line.timer = nil
            owner.loseLine(RedisError(.connection, "no answer within \(owner.configuration.connectTimeout)"))
        }
        let (host, port) = (configuration.host, configuration.port)
        let literal = Address.literal(host, port: port)
        guard literal.isEmpty else { return connect(literal[...]) }
        line.phase = .resolving
        guard !line.isResolving else { return }
        line.isResolving = true
        resolver.async { [weak self] in
            let addresses = Address.resolve(host, port: port)
            self?.perform { owner in
                owner.line.isResolving = false
                guard case .resolving = owner.line.phase else { return }
                owner.connect(addresses[...])
            }
        }
    }

    private func connect(_ addresses: ArraySlice<Address>, after error: RedisError? = nil) {
        guard let address = addresses.first else { return loseLine(error ?? RedisError(.connection, "the name cannot be resolved")) }
        do throws(RedisError) {
            let wire = try Wire(to: address, configuration)
            line.phase = .connecting(wire, Array(addresses.dropFirst()))
            line.isWatchedForWrite = true
            reactor.watch(wire.descriptor, read: true, write: true) { [weak self] readiness in
                self?.assumeIsolated { $0.serve(readiness) }
            }
        } catch {
            connect(addresses.dropFirst(), after: error)
        }
    }

    private func serve(_ readiness: Reactor.Readiness) {
        if case .connecting(let wire, let others) = line.phase {
            do throws(RedisError) {
                try wire.finishConnecting()
                greet(wire)
            } catch {
                dropWire()
                return connect(others[...], after: error)
            }
        }
        guard let wire = line.wire else { return }
        do throws(RedisError) {
            if readiness.canRead { try wire.receive { reply throws(RedisError) in try take(reply, wire) } }
            lineWasRead()
            if line.wire === wire { try flush(wire) }
        } catch {
            lineWasRead()
            loseLine(error)
        }
    }

    private func greet(_ wire: Wire) {
        var greeting: [RedisCommand] = []
        if let password = configuration.password {
            greeting.append(RedisCommand("AUTH", (configuration.username.map { [.text($0)] } ?? []) + [.text(password)]))
        }
        if configuration.database != 0 { greeting.append(RedisCommand("SELECT", .integer(Int64(configuration.database)))) }
        if !configuration.clientName.isEmpty { greeting.append(RedisCommand("CLIENT", "SETNAME", .text(configuration.clientName))) }
        // The system accepts connections for a frozen server: it is open once the server has answered.
        greeting.append(RedisCommand("PING"))
        for command in greeting { wire.put(command) }
        line.phase = .greeting(wire, greeting.count)
    }

    private func take(_ reply: RedisValue, _ wire: Wire) throws(RedisError) {
        guard case .greeting(_, let left) = line.phase else { return try lineReceived(reply) }
        if case .error(let message) = reply { throw RedisError(reply: message) }
        line.phase = .greeting(wire, left - 1)
        guard left == 1 else { return }
        line.phase = .open(wire)
        cancelTimer()
        lineOpened(after: line.began.duration(to: .now))
    }

    /// Sends what the open line takes, and asks to be woken for the rest.
    func flush() {
        guard let wire = line.openWire else { return }
        do throws(RedisError) { try flush(wire) } catch { loseLine(error) }
    }

    private func flush(_ wire: Wire) throws(RedisError) {
        try wire.flush()
        guard wire.hasUnsent != line.isWatchedForWrite else { return }
        line.isWatchedForWrite = wire.hasUnsent
        reactor.update(wire.descriptor, read: true, write: wire.hasUnsent)
    }

    /// Drops the line and dials again after a while.
    func loseLine(_ error: RedisError) {
        let wasOpen = line.openWire != nil
        hangUp()
        line.phase = .waiting
        line.timer = schedule(at: .now + line.backoff.next(jitter: .random(in: 0...1))) { owner in
            owner.line.timer = nil
            owner.dial()
        }
        lineLost(error, wasOpen: wasOpen)
    }

    /// Drops the line for good.
    func closeLine() {
        hangUp()
        line.phase = .closed
    }

    private func hangUp() {
        cancelTimer()
        dropWire()
    }

    private func dropWire() {
        if let wire = line.wire { reactor.unwatch(wire.descriptor) }
        line.phase = .idle
    }

    private func cancelTimer() {
        if let timer = line.timer { reactor.cancel(timer) }
        line.timer = nil
    }
}
