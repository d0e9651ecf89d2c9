import NIOCore
import NIOHTTP1

/// Has a client of HTTP/1.0 ask to close, as it does by saying nothing (RFC 9112 §9.3): its connection ends with the answer, whose end it
/// may know by nothing else. A `keep-alive` of that time is not honoured, which every such client has to expect (§C.2.2).
final class OlderVersions: ChannelInboundHandler {
    typealias InboundIn = HTTPServerRequestPart
    typealias InboundOut = HTTPServerRequestPart

    func channelRead(context: ChannelHandlerContext, data: NIOAny) {
        guard case .head(var head) = unwrapInboundIn(data), head.version != .http1_1 else { return context.fireChannelRead(data) }
        head.headers.add(name: "Connection", value: "close")
        context.fireChannelRead(wrapInboundOut(.head(head)))
    }
}
