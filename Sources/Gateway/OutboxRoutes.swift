import Contract
import DataPlane
import HTTPAPI
import JSON

/// The outbox, for those who run the gateway.
///
/// | method | path | policy |
/// | --- | --- | --- |
/// | GET | /api/admin/outbox | role:admin |
/// | GET | /api/admin/outbox/dead | role:admin |
/// | POST | /api/admin/outbox/dead/replay | role:admin |
/// | POST | /api/admin/outbox/dead/purge | role:admin |
struct OutboxRoutes: Sendable {
    let outbox: OutboxAdministration
    let wake: @Sendable () -> Void

    /// Names the order of dead letters in cursors.
    private static let order: UInt64 = 4

    var routes: [Route] {
        [
            .get("/api/admin/outbox", .role(.admin)) { call throws(Problem) in try await depths(&call) },
            .get("/api/admin/outbox/dead", .role(.admin)) { call throws(Problem) in try await dead(&call) },
            // What was meant by all the first time is not what is meant by it the second.
            .post("/api/admin/outbox/dead/replay", .role(.admin), idempotency: .ignored) { call throws(Problem) in
                try await change(&call, OutboxAdministration.replayed) { ids, account throws(Problem) in
                    try await outbox.replay(ids, accounting: account)
                }
            },
            .post("/api/admin/outbox/dead/purge", .role(.admin), idempotency: .ignored) { call throws(Problem) in
                try await change(&call, OutboxAdministration.purged) { ids, account throws(Problem) in
                    try await outbox.purge(ids, accounting: account)
                }
            },
        ]
    }

    private func depths(_ call: inout Call) async throws(Problem) -> Reply {
        _ = try call.query(allowed: [])
        call.clock.mark(.parse)
        let depths = try await outbox.depths()
        call.clock.mark(.fetch)
        return .list(ListPage(whole: depths, most: 100), Self.write)
    }

    private func dead(_ call: inout Call) async throws(Problem) -> Reply {
        var query = try call.query(allowed: ["limit", "cursor"])
        let page = query.page()
        try query.check()
        let after = try page.number(of: Self.order)?.number ?? 0
        call.clock.mark(.parse)
        let found = try await outbox.deadLetters(after: after, limit: page.limit + 1)
        call.clock.mark(.fetch)
        return .list(
            ListPage(cutting: found, of: page, total: nil) { letter in
                Cursor(order: Self.order, value: .integer(letter.id), id: letter.aggregate)
            }, Self.write)
    }

    private static func write(_ depth: OutboxDepth, into json: inout JSONWriter) {
        json.object { json in
            json.key("kind")
            json.string(depth.kind)
            json.key("pending")
            json.integer(depth.pending)
            json.key("dead")
            json.integer(depth.dead)
            if let seconds = depth.oldestSeconds {
                json.key("oldestSeconds")
                json.integer(seconds)
            }
            if let seconds = depth.oldestDeadSeconds {
                json.key("oldestDeadSeconds")
                json.integer(seconds)
            }
        }
    }

    private static func write(_ letter: DeadLetter, into json: inout JSONWriter) {
        json.object { json in
            json.key("id")
            json.integer(letter.id)
            json.key("kind")
            json.string(letter.kind)
            json.key("aggregateId")
            json.id(letter.aggregate)
            json.key("version")
            json.integer(letter.version)
            json.key("attempts")
            json.integer(letter.attempts)
            json.key("reason")
            json.string(letter.reason)
            json.key("createdAt")
            json.timestamp(letter.createdAt)
        }
    }

    private func change(
        _ call: inout Call, _ action: String,
        _ change: ([Int64]?, @escaping OutboxAdministration.Accounting) async throws(Problem) -> Int64
    ) async throws(Problem) -> Reply {
        _ = try call.query(allowed: [])
        var input = try call.input(allowed: ["ids", "all"])
        let ids = input.integers("ids", count: 1...OutboxAdministration.most, in: 1...Int.max)?.map { Int64($0) }
        let isAll = input.bool("all") ?? false
        if input.has("ids") == isAll { input.complain("ids", "are named, or `all` is true; one of the two") }
        try input.check()
        let account = try call.account()
        call.clock.mark(.parse)
        let caller = call.caller
        let count = try await change(ids) { count in
            AuditEvent(action, .admin, .notice, actor: account.id, caller: caller, metadata: [.count: String(count)])
        }
        wake()
        call.clock.mark(.fetch)
        var json = JSONWriter()
        json.object { json in
            json.key("count")
            json.integer(count)
        }
        return .json(json.bytes)
    }
}
