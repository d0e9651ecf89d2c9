import Contract
import RedisClient

/// One body as the shared tier has it.
public struct CacheSample: Sendable {
    public let representation: Representation
    public let id: EntityID
    public let body: CachedBody
    let key: String
}

/// Takes bodies out of the shared tier at random, for somebody to compare them with what they are made of. It reads beside the caches and
/// their leases, and fills nothing.
public struct CacheSampler: Sendable {
    private static let deadline = Duration.seconds(2)
    /// Keys that one message asks for.
    private static let batch = 256
    /// Keys asked for in all: the tier holds leases, floors and other features' keys too, and gives some of them twice.
    private static let most = 4096

    private let redis: RedisClient
    private let generations: CacheGenerationStore
    private let representations: [Representation]

    /// `representations` are those whose bodies are of interest.
    public init(redis: RedisClient, postgres: PostgresAccess, representations: [Representation]) {
        self.redis = redis
        generations = CacheGenerationStore(postgres: postgres)
        self.representations = representations
    }

    /// Up to `count` bodies of the generation that counts; fewer where the tier holds few. Throws `storeUnavailable` or `overloaded`.
    public func samples(_ count: Int) async throws(Problem) -> [CacheSample] {
        let generation = try await generations.current().number
        var found: [String: (Representation, EntityID)] = [:]
        var asked = 0
        while found.count < count, asked < Self.most {
            let replies = try await send((0..<Self.batch).map { _ in RedisCommand("RANDOMKEY") })
            for case let key? in replies.map(\.text) where found[key] == nil && found.count < count {
                found[key] = entity(of: key, generation)
            }
            asked += Self.batch
        }
        return try await read(found.map { (key: $0.key, representation: $0.value.0, id: $0.value.1) })
    }

    /// What the tier has of these by now.
    public func again(_ samples: [CacheSample]) async throws(Problem) -> [CacheSample] {
        try await read(samples.map { (key: $0.key, representation: $0.representation, id: $0.id) })
    }

    /// Takes all bodies of an entity out of the tier: of one that Postgres does not know, and so will never announce.
    public func forget(_ id: EntityID) async throws(Problem) {
        let generation = try await generations.current().number
        _ = try await send(representations.map { RedisCommand("DEL", .text($0.sharedKey(id, generation))) })
    }

    private func entity(of key: String, _ generation: Int64) -> (Representation, EntityID)? {
        guard let id = key.split(separator: ":").dropFirst(3).first.flatMap({ EntityID($0) }) else { return nil }
        return representations.first { $0.sharedKey(id, generation) == key }.map { ($0, id) }
    }

    private func read(_ keys: [(key: String, representation: Representation, id: EntityID)]) async throws(Problem) -> [CacheSample] {
        guard !keys.isEmpty else { return [] }
        let replies = try await send(keys.map { RedisCommand("GET", .text($0.key)) })
        return zip(keys, replies).compactMap { key, reply in
            guard let bytes = reply.bytes, case .body(let body)? = SharedEntry(bytes) else { return nil }
            return CacheSample(representation: key.representation, id: key.id, body: body, key: key.key)
        }
    }

    private func send(_ commands: [RedisCommand]) async throws(Problem) -> [RedisValue] {
        guard !commands.isEmpty else { return [] }
        do throws(RedisError) { return try await redis.send(commands, deadline: .now + Self.deadline) } catch { throw .unavailable(.redis) }
    }
}
