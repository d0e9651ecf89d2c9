import Contract
import Dispatch
import Glibc
import Synchronization
import Testing

@testable import Credentials

@Suite(.timeLimit(.minutes(1))) struct PasswordHasherTests {
    /// Of Openwall's crypt_blowfish, wrapper.c.
    static let known = [
        ("U*U", "$2a$05$CCCCCCCCCCCCCCCCCCCCC.E5YPO9kmyuRGyh0XouQYb4YMJKvyOeW"),
        ("U*U*", "$2a$05$CCCCCCCCCCCCCCCCCCCCC.VGOzA784oUp/Z0DY336zx7pLYAy0lwK"),
        ("U*U*U", "$2a$05$XXXXXXXXXXXXXXXXXXXXXOAcXxm9kjPGEMsLznoKqmqw7tc8WCx4a"),
        ("U*U*U", "$2b$05$XXXXXXXXXXXXXXXXXXXXXOAcXxm9kjPGEMsLznoKqmqw7tc8WCx4a"),
        ("U*U*U", "$2y$05$XXXXXXXXXXXXXXXXXXXXXOAcXxm9kjPGEMsLznoKqmqw7tc8WCx4a"),
    ]

    @Test(arguments: known) func hashesOfEveryFormAreVerified(password: String, hash: String) async throws {
        let hasher = try PasswordHasher(cost: 5)
        let verdict = try await hasher.verify(password, against: hash)
        #expect(verdict.matches)
        #expect(verdict.needsRehash == !hash.hasPrefix("$2b$"))
        #expect(try await hasher.verify(password + "!", against: hash) == .init(matches: false, needsRehash: false))
        #expect(try await hasher.verify("", against: hash) == .init(matches: false, needsRehash: false))
    }

    @Test func aNewHashIsOfTheCurrentFormSaltedAndVerified() async throws {
        let hasher = try PasswordHasher(cost: 4)
        for password in ["correct horse battery staple", "ÄÖÜ🎹", String(repeating: "x", count: 72), "x"] {
            let (one, other) = (try await hasher.hash(password), try await hasher.hash(password))
            #expect(one != other)
            #expect(one.wholeMatch(of: /\$2b\$04\$[.\/A-Za-z0-9]{53}/) != nil)
            #expect(try await hasher.verify(password, against: one) == .init(matches: true, needsRehash: false))
            #expect(try await hasher.verify(password, against: other).matches)
        }
    }

    @Test func anotherCostIsHashedAnewAtTheNextLogin() async throws {
        let (cheap, dear) = (try PasswordHasher(cost: 4), try PasswordHasher(cost: 6))
        #expect(try await dear.verify("password", against: try await cheap.hash("password")) == .init(matches: true, needsRehash: true))
        #expect(try await cheap.verify("password", against: try await dear.hash("password")) == .init(matches: true, needsRehash: true))
    }

    /// bcrypt itself would read 72 bytes of the first, and stop at the zero of the second.
    @Test func aPasswordThatBcryptDoesNotReadWholeIsNeitherHashedNorMatched() async throws {
        let hasher = try PasswordHasher(cost: 4)
        for (chosen, shown) in [(String(repeating: "x", count: 72), String(repeating: "x", count: 73)), ("password", "password\0x")] {
            let hash = try await hasher.hash(chosen)
            #expect(try await !hasher.verify(shown, against: hash).matches)
            await #expect(throws: Problem.unexpected) { try await hasher.hash(shown) }
        }
    }

    @Test(arguments: [
        "", "password", "$2b$", "$1$salt$hash", "*0", "$2x$05$XXXXXXXXXXXXXXXXXXXXXOAcXxm9kjPGEMsLznoKqmqw7tc8WCx4a",
        "$2b$31$XXXXXXXXXXXXXXXXXXXXXOAcXxm9kjPGEMsLznoKqmqw7tc8WCx4a", "$2b$03$XXXXXXXXXXXXXXXXXXXXXOAcXxm9kjPGEMsLznoKqmqw7tc8WCx4a",
        "$2b$5$XXXXXXXXXXXXXXXXXXXXXOAcXxm9kjPGEMsLznoKqmqw7tc8WCx4a", "$2b$05$XXXXXXXXXXXXXXXXXXXXXOAcXxm9kjPGEMsLznoKqmqw7tc8WCx4",
        "$2b$05$XXXXXXXXXXXXXXXXXXXXXOAcXxm9kjPGEMsLznoKqmqw7tc8WCx4aa", "$2b$05$XXXXXXXXXXXXXXXXXXXXX:AcXxm9kjPGEMsLznoKqmqw7tc8WCx4a",
        "$2b$05XXXXXXXXXXXXXXXXXXXXXXXOAcXxm9kjPGEMsLznoKqmqw7tc8WCx4a", "$6$rounds=999999999$salt$x",
    ])
    func whatIsNoHashMatchesNothing(stored: String) async throws {
        let hasher = try PasswordHasher(cost: 4)
        #expect(try await hasher.verify("U*U*U", against: stored) == .init(matches: false, needsRehash: false))
    }

    /// Whether there is an account does not show in the time that a wrong password takes, nor does an old, cheap hash.
    @Test func aWrongPasswordTakesAsLongAsNoAccount() async throws {
        let hasher = try PasswordHasher(cost: 9)
        let (current, cheap) = (try await hasher.hash("password"), try await PasswordHasher(cost: 4).hash("password"))
        let stored = [nil, current, cheap, "garbage"]
        // In turn, so that whatever else the machine does weighs on all alike.
        var times: [[Duration]] = Array(repeating: [], count: stored.count)
        for _ in 0..<15 {
            for (index, hash) in stored.enumerated() {
                let time = try await ContinuousClock().measure {
                    if let hash {
                        _ = try await hasher.verify("another one", against: hash)
                    } else {
                        try await hasher.verifyNothing("another one")
                    }
                }
                times[index].append(time)
            }
        }
        let medians = times.map { $0.sorted()[$0.count / 2] }
        // A hash of cost 4 would take a thirtieth, none at all next to nothing.
        for (hash, time) in zip(stored, medians).dropFirst() {
            #expect(time > medians[0] * 0.5 && time < medians[0] * 2, "\(hash?.prefix(7) ?? ""): \(time), nothing: \(medians[0])")
        }
    }
}

