import HTTPTypes
import HummingbirdCore
import Logging
import NIOCore
import NIOHTTPTypes
import ServiceLifecycle

/// The listening server: Hummingbird's HTTP/1.1 channel around an `HTTPEdge`, with every bound set.
public struct HTTPServer: Sendable {
    private let edge: HTTPEdge
    private let limits: EdgeLimits

    public init(edge: HTTPEdge, limits: EdgeLimits) {
        self.edge = edge
        self.limits = limits
    }

    /// The service that listens until it is shut down gracefully: it stops accepting, and lets requests under way finish.
    public func service(
        host: String, port: Int, eventLoopGroup: any EventLoopGroup, logger: Logger,
        onListening: @escaping @Sendable (SocketAddress?) async -> Void
    ) throws -> any Service {
        let idle = TimeAmount(limits.idle)
        let builder = HTTPServerBuilder.http1(
            configuration: HTTP1Channel.Configuration(
                additionalChannelHandlers: [ConnectionGuard(patience: idle, unwantedBody: limits.unwantedBody)], idleTimeout: idle,
                httpDecoderConfiguration: .init(
                    maxHeaderFieldSize: limits.headerField, maxHeaderListSize: limits.headerList, maxHeaderFieldCount: limits.headerCount)))
        return try builder.buildServer(
            configuration: ServerConfiguration(
                address: .hostname(host, port: port), backlog: 4096,
                availableConnectionsDelegate: MaximumAvailableConnections(limits.connections)),
            eventLoopGroup: eventLoopGroup, logger: logger
        ) { request, writer, channel in
            try await edge.respond(to: request, writer, on: channel)
        } onServerRunning: { channel in
            await onListening(channel.localAddress)
        }
    }
}
