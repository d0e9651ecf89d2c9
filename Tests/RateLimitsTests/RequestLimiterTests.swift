import Contract
import Synchronization
import TestSupport
import Testing

@testable import RateLimits

/// The limiter without a Redis, under a clock that stands still unless it is moved.
@Suite struct RequestLimiterTests {
    private final class VirtualClock: Sendable {
        private let microseconds = Atomic<Int64>(0)
        func pass(seconds: Int64) { microseconds.wrappingAdd(seconds * 1_000_000, ordering: .relaxed) }
        var now: Int64 { microseconds.load(ordering: .relaxed) }
    }

    private let clock = VirtualClock()
    private let recorder = Recorder()

    private func limiter(capacity: Int = 1024, _ change: (inout LimitRules) -> Void = { _ in }) -> RequestLimiter {
        var rules = LimitRules()
        for rateClass in RateClass.allCases { _ = rules.read(rateClass, "3/30") }
        change(&rules)
        let clock = clock
        return RequestLimiter(rules: rules, redis: nil, capacity: capacity, observer: recorder) { clock.now }
    }

    private func address(_ text: String) throws -> ClientAddress { try #require(ClientAddress(text)) }

    private static func account(_ id: UInt128) -> Principal {
        .account(Account(id: EntityID(rawValue: id), sessionID: nil, roles: .user, isVerified: true, hasSecondFactor: false))
    }

    private func admitted(_ times: Int, _ body: () async throws(Problem) -> Void) async -> Int {
        var count = 0
        for _ in 0..<times {
            do throws(Problem) {
                try await body()
                count += 1
            } catch {
                #expect(error.code == .rateLimited)
            }
        }
        return count
    }

    @Test func aRefusalSaysWhenToTryAgain() async throws {
        let (limiter, address) = (limiter(), try address("192.0.2.1"))
        #expect(await admitted(5) { () throws(Problem) in _ = try await limiter.admit(.read, address: address) } == 3)
        let problem = await #expect(throws: Problem.self) { try await limiter.admit(.read, address: address) }
        #expect(problem?.code == .rateLimited && problem?.retryAfter == 10)
        clock.pass(seconds: 10)
        #expect(await admitted(5) { () throws(Problem) in _ = try await limiter.admit(.read, address: address) } == 1)
        #expect(recorder.count { if case .rateLimited(.read, .address) = $0 { true } else { false } } == 7)
    }

    @Test func classesAndSubjectsAreCountedApart() async throws {
        let (limiter, one, other) = (limiter(), try address("192.0.2.1"), try address("192.0.2.2"))
        for (rateClass, address) in [(RateClass.read, one), (.read, other), (.search, one), (.write, one), (.signIn, one)] {
            #expect(await admitted(5) { () throws(Problem) in _ = try await limiter.admit(rateClass, address: address) } == 3)
        }
        for id: UInt128 in [1, 2] {
            let principal = Self.account(id)
            #expect(
                await admitted(5) { () throws(Problem) in _ = try await limiter.admit(.read, principal: principal, address: one) } == 3)
        }
        for subject in ["one@example.com", "two@example.com"] {
            #expect(await admitted(5) { () throws(Problem) in try await limiter.admit(.signIn, subject: subject) } == 3)
        }
    }

