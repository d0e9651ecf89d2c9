import Reactor
import Synchronization

/// An asynchronous client for one Redis server: few connections, each shared by all callers, pipelined.
///
/// Every call has a deadline, and ends by it. Until the first attempt to connect has ended, calls wait for it; from then on calls fail at
/// once while there is no connection, and while the server has stopped answering (`.breakerOpen`). Connections that are lost are made
/// again in the background. All methods may be called from any task.
public final class RedisClient: Sendable {
    private let configuration: RedisConfiguration
    private let reactor: Reactor
    private let observe: @Sendable (RedisEvent) -> Void
    private let connections: [RedisConnection]
    private let turn = Atomic<UInt>(0)
    private let subscribers = Mutex<(all: [WeakSubscriber], isShutDown: Bool)>(([], false))

    private struct WeakSubscriber {
        weak var subscriber: Subscriber?
    }

    /// Starts to connect at once, in the background. `observe` is called on the reactor's thread.
    public init(
        _ configuration: RedisConfiguration, reactor: Reactor, observe: @escaping @Sendable (RedisEvent) -> Void = { _ in }
    ) {
        self.configuration = configuration
        self.reactor = reactor
        self.observe = observe
        connections = (0..<configuration.connections).map {
            RedisConnection(configuration, number: $0, reactor: reactor, observe: observe)
        }
        for connection in connections { connection.perform { $0.dial() } }
    }

    deinit {
        for connection in connections { connection.perform { $0.shutdown(nil) } }
    }

    /// Sends one command and answers its reply.
    ///
    /// - Throws: any `RedisError`; an error reply as `.server`. After `.connection`, `.timeout` and `.cancelled` the command may have been
    ///   carried out.
    public nonisolated(nonsending) func send(
        _ command: RedisCommand, deadline: ContinuousClock.Instant
    ) async throws(RedisError) -> RedisValue {
        let reply = try await run(.one(command), deadline)
        if case .error(let message) = reply { throw RedisError(reply: message) }
        return reply
    }

    /// Sends commands one behind the other, without others between them, and answers a reply for each; an error reply is an `.error` in
    /// its place. They are no transaction: unless sent with `MULTI` and `EXEC`, other connections' commands may come in between.
    ///
    /// - Throws: any `RedisError` but `.server`. Some of the commands may have been carried out then. A pipeline that is longer than the
    ///   limit of commands in flight never fits.
    public nonisolated(nonsending) func send(
        _ commands: [RedisCommand], deadline: ContinuousClock.Instant
    ) async throws(RedisError) -> [RedisValue] {
        guard !commands.isEmpty else { return [] }
        return try await run(.pipeline(commands), deadline).elements ?? []
    }

    /// Runs a script by its digest; where the server does not know it, once more by its source.
    public nonisolated(nonsending) func evaluate(
        _ script: RedisScript, keys: [String], arguments: [RedisArgument], deadline: ContinuousClock.Instant
    ) async throws(RedisError) -> RedisValue {
        try await evaluate(script, keys.map { .text($0) }, arguments, deadline)
    }

    /// As `evaluate`, for keys that are not text.
    public nonisolated(nonsending) func evaluate(
        _ script: RedisScript, binaryKeys: [[UInt8]], arguments: [RedisArgument], deadline: ContinuousClock.Instant
    ) async throws(RedisError) -> RedisValue {
        try await evaluate(script, binaryKeys.map { .bytes($0) }, arguments, deadline)
    }

    private nonisolated(nonsending) func evaluate(
        _ script: RedisScript, _ keys: [RedisArgument], _ arguments: [RedisArgument], _ deadline: ContinuousClock.Instant
    ) async throws(RedisError) -> RedisValue {
        let rest = [.integer(Int64(keys.count))] + keys + arguments
        do {
            return try await send(RedisCommand("EVALSHA", [.text(script.digest)] + rest), deadline: deadline)
        } catch {
            guard case .server(prefix: "NOSCRIPT") = error.code else { throw error }
            return try await send(RedisCommand("EVAL", [.text(script.source)] + rest), deadline: deadline)
        }
    }

    /// Listens to channels on a connection of its own, until the sequence is let go of or the client shuts down. Starts at once.
    public func subscribe(channels: [String]) -> RedisSubscription {
        let mailbox = Mailbox(limit: configuration.subscriptionLimit, bytes: configuration.subscriptionBytes)
        let subscriber = Subscriber(configuration, channels: channels, reactor: reactor, mailbox: mailbox, observe: observe)
        let isShutDown = subscribers.withLock { subscribers in
            subscribers.all.removeAll { $0.subscriber == nil }
            if !subscribers.isShutDown { subscribers.all.append(WeakSubscriber(subscriber: subscriber)) }
            return subscribers.isShutDown
        }
        if isShutDown || channels.isEmpty { mailbox.end() } else { subscriber.perform { $0.dial() } }
        return RedisSubscription(subscriber, mailbox)
    }

    /// How the connections stand; costs a lock each.
    public func state() -> RedisState {
        let states = connections.map(\.state)
        return RedisState(
            connections: states.count { $0.isOpen }, inFlight: states.reduce(0) { $0 + $1.inFlight },
            isBreakerOpen: states.allSatisfy(\.isBreakerOpen))
    }

    /// How often connections were opened. While it stays the same, every command has gone to the servers that earlier ones went to: a
    /// server that was restarted or replaced has lost its connections.
    public var openings: Int { connections.reduce(0) { $0 + $1.openings } }

    /// Proves that the server answers.
    public nonisolated(nonsending) func ping(deadline: ContinuousClock.Instant) async throws(RedisError) {
        _ = try await send(RedisCommand("PING"), deadline: deadline)
    }

    /// Refuses new calls, lets those on their way finish for the configured grace, ends the subscriptions, and closes every connection.
    public nonisolated(nonsending) func shutdown() async {
        let subscribers = subscribers.withLock { subscribers in
            defer { subscribers = ([], true) }
            return subscribers.all.compactMap(\.subscriber)
        }
        for subscriber in subscribers { subscriber.perform { $0.close() } }
        for connection in connections { connection.perform { $0.shutdown(nil) } }
        for connection in connections {
            await withUnsafeContinuation { continuation in connection.perform { $0.shutdown(continuation) } }
        }
    }

    // MARK: Handing over

    private nonisolated(nonsending) func run(
        _ payload: Request.Payload, _ deadline: ContinuousClock.Instant
    ) async throws(RedisError) -> RedisValue {
        guard !Task.isCancelled else { throw RedisError(.cancelled) }
        guard deadline > .now else { throw RedisError(.timeout) }
        let request = Request(payload, deadline: deadline)
        return try await withTaskCancellationHandler {
            await withUnsafeContinuation { continuation in
                request.continuation = continuation
                if let refusal = submit(request) { continuation.resume(returning: .failure(refusal)) }
            }
        } onCancel: {
            request.noteCancellation()
            reactor.perform { request.cancel() }
        }.get()
    }

    /// Gives a request to the next connection that takes it; answers why none does.
    private func submit(_ request: Request) -> RedisError? {
        guard connections.count > 1 else { return connections[0].submit(request) }
        let first = Int(turn.wrappingAdd(1, ordering: .relaxed).oldValue % UInt(connections.count))
        var refusal: RedisError?
        for offset in connections.indices {
            refusal = connections[(first + offset) % connections.count].submit(request)
            if refusal == nil { return nil }
        }
        return refusal
    }
}
