import Testing

@testable import PostgresClient

/// The pool's decisions, without a server: events in, actions out.
@Suite struct PoolMachineTests {
    private static let limit = 6

    private func machine(
        _ connections: Int, depth: Int = 2, exclusive: Int? = nil, queue: Int = limit, open: Bool = true
    ) -> PoolMachine<Int> {
        var machine = PoolMachine<Int>(
            connections: connections, depth: depth, exclusiveLimit: exclusive ?? connections, queueLimit: queue,
            reconnectDelay: .milliseconds(50)...(.seconds(2)))
        machine.start()
        #expect(drain(&machine) == (0..<connections).map { "connect \($0)" })
        if open { for slot in 0..<connections { machine.opened(slot) } }
        return machine
    }

    private func drain(_ machine: inout PoolMachine<Int>) -> [String] {
        var lines: [String] = []
        while let action = machine.nextAction() {
            let line =
                switch action {
                case .connect(let slot): "connect \(slot)"
                case .reconnect(let slot, let delay): "reconnect \(slot) after \(Int(delay / .milliseconds(1)))"
                case .send(let waiter, let slot): "send \(waiter) on \(slot)"
                case .lend(let waiter, let slot): "lend \(slot) to \(waiter)"
                case .refuse(let waiter, let refusal): "refuse \(waiter): \(refusal)"
                case .close(let slot): "close \(slot)"
                case .finished: "finished"
                }
            lines.append(line)
        }
        return lines
    }

    // MARK: Sharing

    @Test("One-shot queries go to the least loaded connection, up to its depth")
    func leastLoaded() {
        var pool = machine(2)
        for waiter in 1...5 { pool.submit(waiter, .oneShot) }
        #expect(drain(&pool) == ["send 1 on 0", "send 2 on 1", "send 3 on 0", "send 4 on 1"])
        #expect(pool.state == PostgresPoolState(open: 2, busy: 2, waiting: 1))
        pool.completed(1)
        #expect(drain(&pool) == ["send 5 on 1"])
    }

    @Test("Requests wait for the first connection and go out in order of arrival")
    func waitForFirst() {
        var pool = machine(1, open: false)
        pool.submit(1, .oneShot)
        pool.submit(2, .oneShot)
        #expect(drain(&pool).isEmpty)
        pool.opened(0)
        #expect(drain(&pool) == ["send 1 on 0", "send 2 on 0"])
    }

    @Test("A full queue refuses the newest at once and keeps the others")
    func fullQueue() {
        var pool = machine(1, depth: 1, queue: 2)
        for waiter in 1...4 { pool.submit(waiter, .oneShot) }
        #expect(drain(&pool) == ["send 1 on 0", "refuse 4: queueFull"])
        #expect(pool.state.waiting == 2)
        pool.completed(0)
        #expect(drain(&pool) == ["send 2 on 0"])
    }

    @Test("A queue of no length still serves what need not wait")
    func noQueue() {
        var pool = machine(1, depth: 1, queue: 0)
        pool.submit(1, .oneShot)
        pool.submit(2, .exclusive)
        #expect(drain(&pool) == ["send 1 on 0", "refuse 2: queueFull"])
    }

    @Test("What is withdrawn while waiting is never sent")
    func withdraw() {
        var pool = machine(1, depth: 1)
        for waiter in 1...3 { pool.submit(waiter, .oneShot) }
        #expect(pool.withdraw { $0 == 2 } == [2])
        #expect(pool.withdraw { $0 == 2 }.isEmpty)
        pool.completed(0)
        #expect(drain(&pool) == ["send 1 on 0", "send 3 on 0"])
    }

    @Test("A held connection gets nothing new until it is let go")
    func hold() {
        var pool = machine(2, depth: 1)
        pool.hold(0)
        for waiter in 1...2 { pool.submit(waiter, .oneShot) }
        #expect(drain(&pool) == ["send 1 on 1"])
        pool.unhold(0)
        #expect(drain(&pool) == ["send 2 on 0"])
    }

