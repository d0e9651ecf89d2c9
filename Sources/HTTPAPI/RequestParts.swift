import HTTPTypes
import NIOCore
import NIOHTTPTypes

/// The requests of one connection, one after the other, each read as far as somebody wants.
struct RequestParts {
    private var iterator: NIOAsyncChannelInboundStream<HTTPRequestPart>.AsyncIterator
    /// Whether more may come of the request whose header came last.
    private(set) var isUnfinished = false

    init(_ stream: NIOAsyncChannelInboundStream<HTTPRequestPart>) { iterator = stream.makeAsyncIterator() }

    /// The next request's header, past what nobody read of the one before; nil where the client sends no more.
    mutating func nextHead() async throws -> HTTPRequest? {
        while let part = try await iterator.next() {
            guard case .head(let head) = part else { continue }
            isUnfinished = true
            return head
        }
        return nil
    }

    /// The next bytes of the body; nil at its end.
    mutating func nextBytes() async throws -> ByteBuffer? {
        guard isUnfinished else { return nil }
        if case .body(let bytes)? = try await iterator.next() { return bytes }
        isUnfinished = false
        return nil
    }
}