    @Test func addressesOfOneNetworkOfIPv6AreOneSubjectAndThoseOfIPv4AreNot() async throws {
        let limiter = limiter()
        let addresses = [try address("2001:db8:1:2::1"), try address("2001:db8:1:2:ffff::9"), try address("2001:db8:1:2:3:4:5:6")]
        var turn = 0
        #expect(
            await admitted(6) { () throws(Problem) in
                turn += 1
                _ = try await limiter.admit(.read, address: addresses[turn % 3])
            } == 3)
        let next = try address("2001:db8:1:3::1")
        #expect(await admitted(6) { () throws(Problem) in _ = try await limiter.admit(.read, address: next) } == 3)
        // The same bits as the first four bytes of nothing: no IPv4 address is taken for an IPv6 network.
        let (low, high) = (try address("0.0.0.7"), try address("0:0:0:7::1"))
        #expect(await admitted(6) { () throws(Problem) in _ = try await limiter.admit(.read, address: low) } == 3)
        #expect(await admitted(6) { () throws(Problem) in _ = try await limiter.admit(.read, address: high) } == 3)
    }

    @Test func exemptAddressesAreCountedWhereSomethingCanBeGuessed() async throws {
        let block = try #require(AddressBlock("127.0.0.0/8"))
        let (limiter, address) = (limiter { $0.exempt = [block] }, try address("127.0.0.1"))
        for rateClass in [RateClass.read, .search, .write] {
            #expect(await admitted(10) { () throws(Problem) in _ = try await limiter.admit(rateClass, address: address) } == 10)
            #expect(try limiter.admitLocally(rateClass, principal: Self.account(1), address: address) == .admitted(nil))
        }
        for rateClass in [RateClass.signIn, .registration, .recovery] {
            #expect(await admitted(10) { () throws(Problem) in _ = try await limiter.admit(rateClass, address: address) } == 3)
        }
    }

    @Test func nothingIsCountedWhereLimitsAreOffOrThereIsNoAccount() async throws {
        let (off, on, address) = (limiter { $0.isEnabled = false }, limiter(), try address("192.0.2.1"))
        for rateClass in RateClass.allCases {
            #expect(try off.admitLocally(rateClass, address: address) == .admitted(nil))
            #expect(try await off.admit(rateClass, address: address) == nil)
            #expect(try on.admitLocally(rateClass, principal: .anonymous, address: address) == .admitted(nil))
        }
        #expect(await admitted(9) { () throws(Problem) in try await off.admit(.signIn, subject: "x@example.com") } == 9)
        #expect(try on.admitLocally(.unlimited, address: address) == .admitted(nil))
        #expect(off.subjects == 0 && on.subjects == 0)
    }

    @Test func afterOneQuestionTheProcessDecidesByItself() async throws {
        let (limiter, address) = (limiter { _ = $0.read(.read, "1000/10") }, try address("192.0.2.1"))
        #expect(try limiter.admitLocally(.read, address: address) == .undecided)
        let state = try await limiter.admit(.read, address: address)
        #expect(state == RateState(limit: 1000, remaining: 999, resetSeconds: 1, windowSeconds: 10))
        for left in stride(from: 998, through: 0, by: -1) {
            guard case .admitted(let state?) = try limiter.admitLocally(.read, address: address) else {
                Issue.record("not decided here")
                return
            }
            #expect(state.remaining == left)
        }
        #expect(throws: Problem.self) { try limiter.admitLocally(.read, address: address) }
    }

    /// However many addresses come, the memory stays, and whoever keeps coming is still counted.
    @Test func aMillionAddressesTakeNoMoreMemoryThanThereIsRoomFor() async throws {
        let (limiter, regular) = (limiter(capacity: 4096), try address("203.0.113.7"))
        var regularAdmitted = 0
        for number in 0..<1_000_000 {
            if number % 500 == 0, (try? await limiter.admit(.read, address: regular)) != nil { regularAdmitted += 1 }
            let bytes = [
                10, UInt8(truncatingIfNeeded: number >> 16), UInt8(truncatingIfNeeded: number >> 8), UInt8(truncatingIfNeeded: number),
            ]
            let address = try #require(ClientAddress(bytes: bytes))
            _ = try limiter.admitLocally(.read, address: address)
        }
        #expect(limiter.subjects <= 4096)
        #expect(regularAdmitted == 3)
    }

    @Test func manyAtOnceAreNoMoreThanOneAfterTheOther() async throws {
        let (limiter, address) = (limiter { _ = $0.read(.read, "500/3600") }, try address("192.0.2.1"))
        let admitted = await withTaskGroup(of: Int.self) { group in
            for _ in 0..<16 {
                group.addTask {
                    var count = 0
                    for _ in 0..<200 { if (try? await limiter.admit(.read, address: address)) != nil { count += 1 } }
                    return count
                }
            }
            return await group.reduce(0, +)
        }
        #expect(admitted == 500)
    }
}
