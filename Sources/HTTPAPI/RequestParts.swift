import HTTPTypes
import NIOCore

/// What a connection's task gets to read of its requests.
enum RequestPart: Sendable {
    indirect case head(Exchange)
    /// The header of a request that has been let in on the event loop already.
    indirect case admitted(Exchange, Admission)
    case body(ByteBuffer)
    case end
}

/// The requests of one connection, one after the other, each read as far as somebody wants.
struct RequestParts {
    private var iterator: NIOAsyncChannelInboundStream<RequestPart>.AsyncIterator
    /// Whether more may come of the request whose header came last.
    private(set) var isUnfinished = false

    init(_ stream: NIOAsyncChannelInboundStream<RequestPart>) { iterator = stream.makeAsyncIterator() }

    /// The next request's header, past what nobody read of the one before; nil where the client sends no more.
    mutating func nextHead() async throws -> RequestPart? {
        while let part = try await iterator.next() {
            switch part {
            case .head, .admitted:
                isUnfinished = true
                return part
            case .body, .end: break
            }
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
