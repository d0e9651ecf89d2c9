import NIOCore
import NIOPosix
import NIOSSL
import Synchronization

/// One TCP connection to a server: a command goes out, its reply comes back before a deadline, or the connection is closed.
struct SMTPChannel: Sendable {
    private let channel: any Channel
    private let firstReply: EventLoopFuture<SMTPReply>
    private let ending: Ending

    /// Connects, encrypted from the first byte where `tls` is given.
    static func connect(
        host: String, port: Int, tls: SMTPEncryption?, group: any EventLoopGroup, deadline: NIODeadline
    ) async throws(SMTPFailure) -> SMTPChannel {
        do {
            return try await ClientBootstrap(group: group)
                .connectTimeout(max(deadline - .now(), .milliseconds(1)))
                .channelOption(.tcpOption(.tcp_nodelay), value: 1)
                .connect(host: host, port: port) { channel in
                    channel.eventLoop.makeCompletedFuture {
                        let ending = Ending()
                        let handler = SMTPReplyHandler(on: channel.eventLoop, ending)
                        let firstReply = handler.expect(by: deadline)
                        if let tls { try channel.pipeline.syncOperations.addHandler(tls.handler()) }
                        try channel.pipeline.syncOperations.addHandler(handler)
                        return SMTPChannel(channel: channel, firstReply: firstReply, ending: ending)
                    }
                }
        } catch {
            throw .connect
        }
    }

    /// The address literal (RFC 5321 §4.1.3) that this side goes by.
    var ownName: String {
        switch channel.localAddress {
        case .v6: "[IPv6:\(channel.localAddress?.ipAddress ?? "::1")]"
        default: "[\(channel.localAddress?.ipAddress ?? "127.0.0.1")]"
        }
    }

    var isOpen: Bool { channel.isActive }

    /// What the server says first.
    func greeting() async throws(SMTPFailure) -> SMTPReply { try await outcome(firstReply) }

    /// Sends one line and waits for its reply. `command` holds no line end.
    func ask(_ command: String, by deadline: NIODeadline) async throws(SMTPFailure) -> SMTPReply {
        try await ask(Array((command + "\r\n").utf8), by: deadline)
    }

    func ask(_ bytes: [UInt8], by deadline: NIODeadline) async throws(SMTPFailure) -> SMTPReply {
        try await outcome(
            channel.eventLoop.flatSubmit { [channel, ending] in
                guard let handler = try? channel.pipeline.syncOperations.handler(type: SMTPReplyHandler.self) else {
                    return channel.eventLoop.makeFailedFuture(ending.reason ?? .closed)
                }
                let reply = handler.expect(by: deadline)
                channel.writeAndFlush(ByteBuffer(bytes: bytes), promise: nil)
                return reply
            })
    }

    /// Encrypts what follows. Whatever the server is said to have sent after its consent is a forgery (CVE-2011-0411 and its kin).
    func encrypt(_ tls: SMTPEncryption) async throws(SMTPFailure) {
        _ = try await outcome(
            channel.eventLoop.submit { [channel, ending] in
                guard let handler = try? channel.pipeline.syncOperations.handler(type: SMTPReplyHandler.self) else {
                    throw ending.reason ?? .closed
                }
                guard handler.isQuiet else { throw SMTPFailure.unsolicited }
                try channel.pipeline.syncOperations.addHandler(tls.handler(), position: .first)
            })
    }

    func close() { channel.close(promise: nil) }

    private func outcome<Value: Sendable>(_ future: EventLoopFuture<Value>) async throws(SMTPFailure) -> Value {
        do { return try await future.get() } catch { throw error as? SMTPFailure ?? ending.reason ?? .closed }
    }
}

/// Why a connection was closed, for whoever asks when it is gone.
private final class Ending: Sendable {
    private let first = Mutex<SMTPFailure?>(nil)

    var reason: SMTPFailure? { first.withLock { $0 } }

    func set(_ reason: SMTPFailure) { first.withLock { $0 = $0 ?? reason } }
}

/// How a server's certificate is judged: always against its name, or its address where it is configured by that.
struct SMTPEncryption: Sendable {
    private let context: NIOSSLContext
    private let name: String?

    /// Throws where the certificates that are to be trusted cannot be read.
    init(host: String, trusting file: String?) throws {
        var configuration = TLSConfiguration.makeClientConfiguration()
        configuration.minimumTLSVersion = .tlsv12
        if let file { configuration.trustRoots = .file(file) }
        context = try NIOSSLContext(configuration: configuration)
        name = (try? SocketAddress(ipAddress: host, port: 0)) == nil ? host : nil
    }

    func handler() throws -> NIOSSLClientHandler { try NIOSSLClientHandler(context: context, serverHostname: name) }
}

/// Hands each reply to whoever waits for it. Lives on its event loop; closes the connection at the first thing that is not as it should be.
private final class SMTPReplyHandler: ChannelInboundHandler {
    typealias InboundIn = ByteBuffer

    private let loop: NIOIsolatedEventLoop
    private var parser = SMTPReplyParser()
    private var waiting: EventLoopPromise<SMTPReply>?
    private var timer: Scheduled<Void>?
    private var context: ChannelHandlerContext?
    private let ending: Ending

    init(on loop: any EventLoop, _ ending: Ending) {
        self.loop = loop.assumeIsolated()
        self.ending = ending
    }

    /// Whether all that has arrived was asked for.
    var isQuiet: Bool { parser.isEmpty && ending.reason == nil }

    /// The next reply. Only one is waited for at a time.
    func expect(by deadline: NIODeadline) -> EventLoopFuture<SMTPReply> {
        let promise = loop.nonisolated().makePromise(of: SMTPReply.self)
        guard ending.reason == nil, waiting == nil else {
            promise.fail(ending.reason ?? .malformed)
            return promise.futureResult
        }
        waiting = promise
        timer = loop.scheduleTask(deadline: deadline) { self.fail(.timeout) }
        return promise.futureResult
    }

    func handlerAdded(context: ChannelHandlerContext) { self.context = context }

    func handlerRemoved(context: ChannelHandlerContext) {
        fail(.closed)
        self.context = nil
    }

    func channelRead(context: ChannelHandlerContext, data: NIOAny) {
        parser.add(unwrapInboundIn(data))
        do throws(SMTPFailure) {
            while let reply = try parser.next() {
                guard let promise = take() else { throw .unsolicited }
                promise.succeed(reply)
            }
        } catch {
            fail(error)
        }
    }

    func channelInactive(context: ChannelHandlerContext) {
        fail(.closed)
        context.fireChannelInactive()
    }

    func errorCaught(context: ChannelHandlerContext, error: any Error) {
        fail(error is NIOSSLError || error is NIOSSLExtraError || error is BoringSSLError ? .tls : .closed)
    }

    private func take() -> EventLoopPromise<SMTPReply>? {
        timer?.cancel()
        timer = nil
        defer { waiting = nil }
        return waiting
    }

    private func fail(_ reason: SMTPFailure) {
        guard ending.reason == nil else { return }
        ending.set(reason)
        take()?.fail(reason)
        context?.close(promise: nil)
    }
}
