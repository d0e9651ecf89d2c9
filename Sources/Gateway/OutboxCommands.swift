import Contract
import DataPlane

/// What the command line does about the outbox: the same as `/api/admin/outbox`, for whoever has the settings and no account.
extension Commands {
    /// What becomes of dead letters.
    public enum DeadLetterFate: Sendable {
        /// They are tried again.
        case replayed
        /// They are given up.
        case purged
    }

    /// Dead letters that one listing has at most.
    public static let deadLettersListed = 1...1000
    /// Dead letters that one call replays or purges at most.
    public static let deadLettersChanged = OutboxAdministration.most

    /// How many rows there are of each kind in each state, and how old the oldest is.
    public static func outboxDepths(_ settings: Settings) async throws -> String {
        try await withOutbox(settings) { outbox in
            list(try await outbox.depths())
        }
    }

    private static func list(_ depths: [OutboxDepth]) -> String {
        var rows = [["kind", "state", "rows", "oldest"]]
        for depth in depths {
            if depth.pending > 0 { rows.append([depth.kind, "waiting", "\(depth.pending)", age(depth.oldestSeconds ?? 0)]) }
            if depth.dead > 0 { rows.append([depth.kind, "dead", "\(depth.dead)", age(depth.oldestDeadSeconds ?? 0)]) }
        }
        return rows.count > 1 ? TextTable.text(rows, numbers: [2, 3]) : "the outbox is empty: every change is delivered"
    }

    /// Dead letters with ids above `id`, the oldest first, `limit` at most.
    public static func deadLetters(_ settings: Settings, after id: Int64, limit: Int) async throws -> String {
        try await withOutbox(settings) { outbox in
            list(try await outbox.deadLetters(after: id, limit: limit + 1), limit: limit, after: id)
        }
    }

    private static func list(_ found: [DeadLetter], limit: Int, after id: Int64) -> String {
        let letters = found.prefix(limit)
        guard let last = letters.last else { return id > 0 ? "there are no more dead letters" : "there are no dead letters" }
        let now = Timestamp.now.microseconds
        let rows = letters.map { letter in
            [
                String(letter.id), letter.kind, "\(letter.aggregate)", String(letter.version), String(letter.attempts),
                age((now - letter.createdAt.microseconds) / 1_000_000), letter.reason,
            ]
        }
        let header = ["id", "kind", "of", "version", "tries", "age", "reason"]
        let more = found.count > limit ? "\nthere are more: --after \(last.id)" : ""
        return TextTable.text([header] + rows, numbers: [0, 3, 4, 5]) + more
    }

    /// Replays or purges dead letters, those of `ids` or all of them, as `/api/admin/outbox/dead/...` does.
    public static func changeDeadLetters(_ settings: Settings, _ fate: DeadLetterFate, ids: [Int64]?) async throws -> String {
        try await withOutbox(settings) { outbox in
            let account: OutboxAdministration.Accounting = { count in
                let action = fate == .replayed ? OutboxAdministration.replayed : OutboxAdministration.purged
                return AuditEvent(action, .admin, .notice, metadata: [.count: String(count), .reason: "command line"])
            }
            let count: Int64
            var text: String
            switch fate {
            case .replayed:
                count = try await outbox.replay(ids, accounting: account)
                text = "\(count) dead letters wait to be delivered again, by any gateway"
            case .purged:
                count = try await outbox.purge(ids, accounting: account)
                text =
                    "\(count) dead letters are given up: their copies stay as they are until the next change, or `kababeat verify --repair`"
            }
            if let ids, count < Set(ids).count { text += "\n\(Set(ids).count - Int(count)) of those that were named are none" }
            if ids == nil, count == Int64(deadLettersChanged) { text += "\nthere may be more: run it again" }
            return text
        }
    }

    private static func withOutbox(
        _ settings: Settings, _ body: (OutboxAdministration) async throws -> String
    ) async throws -> String {
        try await withStores(settings) { stores, observer in
            try await body(OutboxAdministration(postgres: PostgresAccess(stores.postgres, observer: observer)))
        }
    }

    /// In the largest unit of which there are two or more.
    static func age(_ seconds: Int64) -> String {
        switch max(0, seconds) {
        case let seconds where seconds >= 2 * 86_400: "\(seconds / 86_400) d"
        case let seconds where seconds >= 2 * 3600: "\(seconds / 3600) h"
        case let seconds where seconds >= 2 * 60: "\(seconds / 60) min"
        case let seconds: "\(seconds) s"
        }
    }
}
