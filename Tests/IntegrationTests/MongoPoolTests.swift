import MongoClient
import Testing

@Suite(.enabled(if: MongoTestServer.isThere)) struct MongoPoolTests {
    @Test func aThousandCallersOnTwoThreadsAllGetTheirOwnAnswer() async throws {
        try await withMongo { client in
            try await client.run(deadline: soon) { try $0.insertMany("c", (0..<1000).map { ["_id": .int64($0), "n": .int64($0 * 2)] }) }
            let answers = try await withThrowingTaskGroup(of: (Int64, Int64?).self) { group in
                for number in Int64(0)..<1000 {
                    group.addTask {
                        let found = try await client.run(deadline: soon) { try $0.findOne("c", ["_id": .int64(number)]) }
                        return (number, found?.withView { $0.int64OrNil("n") })
                    }
                }
                return try await group.reduce(into: [:]) { $0[$1.0] = $1.1 }
            }
            #expect(answers.count == 1000)
            #expect(answers.allSatisfy { $0.value == $0.key * 2 })
        }
    }

    @Test func aFullQueueAnswersAtOnce() async throws {
        let gate = Gate()
        try await withMongo {
            $0.threads = 1
            $0.queueLimit = 3
        } _: { client in
            async let held: Void = client.run(deadline: soon) { _ in gate.pass() }
            await gate.waitUntilEntered()
            let waiting = (0..<3).map { number in Task { try await client.run(deadline: soon) { _ in number } } }
            while client.state().queued < 3 { await Task.yield() }
            let state = client.state()
            #expect(state.threads == 1 && state.busy == 1 && state.queued == 3)
            let error = await mongoError { try await client.run(deadline: soon) { _ in 0 } }
            #expect(error?.code == .queueFull)
            #expect(client.state().queued == 3, "the others still wait")
            gate.open()
            try await held
            for (number, task) in waiting.enumerated() { #expect(try await task.value == number) }
        }
    }

    @Test func aCallerIsAnsweredAtItsDeadlineThoughItsThreadIsStillHeld() async throws {
        let gate = Gate()
        try await withMongo {
            $0.threads = 1
        } _: { client in
            let start = ContinuousClock.now
            let error = await mongoError { try await client.run(deadline: start + .milliseconds(100)) { _ in gate.pass() } }
            #expect(error?.code == .timeout)
            #expect(start.duration(to: .now) >= .milliseconds(100))
            #expect(client.state().busy == 1, "the thread stands at the gate")
            gate.open()
            let answer = try await client.run(deadline: soon) { _ in 5 }
            #expect(answer == 5)
        }
    }

    @Test func jobsThatExpireOrAreCancelledInTheQueueNeverBeginAndLeaveIt() async throws {
        let gate = Gate()
        let begun = Shared(0)
        try await withMongo {
            $0.threads = 1
            $0.queueLimit = 2
        } _: { client in
            async let held: Void = client.run(deadline: soon) { _ in gate.pass() }
            await gate.waitUntilEntered()
            let cancelled = Task { try await client.run(deadline: soon) { _ in begun.change { $0 += 1 } } }
            while client.state().queued < 1 { await Task.yield() }
            let expiring = Task { try await client.run(deadline: .now + .milliseconds(50)) { _ in begun.change { $0 += 1 } } }
            cancelled.cancel()
            #expect(await mongoError { try await cancelled.value }?.code == .cancelled)
            #expect(await mongoError { try await expiring.value }?.code == .timeout)
            #expect(client.state().queued == 0, "the queue holds no dead jobs")
            gate.open()
            try await held
            #expect(try await client.run(deadline: soon) { _ in 1 } == 1)
            #expect(begun.now == 0)
        }
    }

    @Test func aDeadlineThatHasPassedAndACancelledTaskBeginNothing() async throws {
        try await withMongo { client in
            #expect(await mongoError { try await client.run(deadline: .now) { _ in 0 } }?.code == .timeout)
            let task = Task {
                while !Task.isCancelled { await Task.yield() }
                return try await client.run(deadline: soon) { _ in 0 }
            }
            task.cancel()
            #expect(await mongoError { try await task.value }?.code == .cancelled)
        }
    }

    @Test func aJobThatWasGivenUpStopsAtItsNextOperation() async throws {
        let gate = Gate()
        let outcome = Shared<MongoError.Code?>(nil)
        try await withMongo {
            $0.threads = 1
        } _: { client in
            let task = Task {
                try await client.run(deadline: soon) { session in
                    gate.pass()
                    do {
                        _ = try session.insertMany("c", [["_id": 1]])
                    } catch {
                        outcome.change { $0 = (error as? MongoError)?.code }
                    }
                }
            }
            await gate.waitUntilEntered()
            task.cancel()
            #expect(await mongoError { try await task.value }?.code == .cancelled)
            gate.open()
            let count = try await client.run(deadline: soon) { try $0.count("c") }
            #expect(count == 0)
            #expect(outcome.now == .cancelled)
        }
    }

    @Test func shutdownRefusesWhatWaitsAndLetsWhatRunsFinish() async throws {
        let gate = Gate()
        var configuration = MongoTestServer.configuration(try #require(MongoTestServer.uri))
        configuration.threads = 1
        let client = try MongoClient(configuration)
        let running = Task { try await client.run(deadline: soon) { _ in gate.pass() } }
        await gate.waitUntilEntered()
        let waiting = Task { try await client.run(deadline: soon) { _ in 0 } }
        while client.state().queued < 1 { await Task.yield() }
        async let ended: Void = client.shutdown()
        #expect(await mongoError { try await waiting.value }?.code == .shutdown)
        gate.open()
        try await running.value
        await ended
        #expect(await mongoError { try await client.run(deadline: soon) { _ in 0 } }?.code == .shutdown)
        await client.shutdown()
    }

    @Test func everyJobIsReportedToTheObserver() async throws {
        let events = Shared<[String]>([])
        try await withMongo(
            observe: { event in
                switch event {
                case .ran(_, _, let failure): events.change { $0.append(failure.map { "\($0)" } ?? "fine") }
                case .neverRan(let code): events.change { $0.append("never: \(code)") }
                case .log: break
                }
            },
            { client in
                try await client.run(deadline: soon) { _ in 1 }
                _ = await mongoError { try await client.run(deadline: soon) { try $0.command(["no": 1]) } }
                _ = await mongoError { try await client.run(deadline: .now) { _ in 0 } }
                await client.shutdown()
                #expect(Set(events.now) == ["fine", "server(code: 59)", "never: timeout"])
            })
    }
}
