import HummingbirdCore
import HummingbirdTLS
import Logging
import NIOCore
import ServiceLifecycle

/// The listening server: Hummingbird's accept loop around an `HTTPEdge`, with every bound set.
public struct HTTPServer: Sendable {
    /// Where the certificate chain and its private key are, both in PEM.
    public struct Certificate: Sendable {
        public let chainPath: String
        public let keyPath: String

        public init(chainPath: String, keyPath: String) {
            self.chainPath = chainPath
            self.keyPath = keyPath
        }

        /// TLS 1.2 and 1.3, with the ciphers that BoringSSL takes for good.
        fileprivate func configuration() throws(Unusable) -> TLSConfiguration {
            do {
                var configuration = TLSConfiguration.makeServerConfiguration(
                    certificateChain: try NIOSSLCertificate.fromPEMFile(chainPath).map { .certificate($0) },
                    privateKey: .privateKey(try NIOSSLPrivateKey(file: keyPath, format: .pem)))
                configuration.minimumTLSVersion = .tlsv12
                configuration.applicationProtocols = ["http/1.1"]
                return configuration
            } catch {
                throw Unusable(description: "\(chainPath) and \(keyPath) are no certificate chain and key in PEM: \(error)")
            }
        }

        /// Tells whoever starts the gateway what is wrong with the files.
        public struct Unusable: Error, CustomStringConvertible {
            public let description: String
        }
    }

    private let edge: HTTPEdge
    private let limits: EdgeLimits
    private let tls: TLSConfiguration?

    public init(edge: HTTPEdge, limits: EdgeLimits, certificate: Certificate? = nil) throws(Certificate.Unusable) {
        self.edge = edge
        self.limits = limits
        tls = try certificate?.configuration()
    }

    /// The service that listens until it is shut down gracefully: it stops accepting, and lets requests under way finish.
    public func service(
        host: String, port: Int, eventLoopGroup: any EventLoopGroup, logger: Logger,
        onListening: @escaping @Sendable (SocketAddress?) async -> Void
    ) throws -> any Service {
        let channel = EdgeChannel(edge: edge, limits: limits, counts: ConnectionCounts(most: limits.connectionsPerAddress))
        let configuration = ServerConfiguration(
            address: .hostname(host, port: port), backlog: 4096,
            availableConnectionsDelegate: MaximumAvailableConnections(limits.connections))
        func server(_ channel: some ServerChildChannel) -> any Service {
            channel.server(
                configuration: configuration, onServerRunning: { await onListening($0.localAddress) }, eventLoopGroup: eventLoopGroup,
                logger: logger)
        }
        guard let tls else { return server(channel) }
        return server(try TLSChannel(channel, tlsConfiguration: tls))
    }
}
