import MongoClient
import Testing

@Suite(.enabled(if: MongoTestServer.isThere)) struct MongoFileTests {
    private static let content = (0..<3_000_000).map { UInt8(truncatingIfNeeded: $0 &* 31 &+ $0 >> 8) }

    @Test func aFileOfThreeMegabytesComesBackWholeAndInRanges() async throws {
        try await withMongo { client in
            try await client.run(deadline: soon) { session in
                let id: BSONValue = .uuid(7)
                var position = 0
                // A thousand bytes at a time, so that a source need not know of chunks.
                let length = try session.upload(bucket: "audio", id: id, filename: "beat.opus", metadata: ["format": "opus"]) { buffer in
                    let piece = Self.content[position..<min(position + min(1000, buffer.count), Self.content.count)]
                    buffer.copyBytes(from: piece)
                    position += piece.count
                    return piece.count
                }
                #expect(length == 3_000_000)
                for (offset, count) in [
                    (0, nil), (0, 1), (261_119, 2), (261_120, 261_120), (1_234_567, 999_999), (2_999_999, 10), (3_000_000, 5),
                ]
                    as [(Int64, Int64?)]
                {
                    var read: [UInt8] = []
                    let file = try session.download(bucket: "audio", id: id, offset: offset, length: count) { read.append(contentsOf: $0) }
                    let end = min(3_000_000, Int(offset) + Int(count ?? 3_000_000))
                    #expect(read.elementsEqual(Self.content[Int(offset)..<end]), "from \(offset)")
                    #expect(file?.length == 3_000_000 && file?.filename == "beat.opus")
                    #expect(file?.metadata?.withView { $0.stringOrNil("format") } == "opus")
                }
            }
        }
    }

    @Test func aDeletedFileLeavesNothing() async throws {
        try await withMongo { client in
            try await client.run(deadline: soon) { session in
                var left = 600_000
                let source: (UnsafeMutableRawBufferPointer) -> Int = { buffer in
                    let count = min(left, buffer.count)
                    left -= count
                    buffer.prefix(count).copyBytes(from: repeatElement(1, count: count))
                    return count
                }
                try session.upload(bucket: "fs", id: 1, filename: "x", from: source)
                #expect(try session.count("fs.chunks") == 3)
                #expect(try session.delete(bucket: "fs", id: 1))
                #expect(try session.count("fs.chunks") == 0)
                #expect(try session.delete(bucket: "fs", id: 1) == false)
                #expect(try session.file(bucket: "fs", id: 1) == nil)
                #expect(try session.download(bucket: "fs", id: 1) { _ in } == nil)
            }
        }
    }

    @Test func aFailedUploadIsNotSeenAndTheNextOneSucceeds() async throws {
        struct Broken: Error {}
        try await withMongo { client in
            try await client.run(deadline: soon) { session in
                var pieces = 0
                let error = #expect(throws: MongoError.self) {
                    try session.upload(bucket: "fs", id: 1, filename: "x", chunkSize: 1000) { buffer in
                        pieces += 1
                        if pieces == 20 { throw Broken() }
                        return buffer.count
                    }
                }
                #expect(error?.underlying is Broken)
                #expect(try session.file(bucket: "fs", id: 1) == nil)
                #expect(try session.count("fs.chunks") == 16, "what it had sent is still there")
                try session.upload(bucket: "fs", id: 1, filename: "x") { _ in 0 }
                #expect(try session.file(bucket: "fs", id: 1)?.length == 0)
                #expect(try session.count("fs.chunks") == 0)
                let again = #expect(throws: MongoError.self) { try session.upload(bucket: "fs", id: 1, filename: "x") { _ in 0 } }
                #expect(again?.code == .duplicateKey)
            }
        }
    }

    @Test func aFileWithAMissingChunkIsAnErrorNotShorter() async throws {
        try await withMongo { client in
            try await client.run(deadline: soon) { session in
                var left = 5000
                try session.upload(bucket: "fs", id: 1, filename: "x", chunkSize: 1000) { buffer in
                    let count = min(left, buffer.count)
                    left -= count
                    return count
                }
                for missing in [4, 2] as [BSONValue] {
                    try session.deleteOne("fs.chunks", ["n": missing])
                    let error = #expect(throws: MongoError.self) { try session.download(bucket: "fs", id: 1) { _ in } }
                    #expect(error?.code == .decoding)
                }
            }
        }
    }
}
