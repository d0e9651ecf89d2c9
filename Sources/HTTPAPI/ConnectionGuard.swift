import NIOCore
import NIOHTTPTypes

/// Closes a connection whose reader has stopped reading an answer, or whose body comes in drop by drop or without end.
///
/// It costs nothing while a client keeps up: a timer runs only while the outbound buffer is over its mark or a body is unfinished.
final class ConnectionGuard: ChannelDuplexHandler, RemovableChannelHandler {
    typealias InboundIn = HTTPRequestPart
    typealias InboundOut = HTTPRequestPart
    typealias OutboundIn = HTTPResponsePart
    typealias OutboundOut = HTTPResponsePart

    private let patience: TimeAmount
    private let unwantedBody: Int
    private var bodyBytes = 0
    private var stalledWrite: Scheduled<Void>?
    private var unfinishedBody: Scheduled<Void>?

    init(patience: TimeAmount, unwantedBody: Int) {
        self.patience = patience
        self.unwantedBody = unwantedBody
    }

    func channelRead(context: ChannelHandlerContext, data: NIOAny) {
        switch unwrapInboundIn(data) {
        case .head: bodyBytes = 0
        case .body(let part):
            if unfinishedBody == nil { unfinishedBody = closeLater(context) }
            bodyBytes += part.readableBytes
            if bodyBytes > unwantedBody { return context.close(promise: nil) }
        case .end:
            unfinishedBody?.cancel()
            unfinishedBody = nil
        }
        context.fireChannelRead(data)
    }

    func channelWritabilityChanged(context: ChannelHandlerContext) {
        stalledWrite?.cancel()
        stalledWrite = context.channel.isWritable ? nil : closeLater(context)
        context.fireChannelWritabilityChanged()
    }

    func channelInactive(context: ChannelHandlerContext) {
        stalledWrite?.cancel()
        unfinishedBody?.cancel()
        context.fireChannelInactive()
    }

    private func closeLater(_ context: ChannelHandlerContext) -> Scheduled<Void> {
        context.eventLoop.assumeIsolated().scheduleTask(in: patience) { context.close(promise: nil) }
    }
}