    // MARK: Leases

    @Test("A lease gets an idle connection, which then takes no queries until it is released")
    func lease() {
        var pool = machine(1)
        pool.submit(1, .exclusive)
        pool.submit(2, .oneShot)
        #expect(drain(&pool) == ["lend 0 to 1"])
        pool.released(0)
        #expect(drain(&pool) == ["send 2 on 0"])
    }

    @Test("Younger queries do not starve a waiting lease: one connection is let drain for it")
    func leaseDrains() {
        var pool = machine(2, depth: 4)
        for waiter in 1...4 { pool.submit(waiter, .oneShot) }
        pool.submit(5, .exclusive)
        _ = drain(&pool)
        for waiter in 6...8 { pool.submit(waiter, .oneShot) }
        #expect(drain(&pool) == ["send 6 on 1", "send 7 on 1"], "connection 0 is reserved, connection 1 is full")
        pool.completed(0)
        #expect(drain(&pool).isEmpty)
        pool.completed(0)
        #expect(drain(&pool) == ["lend 0 to 5"])
        pool.completed(1)
        #expect(drain(&pool) == ["send 8 on 1"])
    }

    @Test("Leases do not starve an older query")
    func queryBeforeYoungerLease() {
        var pool = machine(1)
        pool.submit(1, .exclusive)
        pool.submit(2, .oneShot)
        pool.submit(3, .exclusive)
        pool.submit(4, .oneShot)
        _ = drain(&pool)
        pool.released(0)
        #expect(drain(&pool) == ["send 2 on 0"])
        pool.completed(0)
        #expect(drain(&pool) == ["lend 0 to 3"])
        pool.released(0)
        #expect(drain(&pool) == ["send 4 on 0"])
    }

    @Test("Under any mix everything is served, and a lent connection is never shared")
    func fairness() {
        var pool = machine(3, depth: 2, exclusive: 2, queue: 10_000)
        var random = SystemRandomNumberGenerator()
        var inFlight: [Int: [Int]] = [:]
        var lent: [Int: Int] = [:]
        var served: [Int] = []
        var next = 0
        while served.count < 3000 {
            if next < 3000, Bool.random(using: &random) {
                pool.submit(next, Int.random(in: 0..<4, using: &random) == 0 ? .exclusive : .oneShot)
                next += 1
            } else if let slot = (0..<3).randomElement(using: &random) {
                if lent[slot] != nil {
                    lent[slot] = nil
                    pool.released(slot)
                } else if inFlight[slot, default: []].isEmpty == false {
                    inFlight[slot]?.removeFirst()
                    pool.completed(slot)
                }
            }
            while let action = pool.nextAction() {
                switch action {
                case .send(let waiter, let slot):
                    #expect(lent[slot] == nil, "a lent connection is shared")
                    inFlight[slot, default: []].append(waiter)
                    #expect(inFlight[slot, default: []].count <= 2)
                    served.append(waiter)
                case .lend(let waiter, let slot):
                    #expect(lent[slot] == nil && inFlight[slot, default: []].isEmpty, "a lease shares its connection")
                    lent[slot] = waiter
                    #expect(lent.count <= 2)
                    served.append(waiter)
                default: Issue.record("unexpected \(action)")
                }
            }
        }
        #expect(Set(served).count == 3000)
    }

    @Test("Beyond the limit, leases wait and queries go on")
    func leaseLimit() {
        var pool = machine(2, exclusive: 1)
        pool.submit(1, .exclusive)
        pool.submit(2, .exclusive)
        pool.submit(3, .oneShot)
        #expect(drain(&pool) == ["lend 0 to 1", "send 3 on 1"])
        pool.completed(1)
        #expect(drain(&pool).isEmpty)
        pool.released(0)
        #expect(drain(&pool) == ["lend 0 to 2"])
    }

    // MARK: Losing and reopening

