import Contract
import PostgresClient
import Testing

@testable import Audit

@Suite("Lists of the audit log")
struct AuditPlanTests {
    private static let actor = EntityID(rawValue: 7)
    private static let first = PageRequest(limit: 20, position: .page(1))

    private static var full: AuditFilter {
        AuditFilter(
            actor: actor, action: "x'; DROP TABLE users; --", category: .role, severity: .warning, target: actor, targetKind: "user",
            from: Timestamp(milliseconds: 1), to: Timestamp(milliseconds: 2))
    }

    @Test("A value from outside is a parameter, never part of a statement")
    func values() throws {
        let plan = try AuditPlan(Self.full, Self.first)
        #expect(!plan.page.sql.contains("DROP") && !plan.total.sql.contains("DROP"))
        #expect(plan.total.parameters.count == 8)
        #expect(plan.page.parameters.count == 10)
        for (query, count) in [(plan.page, 10), (plan.total, 8)] {
            for place in 1...count { #expect(query.sql.contains("$\(place)"), "\(place)") }
            #expect(!query.sql.contains("$\(count + 1)"))
        }
    }

    @Test("No filter at all lists everything")
    func everything() throws {
        let plan = try AuditPlan(AuditFilter(), PageRequest(limit: 5, position: .page(3)))
        #expect(plan.page.sql.contains("WHERE true"))
        #expect(plan.page.parameters == [.int64(6), .int64(10)])
    }

    @Test("A cursor goes on where its page ended, and belongs to its filter alone")
    func cursors() throws {
        let order = try AuditPlan(Self.full, Self.first).order
        let cursor = Cursor(order: order, value: .integer(99), id: Self.actor)
        let next = try AuditPlan(Self.full, PageRequest(limit: 20, position: .after(cursor)))
        #expect(next.order == order)
        #expect(next.page.parameters.contains(.timestamp(99)))
        #expect(next.page.parameters.suffix(2) == [.int64(21), .int64(0)])
        var other = Self.full
        other.action = "login_failed"
        let foreign = [
            (other, cursor), (AuditFilter(), cursor), (Self.full, Cursor(order: order, value: .text("99"), id: Self.actor)),
        ]
        for (filter, cursor) in foreign {
            let problem = #expect(throws: Problem.self) { try AuditPlan(filter, PageRequest(limit: 20, position: .after(cursor))) }
            #expect(problem?.code == .invalidCursor)
        }
    }
}