/// Of the threads themselves: what holds when there is more work than they can do.
@Suite(.timeLimit(.minutes(1))) struct HashingThreadsTests {
    /// One thread that is busy until `release`.
    private struct Busy {
        let threads: HashingThreads
        let first: Task<Void, any Error>
        private let gate = DispatchSemaphore(value: 0)

        init(waiting: Int) async throws {
            threads = try HashingThreads(threads: 1, waiting: waiting)
            let (began, begin) = AsyncStream.makeStream(of: Void.self)
            let (threads, gate) = (threads, gate)
            first = Task {
                try await threads.run { _ in
                    begin.yield()
                    gate.wait()
                }
            }
            for await _ in began { break }
        }

        func release() { gate.signal() }

        func untilWaiting(_ count: Int) async { while threads.waiting != count { await Task.yield() } }
    }

    @Test func whatFindsTheQueueFullIsRefusedAtOnce() async throws {
        let busy = try await Busy(waiting: 2)
        let queued = (0..<2).map { number in Task { try await busy.threads.run { _ in number } } }
        await busy.untilWaiting(2)
        await #expect(throws: Problem.overloaded) { try await busy.threads.run { _ in 0 } }
        busy.release()
        try await busy.first.value
        for (number, task) in queued.enumerated() { #expect(try await task.value == number) }
        #expect(try await busy.threads.run { _ in 7 } == 7)
        busy.threads.close()
    }

    @Test func whoeverIsCancelledLeavesTheQueueAndMakesRoom() async throws {
        let busy = try await Busy(waiting: 1)
        let ran = Atomic<Bool>(false)
        let cancelled = Task { try await busy.threads.run { _ in ran.store(true, ordering: .relaxed) } }
        await busy.untilWaiting(1)
        cancelled.cancel()
        await #expect(throws: Problem.overloaded) { try await cancelled.value }
        #expect(busy.threads.waiting == 0)
        let next = Task { try await busy.threads.run { _ in 1 } }
        await busy.untilWaiting(1)
        busy.release()
        #expect(try await next.value == 1)
        let hasRun = ran.load(ordering: .relaxed)
        #expect(!hasRun)
        busy.threads.close()
    }

    @Test func whoeverIsCancelledBeforehandDoesNotEvenQueue() async throws {
        let busy = try await Busy(waiting: 1)
        let task = Task {
            withUnsafeCurrentTask { $0?.cancel() }
            try await busy.threads.run { _ in }
        }
        await #expect(throws: Problem.overloaded) { try await task.value }
        #expect(busy.threads.waiting == 0)
        busy.release()
        busy.threads.close()
    }

    @Test func closingRefusesThoseWhoWaitAndAllWhoComeLater() async throws {
        let busy = try await Busy(waiting: 4)
        let queued = (0..<3).map { _ in Task { try await busy.threads.run { _ in } } }
        await busy.untilWaiting(3)
        busy.threads.close()
        for task in queued { await #expect(throws: Problem.overloaded) { try await task.value } }
        await #expect(throws: Problem.overloaded) { try await busy.threads.run { _ in } }
        busy.release()
        try await busy.first.value
    }

    @Test func hashingGivesWayToEverythingElse() async throws {
        let threads = try HashingThreads(threads: 2, waiting: 2)
        let own = { @Sendable in getpriority(__priority_which_t(PRIO_PROCESS.rawValue), 0) }
        #expect(try await threads.run { _ in own() } == 10)
        #expect(own() == 0)
        threads.close()
    }

    @Test func manyAtOnceAllGetTheirOwnAnswer() async throws {
        let hasher = try PasswordHasher(cost: 4, threads: 3, waiting: 1000)
        let hash = try await hasher.hash("password")
        try await withThrowingTaskGroup { group in
            for number in 0..<300 {
                group.addTask {
                    try await hasher.verify(number % 2 == 0 ? "password" : "wrong \(number)", against: hash).matches == (number % 2 == 0)
                }
            }
            for try await isRight in group { #expect(isRight) }
        }
    }
}
