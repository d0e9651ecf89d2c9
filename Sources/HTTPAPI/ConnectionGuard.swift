import Contract
import HTTPTypes
import NIOCore
import NIOHTTPTypes

/// Ends what takes too long on one connection: silence, a body that drips or does not end, a handler, a reader that has stopped.
///
/// A request that is late is answered here, past its handler, which is cancelled: the answer does not depend on its listening.
/// One timer runs for each connection, and it is set anew only when it fires or something nearer is due.
final class ConnectionGuard: ChannelDuplexHandler {
    typealias InboundIn = HTTPRequestPart
    typealias InboundOut = HTTPRequestPart
    typealias OutboundIn = HTTPResponsePart
    typealias OutboundOut = HTTPResponsePart

    private let input: RawInput
    private let unwantedBody: Int64
    private let lateAnswer: () -> (HTTPResponse, ByteBuffer)
    private var clock: ConnectionClock
    private var timer: (deadline: NIODeadline, task: Scheduled<Void>)?
    private var isLate = false
    private var isQuiescing = false

    /// `lateAnswer` gives up the oldest request that is due, and says what goes out in place of its answer.
    init(_ input: RawInput, limits: EdgeLimits, lateAnswer: @escaping () -> (HTTPResponse, ByteBuffer)) {
        self.input = input
        self.lateAnswer = lateAnswer
        unwantedBody = Int64(limits.unwantedBody)
        clock = ConnectionClock(limits, at: .now())
    }

    func handlerAdded(context: ChannelHandlerContext) { setTimer(context) }

    func handlerRemoved(context: ChannelHandlerContext) { timer?.task.cancel() }

    // MARK: What comes

    func channelRead(context: ChannelHandlerContext, data: NIOAny) {
        input.decoded()
        switch unwrapInboundIn(data) {
        case .head:
            clock.head(at: .now())
            if let timer, clock.next.deadline < timer.deadline { setTimer(context) }
        case .body(let part):
            clock.body(part.readableBytes)
            if clock.bodyBytes > unwantedBody { return context.close(promise: nil) }
        case .end: clock.end()
        }
        context.fireChannelRead(data)
    }

    func channelReadComplete(context: ChannelHandlerContext) {
        if clock.isReading { setTimer(context) }
        context.fireChannelReadComplete()
    }

    func channelInactive(context: ChannelHandlerContext) {
        timer?.task.cancel()
        context.fireChannelInactive()
    }

    func userInboundEventTriggered(context: ChannelHandlerContext, event: Any) {
        if event is ChannelShouldQuiesceEvent {
            isQuiescing = true
            if clock.due == 0 { context.close(promise: nil) }
        }
        context.fireUserInboundEventTriggered(event)
    }

    // MARK: What goes

    func write(context: ChannelHandlerContext, data: NIOAny, promise: EventLoopPromise<Void>?) {
        guard !isLate else {
            promise?.fail(ChannelError.ioOnClosedChannel)
            return
        }
        guard case .end = unwrapOutboundIn(data) else { return context.write(data, promise: promise) }
        clock.answered(at: .now())
        guard isQuiescing, clock.due == 0 else { return context.write(data, promise: promise) }
        context.writeAndFlush(data, promise: promise)
        context.close(mode: .output, promise: nil)
    }

    func channelWritabilityChanged(context: ChannelHandlerContext) {
        clock.writable(context.channel.isWritable, at: .now())
        setTimer(context)
        context.fireChannelWritabilityChanged()
    }

    // MARK: What takes too long

    /// Runs the timer no later than something is due.
    private func setTimer(_ context: ChannelHandlerContext) {
        let deadline = clock.next.deadline
        if let timer {
            guard deadline < timer.deadline else { return }
            timer.task.cancel()
        }
        let task = context.eventLoop.assumeIsolated().scheduleTask(deadline: deadline) { self.fire(context) }
        timer = (deadline, task)
    }

    private func fire(_ context: ChannelHandlerContext) {
        timer = nil
        switch clock.verdict(at: .now()) {
        case .wait: setTimer(context)
        case .close: context.close(promise: nil)
        case .late: answerLate(context)
        }
    }

    private func answerLate(_ context: ChannelHandlerContext) {
        isLate = true
        clock.late(at: .now())
        setTimer(context)
        let (head, body) = lateAnswer()
        context.write(wrapOutboundOut(.head(head)), promise: nil)
        context.write(wrapOutboundOut(.body(body)), promise: nil)
        context.writeAndFlush(wrapOutboundOut(.end(nil)), promise: nil)
        context.close(mode: .output, promise: nil)
    }
}