    @Test("After a loss the others serve on, and the lost one is opened again")
    func loss() {
        var pool = machine(2)
        pool.lost(0)
        pool.submit(1, .oneShot)
        #expect(drain(&pool) == ["reconnect 0 after 50", "send 1 on 1"])
        pool.reconnectDue(0)
        #expect(drain(&pool) == ["connect 0"])
        pool.opened(0)
        pool.submit(2, .oneShot)
        #expect(drain(&pool) == ["send 2 on 0"])
    }

    @Test("The wait between attempts doubles up to its cap, and starts over once a request has been served")
    func backoff() {
        var pool = machine(1)
        pool.lost(0)
        var waits: [String] = drain(&pool)
        for _ in 0..<7 {
            pool.reconnectDue(0)
            _ = drain(&pool)
            pool.openFailed(0)
            waits += drain(&pool)
        }
        #expect(waits == [50, 100, 200, 400, 800, 1600, 2000, 2000].map { "reconnect 0 after \($0)" })
        pool.reconnectDue(0)
        pool.opened(0)
        pool.submit(1, .oneShot)
        pool.completed(0)
        pool.lost(0)
        #expect(drain(&pool).last == "reconnect 0 after 50")
    }

    @Test("A failed attempt fails who waits, and who comes, while no connection is open")
    func unreachable() {
        var pool = machine(2, open: false)
        pool.submit(1, .oneShot)
        pool.submit(2, .exclusive)
        pool.openFailed(0)
        #expect(drain(&pool) == ["reconnect 0 after 50", "refuse 1: unreachable", "refuse 2: unreachable"])
        pool.submit(3, .oneShot)
        #expect(drain(&pool) == ["refuse 3: unreachable"])
        pool.opened(1)
        pool.submit(4, .oneShot)
        #expect(drain(&pool) == ["send 4 on 1"])
    }

    @Test("While one connection is open, a failed attempt of another fails nobody")
    func partlyReachable() {
        var pool = machine(2, depth: 1, open: false)
        pool.opened(0)
        pool.submit(1, .oneShot)
        pool.submit(2, .oneShot)
        pool.openFailed(1)
        #expect(drain(&pool) == ["send 1 on 0", "reconnect 1 after 50"])
        pool.completed(0)
        #expect(drain(&pool) == ["send 2 on 0"])
    }

    @Test("A lease whose reserved connection is lost gets another")
    func reservedLost() {
        var pool = machine(2)
        pool.submit(1, .oneShot)
        pool.submit(2, .oneShot)
        pool.submit(3, .exclusive)
        _ = drain(&pool)
        pool.lost(0)
        pool.completed(1)
        #expect(drain(&pool) == ["reconnect 0 after 50", "lend 1 to 3"])
    }

    @Test("A connection given up on purpose is replaced without delay")
    func discard() {
        var pool = machine(1)
        pool.submit(1, .exclusive)
        _ = drain(&pool)
        pool.discarded(0)
        #expect(drain(&pool) == ["connect 0"])
    }

    // MARK: Shutdown

    @Test("Shutdown refuses who waits and who comes, lets what is in flight finish, then closes")
    func shutdown() {
        var pool = machine(3, depth: 1)
        pool.submit(1, .oneShot)
        pool.submit(2, .exclusive)
        pool.submit(3, .oneShot)
        pool.submit(4, .oneShot)
        _ = drain(&pool)
        pool.shutdown()
        pool.submit(5, .oneShot)
        #expect(drain(&pool) == ["refuse 4: shutdown", "refuse 5: shutdown"])
        pool.completed(0)
        pool.released(1)
        #expect(drain(&pool) == ["close 0", "close 1"])
        pool.lost(2)
        #expect(drain(&pool) == ["finished"])
    }

    @Test("Shutdown ends attempts under way and makes no more")
    func shutdownWhileConnecting() {
        var pool = machine(2, open: false)
        pool.openFailed(0)
        _ = drain(&pool)
        pool.shutdown()
        pool.reconnectDue(0)
        #expect(drain(&pool) == ["close 1", "finished"])
    }
}
