import Glibc
import Synchronization
import Testing

@testable import Reactor

@Suite struct ReactorTests {
    /// An actor on a reactor, as the clients' are.
    private actor Resident {
        nonisolated let reactor: Reactor
        nonisolated var unownedExecutor: UnownedSerialExecutor { reactor.asUnownedSerialExecutor() }
        var log: [Int] = []

        init(_ reactor: Reactor) { self.reactor = reactor }

        func note(_ number: Int) { log.append(number) }

        func threadID() -> UInt { UInt(pthread_self()) }

        func schedule(after delay: Duration, _ body: @escaping @Sendable () -> Void) -> Reactor.Timer {
            reactor.schedule(at: .now + delay, body)
        }

        /// Schedules all at once, each after as many milliseconds from `start`.
        func schedule(after milliseconds: [Int], from start: ContinuousClock.Instant, _ body: @escaping @Sendable (Int) -> Void) {
            for delay in milliseconds { reactor.schedule(at: start + .milliseconds(delay)) { body(delay) } }
        }

        func cancel(_ timer: Reactor.Timer) { reactor.cancel(timer) }

        func watch(_ descriptor: Int32, _ body: @escaping @Sendable (Reactor.Readiness) -> Void) {
            reactor.watch(descriptor, read: true, write: false, body)
        }

        func unwatch(_ descriptor: Int32) { reactor.unwatch(descriptor) }

        var waitingTimers: Int { reactor.waitingTimers }
    }

    private func withReactor(_ body: (Reactor, Resident) async throws -> Void) async throws {
        let reactor = Reactor(name: "test-reactor")
        defer { reactor.shutdown() }
        try await body(reactor, Resident(reactor))
    }

    @Test func callsRunInTheOrderInWhichOneThreadHandedThemOver() async throws {
        try await withReactor { reactor, resident in
            for number in 0..<10_000 { reactor.perform { resident.assumeIsolated { $0.note(number) } } }
            #expect(await resident.log == Array(0..<10_000))
        }
    }

    @Test func everyJobRunsOnTheOneThread() async throws {
        try await withReactor { _, resident in
            let thread = await resident.threadID()
            await withTaskGroup(of: UInt.self) { group in
                for _ in 0..<100 { group.addTask { await resident.threadID() } }
                for await other in group { #expect(other == thread) }
            }
            #expect(thread != UInt(pthread_self()))
        }
    }

    @Test func timersRunInOrderAndNotBeforeTheirDeadline() async throws {
        try await withReactor { _, resident in
            let begun = ContinuousClock.now
            let fired = AsyncStream<Int>.makeStream()
            await resident.schedule(after: [30, 10, 20], from: begun) { milliseconds in
                #expect(begun.duration(to: .now) >= .milliseconds(milliseconds))
                fired.continuation.yield(milliseconds)
            }
            var order: [Int] = []
            for await milliseconds in fired.stream {
                order.append(milliseconds)
                if order.count == 3 { break }
            }
            #expect(order == [10, 20, 30])
        }
    }

    @Test func aCancelledTimerDoesNotRun() async throws {
        try await withReactor { _, resident in
            let fired = AsyncStream<String>.makeStream()
            let timer = await resident.schedule(after: .seconds(2)) { fired.continuation.yield("cancelled") }
            await resident.cancel(timer)
            _ = await resident.schedule(after: .seconds(2)) { fired.continuation.yield("kept") }
            #expect(await fired.stream.first { _ in true } == "kept")
        }
    }

    @Test func cancelledTimersDoNotPileUp() async throws {
        try await withReactor { _, resident in
            for _ in 0..<10_000 { await resident.cancel(resident.schedule(after: .seconds(3600)) {}) }
            #expect(await resident.waitingTimers < 200)
        }
    }

    @Test func theFarthestDeadlineIsNoTrouble() async throws {
        try await withReactor { _, resident in
            _ = await resident.schedule(after: .seconds(Int64.max / 4)) {}
            #expect(await resident.threadID() != 0)
        }
    }

    @Test func aWatchedDescriptorTellsWhenItIsReadyUntilItIsUnwatched() async throws {
        try await withReactor { _, resident in
            var ends: [Int32] = [-1, -1]
            try #require(pipe(&ends) == 0)
            let (reader, writer) = (ends[0], ends[1])
            defer { for end in [reader, writer] { close(end) } }
            let heard = AsyncStream<UInt8>.makeStream()
            await resident.watch(reader) { readiness in
                var byte: UInt8 = 0
                if readiness.canRead, read(reader, &byte, 1) == 1 { heard.continuation.yield(byte) }
            }
            var bytes = heard.stream.makeAsyncIterator()
            for byte in 1...3 as ClosedRange<UInt8> {
                #expect(write(writer, [byte], 1) == 1)
                #expect(await bytes.next() == byte)
            }
            await resident.unwatch(reader)
            #expect(write(writer, [9], 1) == 1)
            // Another turn of the reactor, in which it would have been told.
            let turned = AsyncStream<Bool>.makeStream()
            _ = await resident.schedule(after: .milliseconds(5)) { turned.continuation.yield(true) }
            _ = await turned.stream.first { _ in true }
            heard.continuation.finish()
            #expect(await bytes.next() == nil)
        }
    }

    @Test func whatIsHandedOverAfterShutdownStillRunsOneAtATime() async throws {
        let reactor = Reactor(name: "test-reactor")
        let resident = Resident(reactor)
        await resident.note(0)
        reactor.shutdown()
        await withTaskGroup(of: Void.self) { group in
            for number in 1...1000 { group.addTask { await resident.note(number) } }
        }
        #expect(await resident.log.sorted() == Array(0...1000))
    }
}
