import Contract
import HTTPAPI
import Logging
import NIOCore
import NIOPosix
import ServiceLifecycle
import Synchronization
import TestSupport

/// A server that really listens, on a free port of the loopback address, for as long as a test runs.
struct EdgeServer: Sendable {
    let port: Int
    let edge: HTTPEdge
    let recorder: Recorder

    static func run(
        _ routes: [Route], limits: EdgeLimits = EdgeLimits(), trust: EdgeTrust = EdgeTrust(), authenticator: (any Authenticator)? = nil,
        rateLimiter: (any RateLimiter)? = nil, keys: (any IdempotencyKeys)? = nil, certificate: HTTPServer.Certificate? = nil,
        _ body: (EdgeServer) async throws -> Void
    ) async throws {
        let recorder = Recorder()
        let edge = HTTPEdge(
            table: RouteTable(routes), limits: limits, observer: recorder, trust: trust, authenticator: authenticator,
            rateLimiter: rateLimiter, keys: keys)
        let logger = Logger(label: "test") { _ in SwiftLogNoOpLogHandler() }
        let (ports, listening) = AsyncStream.makeStream(of: Int.self)
        let service = try HTTPServer(edge: edge, limits: limits, certificate: certificate).service(
            host: "127.0.0.1", port: 0, eventLoopGroup: MultiThreadedEventLoopGroup.singleton, logger: logger
        ) { address in
            listening.yield(address?.port ?? 0)
            listening.finish()
        }
        var configuration = ServiceGroupConfiguration(services: [service], logger: logger)
        configuration.maximumGracefulShutdownDuration = .seconds(2)
        let group = ServiceGroup(configuration: configuration)
        let serving = Task { try await group.run() }
        for await port in ports { try await body(EdgeServer(port: port, edge: edge, recorder: recorder)) }
        await group.triggerGracefulShutdown()
        try await serving.value
    }

    /// Opens a connection for `body`.
    func connect<T: Sendable>(_ body: (inout Wire) async throws -> T) async throws -> T {
        let channel = try await ClientBootstrap(group: MultiThreadedEventLoopGroup.singleton)
            .channelOption(.allowRemoteHalfClosure, value: true)
            .connect(host: "127.0.0.1", port: port) { channel in
                channel.eventLoop.makeCompletedFuture {
                    try NIOAsyncChannel<ByteBuffer, ByteBuffer>(
                        wrappingChannelSynchronously: channel,
                        configuration: .init(
                            backPressureStrategy: .init(lowWatermark: 1, highWatermark: 2), isOutboundHalfClosureEnabled: true))
                }
            }
        return try await channel.executeThenClose { inbound, outbound in
            var wire = Wire(incoming: inbound.makeAsyncIterator(), outgoing: outbound)
            return try await body(&wire)
        }
    }

    /// Sends one request over a connection of its own.
    func answer(_ target: String, _ fields: String..., method: String = "GET", body: String? = nil) async throws -> Wire.Answer? {
        let request = Wire.request(target, fields, method: method, body: body)
        return try await connect { wire in
            try await wire.send(request)
            return try await wire.answer(hasBody: method != "HEAD")
        }
    }
}

/// One connection: bytes out, answers in.
struct Wire {
    struct Answer: Sendable {
        let status: Int
        /// By their names in lower case.
        let fields: [(name: String, value: String)]
        let body: String

        subscript(name: String) -> String? { fields.first { $0.name == name }?.value }

        /// The problem's `code`.
        var code: String? {
            guard let range = body.firstRange(of: #""code":""#) else { return nil }
            return String(body[range.upperBound...].prefix { $0 != "\"" })
        }
    }

    fileprivate var incoming: NIOAsyncChannelInboundStream<ByteBuffer>.AsyncIterator
    fileprivate let outgoing: NIOAsyncChannelOutboundWriter<ByteBuffer>
    private var unread = ByteBuffer()

    fileprivate init(incoming: NIOAsyncChannelInboundStream<ByteBuffer>.AsyncIterator, outgoing: NIOAsyncChannelOutboundWriter<ByteBuffer>)
    {
        self.incoming = incoming
        self.outgoing = outgoing
    }

    static func request(_ target: String, _ fields: [String] = [], method: String = "GET", body: String? = nil) -> String {
        var lines = ["\(method) \(target) HTTP/1.1", "Host: gateway.example"] + fields
        if let body { lines += ["Content-Type: application/json", "Content-Length: \(body.utf8.count)"] }
        return lines.joined(separator: "\r\n") + "\r\n\r\n" + (body ?? "")
    }

    /// The sending side, for a task that sends while another reads.
    struct Writer: Sendable {
        fileprivate let outgoing: NIOAsyncChannelOutboundWriter<ByteBuffer>

        /// False where the other side takes no more.
        @discardableResult
        func send(_ text: String) async throws -> Bool {
            do {
                try await outgoing.write(ByteBuffer(string: text))
                return true
            } catch is CancellationError {
                throw CancellationError()
            } catch {
                return false
            }
        }
    }

    var writer: Writer { Writer(outgoing: outgoing) }

    /// False where the other side takes no more.
    @discardableResult
    func send(_ text: String) async throws -> Bool { try await writer.send(text) }

    /// The next answer; nil where the connection is closed before there is a whole one.
    mutating func answer(hasBody: Bool = true) async throws -> Answer? {
        let end = Array("\r\n\r\n".utf8)
        while unread.readableBytesView.firstRange(of: end) == nil {
            guard try await more() else { return nil }
        }
        guard let range = unread.readableBytesView.firstRange(of: end),
            let head = unread.readString(length: range.upperBound - unread.readerIndex)
        else { return nil }
        let lines = head.split(separator: "\r\n")
        let fields = lines.dropFirst().map { line in
            let parts = line.split(separator: ": ", maxSplits: 1)
            return (name: parts[0].lowercased(), value: parts.count > 1 ? String(parts[1]) : "")
        }
        let length = hasBody ? fields.first { $0.name == "content-length" }.flatMap { Int($0.value) } ?? 0 : 0
        while unread.readableBytes < length {
            guard try await more() else { return nil }
        }
        return Answer(
            status: Int(lines[0].split(separator: " ")[1]) ?? 0, fields: Array(fields), body: unread.readString(length: length) ?? "")
    }

    /// Whether the other side closes without another byte.
    mutating func isClosed() async throws -> Bool { unread.readableBytes == 0 ? try await !more() : false }

    private mutating func more() async throws -> Bool {
        do {
            guard var bytes = try await incoming.next() else { return false }
            unread.writeBuffer(&bytes)
            return true
        } catch is CancellationError {
            throw CancellationError()
        } catch {
            return false
        }
    }
}
