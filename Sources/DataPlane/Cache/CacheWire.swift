import Contract

/// What caches say to each other, and to themselves, through Redis.
enum CacheWire {
    /// Where announcements are published.
    static let announcements = "kb:announcements:1"

    /// Where an instance hears its own beats.
    static func beats(of instance: RequestID) -> String { "kb:beats:\(instance)" }

    /// `kind id version`, a line each.
    static func encode(_ announcements: [Announcement]) -> [UInt8] {
        Array(announcements.map { "\($0.kind.rawValue) \($0.id) \($0.version)\n" }.joined().utf8)
    }

    /// Nil where a line is not of that form: the listener then trusts nothing that it holds.
    static func decode(_ payload: [UInt8]) -> [Announcement]? {
        var announcements: [Announcement] = []
        for line in payload.split(separator: UInt8(ascii: "\n")) {
            let parts = String(decoding: line, as: UTF8.self).split(separator: " ")
            guard parts.count == 3, let kind = Announcement.Kind(rawValue: String(parts[0])), let id = EntityID(parts[1]),
                let version = Int64(parts[2])
            else { return nil }
            announcements.append(Announcement(kind: kind, id: id, version: version))
        }
        return announcements
    }

    /// A beat says when it was sent: nanoseconds since its instance began.
    static func encode(_ age: Duration) -> [UInt8] {
        Array("\(age.components.seconds * 1_000_000_000 + age.components.attoseconds / 1_000_000_000)".utf8)
    }

    static func decodeBeat(_ payload: [UInt8]) -> Duration? { Int64(String(decoding: payload, as: UTF8.self)).map { .nanoseconds($0) } }

    /// Names a server by what changes when it is restarted (`run_id`) or takes another's data (`master_replid`), from what INFO says.
    /// Nil for a replica, which lags.
    static func server(_ info: String) -> String? {
        var fields: [Substring: Substring] = [:]
        for line in info.split(whereSeparator: \.isNewline) {
            let parts = line.split(separator: ":", maxSplits: 1)
            if parts.count == 2 { fields[parts[0]] = parts[1] }
        }
        guard fields["role"] == "master", let run = fields["run_id"], let data = fields["master_replid"] else { return nil }
        return "\(run) \(data)"
    }
}
