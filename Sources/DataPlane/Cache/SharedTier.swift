import Contract
import RedisClient

/// The tier that all gateways share. Optional: whatever goes wrong here is a miss, within a deadline that a request does not feel.
///
/// Its keys begin with the generation that counts (`CacheTrust`), and what was asked on connections that were made anew meanwhile is
/// no answer: the server may be another.
struct SharedTier: Sendable {

    /// How long one process may take to load what it holds the lease for.
    private static let leaseMilliseconds: Int64 = 3000
    /// How long a newest announced version is remembered: longer than any load can take.
    private static let floorMilliseconds: Int64 = 60_000
    private static let absentMilliseconds: Int64 = 10_000

    let redis: RedisClient
    let deadline: Duration
    /// What an announcement may take: a server that takes longer is passed over.
    let announceDeadline: Duration
    let observer: any Observer

    /// What looking under one key found.
    enum Found {
        case body(CachedBody)
        /// Nothing there: the caller holds this lease and may fill.
        case mine([UInt8])
        /// Another process is loading it.
        case theirs
        /// The tier did not answer.
        case unavailable
    }

    /// One round trip that reads a key and, where it is empty, takes the lease for it.
    func findOrLease(_ keys: [String], _ access: CacheTrust.Access) async -> [Found] {
        let leases = keys.map { _ in SharedEntry.makeLease() }
        let commands = zip(keys, leases).map { key, lease in
            RedisCommand("SET", .text(key), .bytes(lease), "NX", "GET", "PX", .integer(Self.leaseMilliseconds))
        }
        guard let replies = await pipeline(commands, access) else { return keys.map { _ in .unavailable } }
        return zip(replies, leases).map { reply, lease in
            switch reply {
            case .null: .mine(lease)
            case .string(let bytes): Self.interpret(bytes)
            default: refused(reply)
            }
        }
    }

    /// Redis answers, but not to this: older than 7.0, a replica, or out of memory. The log must say so, or nobody knows why it is slow.
    private func refused(_ reply: RedisValue) -> Found {
        if case .error(let words) = reply { observer.observe(.storeNote(.redis, "refused a look-up: \(words.prefix(80))")) }
        return .unavailable
    }

    /// Reads keys that another process was loading a moment ago.
    func find(_ keys: [String], _ access: CacheTrust.Access) async -> [Found] {
        guard let replies = await pipeline(keys.map { RedisCommand("GET", .text($0)) }, access) else {
            return keys.map { _ in .unavailable }
        }
        return replies.map { reply in
            if case .string(let bytes) = reply { Self.interpret(bytes) } else { .unavailable }
        }
    }

    private static func interpret(_ bytes: [UInt8]) -> Found {
        switch SharedEntry(bytes) {
        case .body(let body): .body(body)
        case .lease: .theirs
        case nil: .unavailable
        }
    }

    /// One body to store: under `key`, if the lease still stands and nothing newer was announced.
    struct Fill {
        let key: String
        let floorKey: String
        let lease: [UInt8]
        let body: CachedBody
        let lifetime: Duration
    }

    private static let fillScript = RedisScript(
        """
        if redis.call('GET', KEYS[1]) ~= ARGV[1] then return 0 end
        local floor = redis.call('GET', KEYS[2])
        if floor and tonumber(floor) > tonumber(ARGV[2]) then redis.call('DEL', KEYS[1]) return 0 end
        redis.call('SET', KEYS[1], ARGV[3], 'PX', ARGV[4])
        return 1
        """)

    func fill(_ fills: [Fill]) async {
        await withTaskGroup(of: Void.self) { group in
            for fill in fills { group.addTask { await store(fill) } }
        }
    }

    private func store(_ fill: Fill) async {
        let milliseconds = fill.body.exists ? Self.jittered(fill.lifetime.components.seconds * 1000) : Self.absentMilliseconds
        // An absent entity has no version of its own: any announcement since the lease was taken has removed the lease.
        let version = fill.body.exists ? fill.body.version : Int64.max >> 11
        do {
            let reply = try await redis.evaluate(
                Self.fillScript, keys: [fill.key, fill.floorKey],
                arguments: [.bytes(fill.lease), .integer(version), .bytes(SharedEntry.encode(fill.body)), .integer(milliseconds)],
                deadline: .now + deadline)
            if case .integer(0) = reply { observer.observe(.cacheFillRefused) }
        } catch {
            note(error)
        }
    }

