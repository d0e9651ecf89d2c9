import MongoClient

/// Exercises every part of the MongoDB client for a bounded time, in a database of its own that it drops again. Meant to be run
/// under a sanitizer, where it shows leaks and races; without one the figures it prints mean something.
func checkMongo(connection: String, seconds: Int) async throws {
    let database = "drivercheck_\(UInt32.random(in: .min ... .max))"
    var configuration = MongoConfiguration(uri: connection, database: database)
    configuration.queueLimit = 256
    let client = try MongoClient(configuration)
    try await client.ping(deadline: .now + .seconds(10))
    try await fill(client)

    let share = Duration.milliseconds(max(1, seconds) * 1000 / 5)
    try await measure("empty job, one caller", callers: 1, for: share) { _, _ in try await client.run(deadline: soon) { _ in 1 } }
    try await measure("empty job, 64 callers", callers: 64, for: share) { _, _ in try await client.run(deadline: soon) { _ in 1 } }
    try await measure("find 16 of 2,000 by id, 16 callers", callers: 16, for: share) { caller, turn in
        try await client.run(deadline: soon) { try findSome($0, seed: caller &* 31 &+ turn) }
    }
    try await measure("everything, 32 callers", callers: 32, for: share) { caller, turn in
        try await everything(client, caller: caller, turn: turn)
    }
    try await measure("given up, 32 callers", callers: 32, for: share) { caller, turn in try await giveUp(client, (caller + turn) % 3) }

    try await client.run(deadline: .now + .seconds(30)) { _ = try $0.writeCommand(["dropDatabase": 1]) }
    await client.shutdown()
    print("mongo: done")
}

private var soon: ContinuousClock.Instant { .now + .seconds(5) }

private struct Unexpected: Error {
    let what: String
}

private func measure(
    _ name: String, callers: Int, for time: Duration, _ operation: @escaping @Sendable (Int, Int) async throws -> some Sendable
) async throws {
    let start = ContinuousClock.now
    let total = try await withThrowingTaskGroup(of: Int.self) { group in
        for caller in 0..<callers {
            group.addTask {
                var turn = 0
                while start.duration(to: .now) < time {
                    _ = try await operation(caller, turn)
                    turn += 1
                }
                return turn
            }
        }
        return try await group.reduce(0, +)
    }
    let took = start.duration(to: .now)
    let rate = Double(total) / (took / .seconds(1))
    print("mongo: \(name): \(total) operations, \(Int(rate)) operations/s")
}

private func fill(_ client: MongoClient) async throws {
    try await client.run(deadline: .now + .seconds(30)) { session in
        let beats = (0..<2000).map { number -> BSONDocument in
            [
                "_id": .uuid(UInt128(number)), "v": 1, "title": "Beat naïve \(number)", "bpm": .int32(Int32(60 + number % 120)),
                "tags": ["a", "b", "c"], "metadata": ["key": "C#", "duration": 180.5, "created": .date(milliseconds: 1_700_000_000_000)],
            ]
        }
        try session.insertMany("beats", beats)
    }
}

private func findSome(_ session: borrowing MongoSession, seed: Int) throws -> Int {
    let ids = (0..<16).map { BSONValue.uuid(UInt128((seed &* 7919 &+ $0 &* 104_729) & 0x7FFF_FFFF) % 2000) }
    var bytes = 0
    try session.find("beats", ["_id": ["$in": .array(ids)]]) { beat in
        beat.forEach { field in
            if field.keyIs("title") {
                bytes += field.withUTF8 { $0.count } ?? 0
            } else if field.keyIs("metadata") {
                field.withDocument { $0.forEach { bytes += $0.int64OrNil == nil ? 1 : 8 } }
            }
        }
    }
    guard bytes > 0 else { throw Unexpected(what: "nothing was found") }
    return bytes
}

// MARK: Every operation

