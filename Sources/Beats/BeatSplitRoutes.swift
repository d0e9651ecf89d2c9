import Contract
import DataPlane
import HTTPAPI
import JSON

/// Who earns how much of a beat.
///
/// | method | path | policy |
/// | --- | --- | --- |
/// | GET | /api/beats/{id}/splits | signedIn |
/// | PUT | /api/beats/{id}/splits | allOf(owner, role:creator) |
/// | POST | /api/beats/{id}/splits/accept | signedIn |
/// | DELETE | /api/beats/{id}/splits/{user} | signedIn |
/// | GET | /api/users/me/splits | signedIn |
///
/// Accepting is for whom a share is offered; ending an open offer for them and for the beat's owner. To anybody else there is nothing.
public struct BeatSplitRoutes: Sendable {
    private let store: BeatSplitStore
    private let own: OwnBeatSplitStore

    public init(postgres: PostgresAccess, timeout: Duration = .seconds(2)) {
        store = BeatSplitStore(postgres: postgres, timeout: timeout)
        own = OwnBeatSplitStore(postgres: postgres, timeout: timeout)
    }

    public var routes: [Route] {
        [
            .get("/api/beats/{id}/splits", .signedIn) { call throws(Problem) in try await list(&call) },
            .put("/api/beats/{id}/splits", .owningCreator) { call throws(Problem) in try await replace(&call) },
            .post("/api/beats/{id}/splits/accept", .signedIn) { call throws(Problem) in try await accept(&call) },
            .delete("/api/beats/{id}/splits/{user}", .signedIn) { call throws(Problem) in try await remove(&call) },
            .get("/api/users/me/splits", .signedIn) { call throws(Problem) in try await ofAccount(&call) },
        ]
    }

    private func list(_ call: inout Call) async throws(Problem) -> Reply {
        _ = try call.query(allowed: [])
        let (id, account) = (try call.id("id", of: "beat"), try call.account())
        call.clock.mark(.parse)
        let splits = try await store.splits(of: id, for: account)
        call.clock.mark(.fetch)
        return Self.reply(splits)
    }

    private func replace(_ call: inout Call) async throws(Problem) -> Reply {
        _ = try call.query(allowed: [])
        let (id, account) = (try call.id("id", of: "beat"), try call.account())
        let offers = try BeatSplit.offers(try call.input(allowed: ["splits"]))
        call.clock.mark(.parse)
        try await store.replace(offers, of: id, by: account, filing: Self.event("beat_splits_offered", id, account, call.caller))
        let splits = try await store.splits(of: id, for: account)
        call.clock.mark(.fetch)
        return Self.reply(splits)
    }

    private func accept(_ call: inout Call) async throws(Problem) -> Reply {
        _ = try call.query(allowed: [])
        let (id, account) = (try call.id("id", of: "offer"), try call.account())
        var input = try call.input(allowed: ["share"])
        let share = input.decimal("share").flatMap { BeatSplit.Share(decimal: $0) }
        guard let share else { throw .invalid([.init("share", "must be the share that is offered, a number such as 50.00")]) }
        call.clock.mark(.parse)
        let event = Self.event("beat_split_accepted", id, account, call.caller)
        // Where that was done before, an offer that is there is another, and stays open.
        if call.claim?.isCarriedOut != true {
            let isAccepted = try await store.accept(share, of: id, IdempotencyMark(call.claim), for: account, filing: event)
            guard isAccepted else { throw .notFound("offer") }
        }
        let splits = try await store.splits(of: id, for: account)
        call.clock.mark(.fetch)
        return Self.reply(splits)
    }

    private func remove(_ call: inout Call) async throws(Problem) -> Reply {
        _ = try call.query(allowed: [])
        let (id, holder) = (try call.id("id", of: "offer"), try call.id("user", of: "offer"))
        let account = try call.account()
        call.clock.mark(.parse)
        let event = Self.event("beat_split_removed", id, account, call.caller, [.name: holder.description])
        guard try await store.remove(holder, from: id, by: account, filing: event) else { throw .notFound("offer") }
        call.clock.mark(.fetch)
        return .done
    }

    private func ofAccount(_ call: inout Call) async throws(Problem) -> Reply {
        var query = try call.query(allowed: ["page", "limit", "cursor"])
        let request = query.page()
        try query.check()
        let account = try call.account()
        call.clock.mark(.parse)
        let page = try await own.page(request, for: account)
        call.clock.mark(.fetch)
        return .list(page) { $0.write(into: &$1) }
    }

    private static func event(
        _ action: String, _ beat: EntityID, _ account: Account, _ caller: Caller, _ metadata: [AuditEvent.Detail: String] = [:]
    ) -> AuditEvent {
        AuditEvent(
            action, .permission, .notice, actor: account.id, target: .init(kind: "beat", id: beat), caller: caller, metadata: metadata)
    }

    private static func reply(_ splits: [BeatSplit]) -> Reply {
        .list(ListPage(whole: splits, most: BeatSplit.most)) { $0.write(into: &$1) }
    }
}
