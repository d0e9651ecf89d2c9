import CMongoC
import Glibc

/// A file in a GridFS bucket.
public struct MongoFile: Sendable, Hashable {
    /// Its size in bytes.
    public let length: Int64
    public let chunkSize: Int64
    public let filename: String?
    public let metadata: BSONBytes?
}

/// GridFS by its specification, over the operations the session has anyway: so chunks go out sixteen in a message, a range
/// reads the chunks it touches and no other, and any value may be an id, none of which the driver's own streams offer.
extension MongoSession {
    private static let chunksInMessage = 16

    /// Stores a file under `id`. It can be seen once all of it is stored; what an upload leaves behind that failed, or died with
    /// its process, cannot be seen and is cleared by the next under the same id. Two at the same time are not for one id.
    ///
    /// - Parameter next: fills the buffer as far as it can and returns how many bytes it put there; 0 ends the file.
    /// - Returns: the file's size.
    /// - Throws: `.duplicateKey` when the id is taken, what `next` throws, what the server or the way to it gives.
    @discardableResult
    public borrowing func upload(
        bucket: String, id: BSONValue, filename: String, metadata: BSONDocument? = nil, chunkSize: Int = 255 * 1024,
        from next: (UnsafeMutableRawBufferPointer) throws -> Int
    ) throws(MongoError) -> Int64 {
        guard (1...(8 << 20)).contains(chunkSize) else { throw MongoError(.refused, detail: "unusable chunk size") }
        try prepare(bucket: bucket)
        guard try findOne("\(bucket).files", ["_id": id], projection: ["_id": 1]) == nil else { throw MongoError(.duplicateKey) }
        try deleteMany("\(bucket).chunks", ["files_id": id])
        let length = try storeChunks(bucket: bucket, id: id, chunkSize: chunkSize, from: next)
        var file: BSONDocument = ["_id": id, "length": .int64(length), "chunkSize": .int32(Int32(chunkSize))]
        file.append("uploadDate", .date(milliseconds: Self.millisecondsNow()))
        file.append("filename", .string(filename))
        if let metadata { file.append("metadata", .document(metadata)) }
        try refuseFailures(try insertMany("\(bucket).files", [file]))
        return length
    }

    /// What is known of a file; nil when there is none.
    /// - Throws: what the server or the way to it gives.
    public borrowing func file(bucket: String, id: BSONValue) throws(MongoError) -> MongoFile? {
        var file: MongoFile?
        try find("\(bucket).files", ["_id": id], limit: 1) { found in
            file = MongoFile(
                length: try found.int64("length"), chunkSize: try found.int64("chunkSize"), filename: found.stringOrNil("filename"),
                metadata: found.withField("metadata") { $0.withDocument { $0.copy() } } ?? nil)
        }
        return file
    }

    /// Hands the bytes of a file from `offset` on, at most `length` of them, to `body` piece by piece, straight from the driver.
    /// - Returns: the file; nil when there is none.
    /// - Throws: `.decoding` when chunks are missing or too short, what `body` throws, what the server or the way to it gives.
    @discardableResult
    public borrowing func download(
        bucket: String, id: BSONValue, offset: Int64 = 0, length: Int64? = nil, into body: (UnsafeRawBufferPointer) throws -> Void
    ) throws(MongoError) -> MongoFile? {
        guard let file = try file(bucket: bucket, id: id) else { return nil }
        guard file.chunkSize > 0 else { throw MongoError(.decoding, detail: "a file without a chunk size") }
        let start = max(0, offset)
        let wanted = max(0, length ?? file.length)
        guard start < file.length, wanted > 0 else { return file }
        let end = start + min(wanted, file.length - start)
        var position = start
        let range: BSONDocument = ["$gte": .int64(start / file.chunkSize), "$lte": .int64((end - 1) / file.chunkSize)]
        try find(
            "\(bucket).chunks", ["files_id": id, "n": .document(range)], projection: ["n": 1, "data": 1], sort: ["n": 1],
            batchSize: Int32(Self.chunksInMessage)
        ) { chunk in
            let number = position / file.chunkSize
            guard chunk.int64OrNil("n") == number else { throw MongoError(.decoding, detail: "a chunk is missing") }
            let first = position - number * file.chunkSize
            let last = min(file.chunkSize, end - number * file.chunkSize)
            let isWhole: Bool? = try chunk.withField("data") { data in
                try data.withBinary { _, bytes in
                    guard bytes.count >= last else { return false }
                    try body(UnsafeRawBufferPointer(rebasing: bytes[Int(first)..<Int(last)]))
                    return true
                } ?? false
            }
            guard isWhole == true else { throw MongoError(.decoding, detail: "a chunk is too short") }
            position += last - first
        }
        guard position == end else { throw MongoError(.decoding, detail: "chunks are missing at the end") }
        return file
    }

    /// Removes a file; false when there was none. Its chunks are removed in either case.
    /// - Throws: what the server or the way to it gives.
    @discardableResult
    public borrowing func delete(bucket: String, id: BSONValue) throws(MongoError) -> Bool {
        let existed = try deleteOne("\(bucket).files", ["_id": id])
        try deleteMany("\(bucket).chunks", ["files_id": id])
        return existed
    }

    private borrowing func storeChunks(
        bucket: String, id: BSONValue, chunkSize: Int, from next: (UnsafeMutableRawBufferPointer) throws -> Int
    ) throws(MongoError) -> Int64 {
        var length: Int64 = 0
        var number: Int64 = 0
        var isAtEnd = false
        while !isAtEnd {
            var chunks: [BSONDocument] = []
            while chunks.count < Self.chunksInMessage, !isAtEnd {
                let data = try Self.chunk(of: chunkSize, from: next)
                isAtEnd = data.count < chunkSize
                guard !data.isEmpty else { break }
                chunks.append(["files_id": id, "n": .int32(Int32(clamping: number)), "data": .binary(data)])
                number += 1
                length += Int64(data.count)
            }
            try refuseFailures(try insertMany("\(bucket).chunks", chunks, ordered: true))
        }
        return length
    }

    /// The next chunk, full unless the file ends in it.
    private static func chunk(
        of size: Int, from next: (UnsafeMutableRawBufferPointer) throws -> Int
    ) throws(MongoError) -> [UInt8] {
        do {
            return try [UInt8](unsafeUninitializedCapacity: size) { buffer, count in
                while count < size {
                    let added = try next(UnsafeMutableRawBufferPointer(rebasing: UnsafeMutableRawBufferPointer(buffer)[count...]))
                    guard added > 0 else { break }
                    count = min(size, count + added)
                }
            }
        } catch {
            throw MongoError(wrapping: error)
        }
    }

    private borrowing func refuseFailures(_ result: MongoBulkResult) throws(MongoError) {
        if let failure = result.failures.first { throw MongoError(failure.code) }
    }

    /// The unique index on chunks is what makes two uploads under one id collide.
    private borrowing func prepare(bucket: String) throws(MongoError) {
        guard !worker.preparedBuckets.contains(bucket) else { return }
        _ = try writeCommand([
            "createIndexes": .string("\(bucket).chunks"),
            "indexes": [["key": ["files_id": 1, "n": 1], "name": "files_id_1_n_1", "unique": true]],
        ])
        if worker.preparedBuckets.count >= 256 { worker.preparedBuckets.removeAll() }
        worker.preparedBuckets.insert(bucket)
    }

    private static func millisecondsNow() -> Int64 {
        var now = timespec()
        clock_gettime(CLOCK_REALTIME, &now)
        return Int64(now.tv_sec) * 1000 + Int64(now.tv_nsec) / 1_000_000
    }
}