private func everything(_ client: MongoClient, caller: Int, turn: Int) async throws {
    let id = UInt128(1_000_000 + caller)
    do {
        try await client.run(deadline: soon) { session in
            switch turn % 8 {
            case 0: try writes(session, id)
            case 1: try fence(session, id, version: Int64(turn))
            case 2: try files(session, id)
            case 3: try transaction(session, id)
            case 4: try refusals(session)
            case 5 where caller == 0: try changes(session)
            case 6: _ = try session.count("beats", ["bpm": ["$gte": 100]], limit: 50)
            default:
                try session.aggregate("beats", [["$match": ["bpm": 90]], ["$group": ["_id": "$bpm", "n": ["$sum": 1]]]]) { _ = $0.copy() }
            }
        }
    } catch {
        // Sanitizers are slow; what counts here is that nothing leaks or races when that happens.
        guard error.labels.contains(.transientTransaction) || error.code == .timeout else { throw error }
    }
}

private func writes(_ session: borrowing MongoSession, _ id: UInt128) throws {
    let filter: BSONDocument = ["_id": .uuid(id)]
    try session.updateOne("scratch", filter, ["$set": ["x": 1], "$inc": ["n": 1]], upsert: true)
    guard try session.findOneAndUpdate("scratch", filter, ["$inc": ["n": 1]]) != nil else { throw Unexpected(what: "update") }
    try session.replaceOne("scratch", filter, ["x": [1, "two", 3.5, nil, true]])
    try session.updateMany("scratch", filter, ["$set": ["y": .binary([1, 2, 3])]])
    guard try session.findOneAndDelete("scratch", filter) != nil else { throw Unexpected(what: "delete") }
    try session.deleteMany("scratch", filter)
}

private func fence(_ session: borrowing MongoSession, _ id: UInt128, version: Int64) throws {
    let write = MongoWrite.replaceOne(
        filter: ["_id": .uuid(id), "v": ["$lt": .int64(version)]], ["v": .int64(version), "title": "fenced"], upsert: true)
    _ = try session.bulkWrite("beats", [write, write])
}

private func files(_ session: borrowing MongoSession, _ id: UInt128) throws {
    var left = 600_000
    try session.delete(bucket: "fs", id: .uuid(id))
    try session.upload(bucket: "fs", id: .uuid(id), filename: "f", metadata: ["a": 1]) { buffer in
        let count = min(left, buffer.count)
        buffer.prefix(count).copyBytes(from: repeatElement(7, count: count))
        left -= count
        return count
    }
    var read = 0
    try session.download(bucket: "fs", id: .uuid(id), offset: 200_000, length: 300_000) { read += $0.count }
    guard read == 300_000 else { throw Unexpected(what: "a range of a file") }
}

private func transaction(_ session: borrowing MongoSession, _ id: UInt128) throws {
    struct Aborted: Error {}
    do {
        try session.withTransaction { session in
            try session.updateOne("scratch2", ["_id": .uuid(id)], ["$inc": ["n": 1]], upsert: true)
            if id % 2 == 0 { throw Aborted() }
        }
    } catch {
        guard error.underlying is Aborted else { throw error }
    }
}

private func refusals(_ session: borrowing MongoSession) throws {
    for attempt in 0..<4 {
        do {
            switch attempt {
            case 0: _ = try session.command(["noSuchCommand": 1])
            case 1: try session.find("beats", ["$noSuchOperator": 1]) { _ in }
            case 2: try session.find("beats", ["a\0b": 1]) { _ in }
            default: try session.find("beats", [:], limit: 200) { _ in throw Unexpected(what: "thrown in the walk") }
            }
            throw Unexpected(what: "attempt \(attempt) was not refused")
        } catch let error as MongoError where error.code != .timeout {
            // As planned.
        }
    }
}

private func changes(_ session: borrowing MongoSession) throws {
    try session.watch("watched", maxAwait: .milliseconds(50)) { stream in
        try session.insertMany("watched", [["x": 1]])
        for _ in 0..<20 where try stream.tryNext({ $0.stringOrNil("operationType") }) != nil { break }
        _ = try stream.resumeToken()
    }
}

// MARK: Giving up

private func giveUp(_ client: MongoClient, _ way: Int) async throws {
    do {
        switch way {
        case 0:
            _ = try await client.run(deadline: .now + .microseconds(100)) { try findSome($0, seed: 1) }
        case 1:
            _ = try await client.run(deadline: .now) { _ in 0 }
        default:
            let task = Task { try await client.run(deadline: soon) { try findSome($0, seed: 2) } }
            task.cancel()
            _ = try await task.value
        }
    } catch let error as MongoError where [.timeout, .cancelled, .queueFull].contains(error.code) {
        // As planned.
    }
}