    private static let releaseScript = RedisScript(
        "if redis.call('GET', KEYS[1]) == ARGV[1] then return redis.call('DEL', KEYS[1]) end return 0")

    /// Gives leases back that nothing came of, so that nobody waits for them.
    func release(_ leases: [(key: String, lease: [UInt8])]) async {
        for (key, lease) in leases {
            do {
                _ = try await redis.evaluate(Self.releaseScript, keys: [key], arguments: [.bytes(lease)], deadline: .now + deadline)
            } catch {
                note(error)
            }
        }
    }

    /// Ten per cent either way, so that what was filled together does not expire together.
    private static func jittered(_ milliseconds: Int64) -> Int64 {
        milliseconds + Int64.random(in: -milliseconds / 10...milliseconds / 10)
    }

    private static let dropScript = RedisScript(
        """
        local width = tonumber(ARGV[1])
        for index = 0, #KEYS / width - 1 do
            local floor, version = KEYS[index * width + 1], ARGV[index + 3]
            local known = redis.call('GET', floor)
            if not known or tonumber(known) < tonumber(version) then redis.call('SET', floor, version, 'PX', ARGV[2]) end
            redis.call('DEL', unpack(KEYS, index * width + 2, (index + 1) * width))
        end
        return 1
        """)
    private static let dropBatch = 100
    /// Makes every older body unreadable and every older fill refused, in all gateways. Throws where Redis did not say that it is so.
    func drop(
        _ announcements: [Announcement], representations: [Representation], generation: Int64
    ) async throws(RedisError) {
        let deadline = ContinuousClock.now + announceDeadline
        for (kind, announcements) in Dictionary(grouping: announcements, by: \.kind) {
            let representations = representations.filter { $0.kind == kind }
            guard !representations.isEmpty else { continue }
            for start in stride(from: 0, to: announcements.count, by: Self.dropBatch) {
                let batch = announcements[start..<min(start + Self.dropBatch, announcements.count)]
                let keys = batch.flatMap { announcement in
                    [Representation.floorKey(kind, announcement.id, generation)]
                        + representations.map { $0.sharedKey(announcement.id, generation) }
                }
                let arguments: [RedisArgument] =
                    [.integer(Int64(representations.count + 1)), .integer(Self.floorMilliseconds)] + batch.map { .integer($0.version) }
                _ = try await redis.evaluate(Self.dropScript, keys: keys, arguments: arguments, deadline: deadline)
            }
        }
        _ = try await redis.send(
            RedisCommand("PUBLISH", .text(CacheWire.announcements), .bytes(CacheWire.encode(announcements))), deadline: deadline)
    }

    // MARK: Who is there

    /// Asks the server who it is, and publishes `payload` behind that. Nil where it is none to rely on: a replica, or one that hides it.
    func beat(_ payload: [UInt8], on channel: String, within limit: Duration) async throws(RedisError) -> String? {
        let replies = try await redis.send(
            [RedisCommand("INFO", "server", "replication"), RedisCommand("PUBLISH", .text(channel), .bytes(payload))],
            deadline: .now + limit)
        return replies.first?.text.flatMap { CacheWire.server($0) }
    }

    private func pipeline(_ commands: [RedisCommand], _ access: CacheTrust.Access) async -> [RedisValue]? {
        let start = ContinuousClock.now
        guard redis.openings == access.openings else { return nil }
        do {
            let replies = try await redis.send(commands, deadline: start + deadline)
            guard redis.openings == access.openings else { return nil }
            observer.observe(.storeCall(.redis, microseconds: start.elapsedMicroseconds, failed: false))
            return replies
        } catch {
            observer.observe(.storeCall(.redis, microseconds: start.elapsedMicroseconds, failed: true))
            note(error)
            return nil
        }
    }

    private func note(_ error: RedisError) {
        if !error.isUnavailable { observer.observe(.storeNote(.redis, error.debugDescription)) }
    }
}
