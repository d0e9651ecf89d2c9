import Contract
import Synchronization
import TestSupport
import Testing

@testable import DataPlane

/// What was written, write by write; the first waits at a gate.
private final class Writes: Sendable {
    private let batches = Mutex<[[Int]]>([])
    let gate = Gate()

    func group(_ limits: GroupCommit<Int>.Limits = .init(), refusing refused: @escaping @Sendable (Int) -> Problem? = { _ in nil })
        -> GroupCommit<Int>
    {
        GroupCommit(kind: "test", limits: limits, observer: Recorder()) { items throws(Problem) in
            await self.gate.pass()
            self.batches.withLock { $0.append(items) }
            for item in items {
                if let problem = refused(item) { throw problem }
            }
        }
    }

    var all: [[Int]] { batches.withLock { $0 } }
}

@Suite("Group commit", .timeLimit(.minutes(1)))
struct GroupCommitTests {
    @Test("An idle group writes at once, and each write holds what came before it began")
    func idle() async throws {
        let writes = Writes()
        writes.gate.open()
        let group = writes.group()
        for item in 1...3 { try await group.add(item) }
        #expect(writes.all == [[1], [2], [3]])
    }

    @Test("What is added during a write leaves together, in batches of the bound, and all of it is written")
    func together() async throws {
        let writes = Writes()
        let group = writes.group(.init(batch: 40))
        try await withThrowingTaskGroup(of: Void.self) { tasks in
            tasks.addTask { try await group.add(0) }
            await writes.gate.arrivals()
            for item in 1...100 { tasks.addTask { try await group.add(item) } }
            #expect(await eventually { group.waiting == 100 })
            writes.gate.open()
            try await tasks.waitForAll()
        }
        #expect(writes.all.map(\.count) == [1, 40, 40, 20])
        #expect(writes.all.flatMap { $0 }.sorted() == Array(0...100))
    }

    @Test("One item beyond the bound is refused at once; those that wait are written")
    func bounded() async throws {
        let writes = Writes()
        let group = writes.group(.init(waiting: 2))
        try await withThrowingTaskGroup(of: Void.self) { tasks in
            tasks.addTask { try await group.add(0) }
            await writes.gate.arrivals()
            for item in 1...2 { tasks.addTask { try await group.add(item) } }
            #expect(await eventually { group.waiting == 2 })
            let refused = await #expect(throws: Problem.self) { try await group.add(3) }
            #expect(refused?.code == .overloaded)
            writes.gate.open()
            try await tasks.waitForAll()
        }
        #expect(writes.all.flatMap { $0 }.sorted() == [0, 1, 2])
    }

    @Test("An item that the store refuses is the only one to suffer")
    func atFault() async throws {
        let writes = Writes()
        let group = writes.group { $0 == 13 ? .unexpected : nil }
        let failed = await withTaskGroup(of: Int?.self) { tasks in
            for item in 0...20 {
                tasks.addTask {
                    do { try await group.add(item) } catch { return item }
                    return nil
                }
                if item == 0 { await writes.gate.arrivals() }
            }
            #expect(await eventually { group.waiting == 20 })
            writes.gate.open()
            return await tasks.reduce(into: [Int]()) { if let item = $1 { $0.append(item) } }
        }
        #expect(failed == [13])
    }

    @Test("An outage fails everybody at once, and is tried once")
    func outage() async throws {
        let writes = Writes()
        let group = writes.group { _ in .unavailable(.postgres) }
        await withTaskGroup(of: Void.self) { tasks in
            tasks.addTask { try? await group.add(0) }
            await writes.gate.arrivals()
            for item in 1...20 {
                tasks.addTask {
                    let problem = await #expect(throws: Problem.self) { try await group.add(item) }
                    #expect(problem?.code == .storeUnavailable)
                }
            }
            #expect(await eventually { group.waiting == 20 })
            writes.gate.open()
        }
        #expect(writes.all.count == 2)
    }

    @Test("Who has waited too long is refused and not written; the group goes on")
    func impatient() async throws {
        let writes = Writes()
        let group = writes.group(.init(patience: .zero))
        await withTaskGroup(of: Void.self) { tasks in
            tasks.addTask {
                let problem = await #expect(throws: Problem.self) { try await group.add(1) }
                #expect(problem?.code == .overloaded)
            }
        }
        #expect(writes.all.isEmpty)
        #expect(group.waiting == 0)
    }
}
