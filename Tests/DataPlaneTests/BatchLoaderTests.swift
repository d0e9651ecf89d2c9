import Contract
import Synchronization
import TestSupport
import Testing

@testable import DataPlane

/// What a loader was asked for, batch by batch.
private final class Loads: Sendable {
    private let batches = Mutex<[[EntityID]]>([])
    private let running = Mutex((now: 0, most: 0))

    func begin(_ ids: [EntityID]) -> Int {
        running.withLock { running in
            running.now += 1
            running.most = max(running.most, running.now)
        }
        return batches.withLock { batches in
            batches.append(ids)
            return batches.count
        }
    }

    func end() { running.withLock { $0.now -= 1 } }

    var all: [[EntityID]] { batches.withLock { $0 } }
    var most: Int { running.withLock { $0.most } }
}

@Suite(.timeLimit(.minutes(1))) struct BatchLoaderTests {
    private static func id(_ number: Int) -> EntityID { EntityID(rawValue: UInt128(number)) }

    /// A loader whose first look-up waits at `gate`; ids divisible by 7 have no value.
    private static func loader(
        _ limits: BatchLoader<EntityID, UInt128>.Limits, _ loads: Loads, _ gate: Gate
    ) -> BatchLoader<EntityID, UInt128> {
        BatchLoader(kind: "test", limits: limits, observer: Recorder()) { ids throws(Problem) in
            let number = loads.begin(ids)
            if number == 1 { await gate.pass() }
            loads.end()
            return Dictionary(uniqueKeysWithValues: ids.filter { $0.rawValue % 7 != 0 }.map { ($0, $0.rawValue * 2) })
        }
    }

    @Test func anIdleLoaderAsksAtOnce() async throws {
        let (loads, gate) = (Loads(), Gate())
        gate.open()
        let loader = Self.loader(.init(), loads, gate)
        #expect(try await loader.value(for: Self.id(3)) == 6)
        #expect(try await loader.value(for: Self.id(7)) == nil)
        #expect(try await loader.values(for: []) == [])
        #expect(loads.all == [[Self.id(3)], [Self.id(7)]])
    }

    @Test func whatIsAskedForDuringALookUpLeavesTogetherAndOnce() async throws {
        let (loads, gate) = (Loads(), Gate())
        let loader = Self.loader(.init(), loads, gate)
        let first = Task { try await loader.value(for: Self.id(1)) }
        await gate.arrivals()
        let others = (0..<40).map { number in
            Task { try await loader.values(for: [Self.id(number % 5 + 1), Self.id(7), Self.id(number % 5 + 1)]) }
        }
        #expect(await eventually { loader.waiting == 120 })
        gate.open()
        #expect(try await first.value == 2)
        for (number, other) in others.enumerated() {
            let value = UInt128(number % 5 + 1) * 2
            #expect(try await other.value == [value, nil, value])
        }
        #expect(loads.all.dropFirst().map { Set($0) } == [Set([1, 2, 3, 4, 5, 7].map(Self.id))])
        #expect(loads.all.last?.count == 6)
    }

    @Test func batchesAndLookUpsUnderWayStayWithinTheirBounds() async throws {
        let (loads, gate) = (Loads(), Gate())
        let loader = Self.loader(.init(inFlight: 2, batch: 10, waiting: 1000), loads, gate)
        let callers = (1...200).map { number in Task { try await loader.value(for: Self.id(number)) } }
        gate.open()
        for (index, caller) in callers.enumerated() {
            #expect(try await caller.value == ((index + 1) % 7 == 0 ? nil : UInt128(index + 1) * 2))
        }
        #expect(loads.most <= 2)
        #expect(loads.all.allSatisfy { $0.count <= 10 })
        #expect(loads.all.reduce(0) { $0 + $1.count } == 200)
    }

    @Test func aRequestLargerThanABatchGoesWhole() async throws {
        let (loads, gate) = (Loads(), Gate())
        gate.open()
        let loader = Self.loader(.init(batch: 10), loads, gate)
        let ids = (1...25).map(Self.id)
        #expect(try await loader.values(for: ids).count == 25)
        #expect(loads.all == [ids])
    }

    @Test func oneMoreThanMayWaitIsRefusedAtOnce() async throws {
        let (loads, gate) = (Loads(), Gate())
        let loader = Self.loader(.init(waiting: 3), loads, gate)
        let first = Task { try await loader.value(for: Self.id(1)) }
        await gate.arrivals()
        let waiting = Task { try await loader.values(for: [Self.id(2), Self.id(3), Self.id(4)]) }
        #expect(await eventually { loader.waiting == 3 })
        await #expect(throws: Problem.overloaded) { try await loader.value(for: Self.id(5)) }
        gate.open()
        #expect(try await first.value == 2)
        #expect(try await waiting.value == [4, 6, 8])
        #expect(try await loader.value(for: Self.id(5)) == 10)
    }

    @Test(arguments: [Problem.unavailable(.mongo), .unexpected(cause: RequestID(rawValue: 0xCA))])
    func aFailureReachesAllWhoWaitForItWithItsCauseAndNobodyAfter(_ problem: Problem) async throws {
        let gate = Gate()
        let calls = Mutex(0)
        let loader = BatchLoader<EntityID, Int>(kind: "test", observer: Recorder()) { ids throws(Problem) in
            let call = calls.withLock { calls in
                calls += 1
                return calls
            }
            if call == 1 { await gate.pass() }
            if call == 2 { throw problem }
            return Dictionary(uniqueKeysWithValues: ids.map { ($0, 1) })
        }
        let first = Task { try await loader.value(for: Self.id(1)) }
        await gate.arrivals()
        let failing = (0..<20).map { number in Task { try await loader.value(for: Self.id(number)) } }
        #expect(await eventually { loader.waiting == 20 })
        gate.open()
        #expect(try await first.value == 1)
        for task in failing {
            let thrown = await #expect(throws: problem) { try await task.value }
            // The log entry that says why is found from the entry of each request.
            #expect(thrown?.cause == problem.cause)
        }
        #expect(try await loader.value(for: Self.id(2)) == 1)
    }

    @Test func tenThousandCallersAtOnceAllGetTheirOwn() async throws {
        let (loads, gate) = (Loads(), Gate())
        let loader = Self.loader(.init(waiting: 20_000), loads, gate)
        try await withThrowingTaskGroup(of: Void.self) { group in
            for number in 0..<10_000 {
                group.addTask {
                    let value = try await loader.value(for: Self.id(number % 977))
                    #expect(value == (number % 977 % 7 == 0 ? nil : UInt128(number % 977) * 2))
                }
            }
            gate.open()
            try await group.waitForAll()
        }
        #expect(loads.most == 1)
        #expect(loads.all.allSatisfy { $0.count <= 128 && Set($0).count == $0.count })
    }

    @Test func batchesAreObservedUnderTheLoadersName() async throws {
        let recorder = Recorder()
        let loader = BatchLoader<EntityID, Int>(kind: "beat_core", observer: recorder) { _ throws(Problem) in [:] }
        _ = try await loader.values(for: [Self.id(1), Self.id(2)])
        #expect(recorder.count { if case .batch("beat_core", 2, _) = $0 { true } else { false } } == 1)
    }
}
