import Testing

@testable import RedisClient

@Suite struct EventBufferTests {
    private func message(_ number: Int, bytes: Int = 1) -> RedisSubscription.Event {
        .message(channel: "c", payload: [UInt8](repeating: UInt8(truncatingIfNeeded: number), count: bytes))
    }

    private func drain(_ buffer: inout EventBuffer) -> [RedisSubscription.Event] {
        var events: [RedisSubscription.Event] = []
        while let event = buffer.popFirst() { events.append(event) }
        return events
    }

    @Test func eventsComeInOrder() {
        var buffer = EventBuffer(limit: 10, bytes: 1000)
        let fit = (0..<10).map { buffer.append(message($0)) }
        #expect(fit.allSatisfy { $0 })
        #expect(drain(&buffer) == (0..<10).map { message($0) })
    }

    @Test func tooManyEventsBecomeAGapAfterWhichAllIsHeardAgain() {
        var buffer = EventBuffer(limit: 3, bytes: 1000)
        let fit = (0..<5).map { buffer.append(message($0)) }
        #expect(fit == [true, true, true, false, true])
        #expect(drain(&buffer) == [.gap, .subscribed, message(4)])
    }

    @Test func tooManyBytesBecomeAGap() {
        var buffer = EventBuffer(limit: 100, bytes: 1000)
        let fit = (0..<2).map { buffer.append(message($0, bytes: 600)) }
        #expect(fit == [true, false])
        #expect(drain(&buffer) == [.gap, .subscribed])
    }

    @Test func whatWasTakenMakesRoom() {
        var buffer = EventBuffer(limit: 2, bytes: 1000)
        for number in 0..<100 {
            let fits = buffer.append(message(number, bytes: 600))
            #expect(fits && buffer.popFirst() == message(number, bytes: 600))
        }
    }

    @Test func aQueueThatNeverRunsEmptyStaysSmallAndKeepsItsOrder() {
        var queue = Queue<Int>()
        for number in 0..<100 { queue.append(number) }
        for number in 100..<50_000 {
            queue.append(number)
            #expect(queue.popFirst() == number - 100)
        }
        #expect(queue.count == 100 && queue.first == 49_900)
    }

    @Test func aListenerIsWokenAndTheEndIsTheEnd() async {
        let mailbox = Mailbox(limit: 10, bytes: 1000)
        async let first = mailbox.next()
        #expect(mailbox.put(.subscribed))
        #expect(await first == .subscribed)
        #expect(mailbox.put(.gap))
        mailbox.end()
        #expect(mailbox.put(.subscribed))
        #expect(await mailbox.next() == .gap)
        #expect(await mailbox.next() == nil)
    }

    @Test func aCancelledListenerGetsTheEnd() async {
        let mailbox = Mailbox(limit: 10, bytes: 1000)
        let listener = Task { await mailbox.next() }
        listener.cancel()
        #expect(await listener.value == nil)
    }
}
