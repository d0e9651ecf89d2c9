import Contract
import HTTPTypes
import HummingbirdCore
import Logging
import NIOCore
import NIOHTTP1
import NIOHTTPTypes
import NIOHTTPTypesHTTP1

/// One HTTP/1.1 connection: the handlers of its channel, and the loop that answers in order what `ImmediateAnswers` leaves to it.
struct EdgeChannel: ServerChildChannel {
    typealias Stream = NIOAsyncChannel<RequestPart, HTTPResponsePart>

    struct Value: ServerChildChannelValue {
        let stream: Stream
        let connection: Connection

        var channel: any Channel { stream.channel }
    }

    /// An address has as many connections as it may have.
    struct TooManyConnections: Error {}

    let edge: HTTPEdge
    let limits: EdgeLimits
    let counts: ConnectionCounts

    func setup(channel: any Channel, logger: Logger) -> EventLoopFuture<Value> {
        let connection = Connection(peer: ClientAddress(channel.remoteAddress))
        if !edge.trust.isProxy(connection.peer) {
            guard counts.open(connection.peer) else {
                channel.close(promise: nil)
                return channel.eventLoop.makeFailedFuture(TooManyConnections())
            }
            channel.closeFuture.whenComplete { _ in counts.close(connection.peer) }
        }
        return channel.eventLoop.makeCompletedFuture {
            var decoder = NIOHTTPDecoderLimitConfiguration()
            decoder.maxHeaderFieldSize = limits.headerField
            decoder.maxHeaderListSize = limits.headerList
            decoder.maxHeaderFieldCount = limits.headerCount
            let pipeline = channel.pipeline.syncOperations
            let input = RawInput(limits)
            try pipeline.addHandler(input)
            // What is no HTTP is answered below, after the requests before it. HTTPFields has validated what goes out.
            try pipeline.configureHTTPServerPipeline(
                withPipeliningAssistance: false, withErrorHandling: false, withOutboundHeaderValidation: false,
                withEncoderConfiguration: .init(), withDecoderLimitConfiguration: decoder)
            let answers = ImmediateAnswers(edge, connection)
            try pipeline.addHandlers(
                OlderVersions(), HTTP1ToHTTPServerCodec(secure: edge.trust.isSecure),
                ConnectionGuard(input, limits: limits) { answers.lateAnswer() }, answers)
            return Value(
                stream: try NIOAsyncChannel(
                    wrappingChannelSynchronously: channel, configuration: .init(isOutboundHalfClosureEnabled: true)),
                connection: connection)
        }
    }

    func handle(value: Value, logger: Logger) async {
        await value.connection.run {
            do { try await serve(value) } catch {
                // The other end has gone; there is nobody to tell.
                logger.trace("connection lost", metadata: ["error": "\(error)"])
            }
        }
    }

    private func serve(_ value: Value) async throws {
        try await value.stream.executeThenClose { inbound, outbound in
            var parts = RequestParts(inbound)
            do {
                while let head = try await parts.nextHead() {
                    guard try await edge.respond(to: head, &parts, outbound, on: value.connection) else {
                        return try await part(from: value.channel, &parts)
                    }
                }
            } catch is HTTPParserError, is HTTP1TypeConversionError {
                try await outbound.write(contentsOf: [
                    .head(HTTPResponse(status: .badRequest, headerFields: [.connection: "close", .contentLength: "0"])), .end(nil),
                ])
            }
            guard !Task.isCancelled else { return }
            outbound.finish()
            try await value.channel.closeFuture.get()
        }
    }

    /// Says that no more comes once the answer is out, and then leaves it to the client to close (RFC 9112 §9.6): a server that closes
    /// at once drops what the network has not taken yet, and with bytes of a body unread the system resets the connection, so that the
    /// client may never see the answer. `ConnectionGuard` bounds the rest of the body and the wait.
    private func part(from channel: any Channel, _ parts: inout RequestParts) async throws {
        channel.close(mode: .output, promise: nil)
        while try await parts.nextBytes() != nil {}
        try await channel.closeFuture.get()
    }
}
