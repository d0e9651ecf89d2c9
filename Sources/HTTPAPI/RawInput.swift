import NIOCore

/// Stands before the decoder, and lets it keep no more than it can need.
///
/// The decoder reads nothing after a CONNECT or a request that offers another protocol, but keeps what comes. Of bytes that became no part
/// of a request only so many are passed on. What comes after them is dropped for good, so that the client gets its answer, and counted like
/// a body that nobody asked for, so that this ends.
final class RawInput: ChannelInboundHandler {
    typealias InboundIn = ByteBuffer
    typealias InboundOut = ByteBuffer

    private let mostUndecoded: Int
    private let mostUnwanted: Int
    private var undecoded = 0

    init(_ limits: EdgeLimits) {
        // A header has some signs besides what `headerList` counts; nothing else that is whole has more bytes.
        mostUndecoded = 2 * limits.headerList
        mostUnwanted = max(limits.unwantedBody, mostUndecoded)
    }

    /// Says that a part of a request has been read.
    func decoded() { undecoded = 0 }

    func channelRead(context: ChannelHandlerContext, data: NIOAny) {
        let isWanted = undecoded <= mostUndecoded
        undecoded += unwrapInboundIn(data).readableBytes
        // While the decoder reads this, `decoded` may be called.
        if isWanted { return context.fireChannelRead(data) }
        if undecoded > mostUnwanted { context.close(promise: nil) }
    }
}
