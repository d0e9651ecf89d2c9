import Contract
import HTTPTypes
import NIOCore
import NIOHTTPTypes

/// Answers on the event loop what needs no waiting, and hands every other request to the connection's task.
///
/// Answers leave in the order of their requests: as long as the task has one, what follows is the task's too. So are requests with a body,
/// the last one of a connection, from which the task parts in due form, and whatever comes while the client does not read: the task waits
/// until it does, and meanwhile nothing more is read than the task's stream has room for.
final class ImmediateAnswers: ChannelDuplexHandler {
    typealias InboundIn = HTTPRequestPart
    typealias InboundOut = RequestPart
    typealias OutboundIn = HTTPResponsePart
    typealias OutboundOut = HTTPResponsePart

    private let edge: HTTPEdge
    private let connection: Connection
    /// Requests that the task has and whose answers it has not written, in their order. Room for one at first: sixteen, which is what the
    /// buffer takes by itself, are 10 KB a connection.
    private var handedOn = CircularBuffer<Exchange>(initialCapacity: 1)
    /// A request that may be answered here once its end is there.
    private var pending: Exchange?
    private var isUnflushed = false
    private var answers = 0

    init(_ edge: HTTPEdge, _ connection: Connection) {
        self.edge = edge
        self.connection = connection
    }

    func handlerRemoved(context: ChannelHandlerContext) { edge.traffic.end(answeredAtOnce: answers, unanswered: handedOn.count) }

    // MARK: What comes

    func channelRead(context: ChannelHandlerContext, data: NIOAny) {
        switch unwrapInboundIn(data) {
        case .head(let head):
            let exchange = Exchange(head)
            let isOthers = !handedOn.isEmpty || connection.isParting || !context.channel.isWritable
            if isOthers || exchange.fields.hasBody || edge.isLast(exchange) {
                handOn(.head(exchange), exchange, context)
            } else {
                pending = exchange
            }
        case .body(let bytes): context.fireChannelRead(wrapInboundOut(.body(bytes)))
        case .end:
            guard var exchange = pending.take() else { return context.fireChannelRead(wrapInboundOut(.end)) }
            switch edge.open(&exchange, from: connection.peer) {
            case .answered(let reply): write(edge.conclude(&exchange, with: reply), context)
            case .waiting(let admission):
                handOn(.admitted(exchange, admission), exchange, context)
                context.fireChannelRead(wrapInboundOut(.end))
            }
        }
    }

    private func handOn(_ part: RequestPart, _ exchange: Exchange, _ context: ChannelHandlerContext) {
        handedOn.append(exchange)
        context.fireChannelRead(wrapInboundOut(part))
    }

    /// What was answered of one burst of requests leaves together.
    func channelReadComplete(context: ChannelHandlerContext) {
        if isUnflushed {
            isUnflushed = false
            context.flush()
        }
        context.fireChannelReadComplete()
    }

    /// What comes after something that is no HTTP is not answered.
    func errorCaught(context: ChannelHandlerContext, error: any Error) {
        connection.part()
        context.fireErrorCaught(error)
    }

    // MARK: What goes

    private func write(_ answer: (HTTPResponse, ByteBuffer?), _ context: ChannelHandlerContext) {
        let (response, body) = answer
        context.write(wrapOutboundOut(.head(response)), promise: nil)
        if let body { context.write(wrapOutboundOut(.body(body)), promise: nil) }
        context.write(wrapOutboundOut(.end(nil)), promise: nil)
        isUnflushed = true
        answers += 1
    }

    func write(context: ChannelHandlerContext, data: NIOAny, promise: EventLoopPromise<Void>?) {
        // What is no HTTP is answered by the task without having been handed on.
        if case .end = unwrapOutboundIn(data), !handedOn.isEmpty { handedOn.removeFirst() }
        context.write(data, promise: promise)
    }

    /// Gives up the oldest request that is due, and answers what goes out in its place. One that its task has not begun is told of here:
    /// nobody else will.
    func lateAnswer() -> (HTTPResponse, ByteBuffer) {
        guard let exchange = handedOn.first ?? pending else { return edge.lateAnswer(to: RequestID()) }
        if !connection.giveUp(exchange.id) { edge.concludeLate(exchange) }
        return edge.lateAnswer(to: exchange.id)
    }
}
