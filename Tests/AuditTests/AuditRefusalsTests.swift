import Contract
import Synchronization
import TestSupport
import Testing

@testable import Audit

@Suite("Refusals in the audit log", .timeLimit(.minutes(1)))
struct AuditRefusalsTests {
    private final class Trail: AuditTrail {
        private let events = Mutex<[AuditEvent]>([])
        func record(_ event: AuditEvent) { events.withLock { $0.append(event) } }
        var all: [AuditEvent] { events.withLock { $0 } }
    }

    private final class Clock: Sendable {
        private let moment = Mutex(ContinuousClock.now)
        var now: ContinuousClock.Instant { moment.withLock { $0 } }
        func advance(_ duration: Duration) { moment.withLock { $0 += duration } }
    }

    private static func caller(_ bytes: UInt8...) throws -> Caller {
        Caller(address: try #require(ClientAddress(bytes: bytes)), userAgent: "x", transport: .bearer)
    }

    @Test("A flood makes one entry a minute for each address and kind; an expired token now and then makes none")
    func floods() async throws {
        let (trail, clock) = (Trail(), Clock())
        let refusals = AuditRefusals(trail: trail, now: { clock.now })
        let (one, other) = (try Self.caller(192, 0, 2, 1), try Self.caller(192, 0, 2, 2))
        for _ in 0..<9 { refusals.refused(.deadCredential, one, route: "GET /api/auth/me") }
        clock.advance(.seconds(60))
        for _ in 0..<9 { refusals.refused(.deadCredential, one, route: "GET /api/auth/me") }
        refusals.refused(.rateLimited, other, route: nil)
        #expect(await eventually { trail.all.count == 1 })
        for _ in 0..<500 { refusals.refused(.deadCredential, one, route: "GET /api/auth/me") }
        for _ in 0..<500 { refusals.refused(.rateLimited, other, route: nil) }
        #expect(await eventually { trail.all.count == 2 })
        clock.advance(.seconds(60))
        refusals.refused(.rateLimited, other, route: nil)
        #expect(await eventually { trail.all.count == 3 })
        #expect(trail.all.map(\.action).sorted() == ["dead_credentials", "rate_limited", "rate_limited"])
        let dead = try #require(trail.all.first { $0.category == .signIn })
        #expect(dead.metadata == [.count: "10", .route: "GET /api/auth/me"])
        #expect(dead.caller?.address == one.address)
    }

    @Test("Addresses without end cost bounded memory")
    func manyAddresses() async throws {
        let trail = Trail()
        let refusals = AuditRefusals(trail: trail, now: { [start = ContinuousClock.now] in start })
        for number in 0..<11_000 {
            refusals.refused(
                .rateLimited, try Self.caller(10, UInt8(number >> 16), UInt8(number >> 8 & 255), UInt8(number & 255)), route: nil)
        }
        #expect(await eventually { trail.all.count == 10_000 })
        #expect(trail.all.count == 10_000)
    }
}
