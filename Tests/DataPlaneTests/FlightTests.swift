import Contract
import Synchronization
import TestSupport
import Testing

@testable import DataPlane

@Suite(.timeLimit(.minutes(1))) struct FlightTests {
    @Test func theFirstOutcomeReachesAllWhoWaitBeforeAndAfter() async throws {
        let flight = Flight<Int>()
        let waiters = (0..<100).map { _ in Task { try await flight.wait() } }
        flight.finish(.success(7))
        flight.finish(.success(8))
        flight.finish(.failure(.unexpected))
        for waiter in waiters { #expect(try await waiter.value == 7) }
        #expect(try await flight.wait() == 7)
    }

    @Test func aFailureReachesAllWhoWait() async throws {
        let flight = Flight<Int>()
        let waiters = (0..<10).map { _ in Task { try await flight.wait() } }
        flight.finish(.failure(.overloaded))
        for waiter in waiters { await #expect(throws: Problem.overloaded) { try await waiter.value } }
    }
}

@Suite(.timeLimit(.minutes(1))) struct PageCacheTests {
    @Test func manyMissesOfOneQueryAreOneLoad() async throws {
        let cache = PageCache<String, Int>(capacity: 100, lifetime: .seconds(60))
        let gate = Gate()
        let loads = Mutex(0)
        let load: @Sendable () async throws(Problem) -> Int = { () throws(Problem) in
            loads.withLock { $0 += 1 }
            await gate.pass()
            return 7
        }
        let callers = (0..<500).map { _ in Task { try await cache.value(for: "q", load: load) } }
        await gate.arrivals()
        gate.open()
        for caller in callers { #expect(try await caller.value.value == 7) }
        #expect(loads.withLock { $0 } == 1)
        let again = try await cache.value(for: "q", load: load)
        #expect(again.value == 7 && again.tier == .l1)
    }

    @Test func whatWasBeingLoadedWhenEverythingIsForgottenIsNotKept() async throws {
        let cache = PageCache<String, Int>(capacity: 100, lifetime: .seconds(60))
        let gate = Gate()
        let early = Task {
            try await cache.value(for: "q") { () throws(Problem) in
                await gate.pass()
                return 1
            }
        }
        await gate.arrivals()
        cache.removeAll()
        // Not joined to the load that began before, and not overwritten by it.
        #expect(try await cache.value(for: "q") { () throws(Problem) in 2 } == (2, .miss))
        gate.open()
        #expect(try await early.value.value == 1)
        #expect(try await cache.value(for: "q") { () throws(Problem) in 3 } == (2, .l1))
        cache.removeAll()
        #expect(try await cache.value(for: "q") { () throws(Problem) in 3 } == (3, .miss))
    }

    @Test func aFailureIsNotRemembered() async throws {
        let cache = PageCache<String, Int>(capacity: 100, lifetime: .seconds(60))
        await #expect(throws: Problem.overloaded) { _ = try await cache.value(for: "q") { () throws(Problem) in throw .overloaded } }
        #expect(try await cache.value(for: "q") { () throws(Problem) in 1 } == (1, .miss))
    }

    @Test func anAnswerOlderThanItsLifetimeIsAskedForAgain() async throws {
        let cache = PageCache<String, Int>(capacity: 100, lifetime: .zero)
        #expect(try await cache.value(for: "q") { () throws(Problem) in 1 } == (1, .miss))
        #expect(try await cache.value(for: "q") { () throws(Problem) in 2 } == (2, .miss))
    }

    @Test func noMoreAnswersAreKeptThanItsCapacity() async throws {
        let cache = PageCache<Int, Int>(capacity: 10, lifetime: .seconds(60))
        for number in 0..<100 { _ = try await cache.value(for: number) { () throws(Problem) in number } }
        var kept = 0
        for number in 0..<100 where try await cache.value(for: number, load: { () throws(Problem) in -1 }).tier == .l1 { kept += 1 }
        #expect(kept <= 10)
    }
}
