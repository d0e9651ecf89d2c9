import Contract
import CrashPoints
import Foundation
import JSON
import MongoClient
import PostgresClient

/// Puts the originals that a catalogue brings into the object store. Their ids follow from where they come from, so a second import
/// finds them there.
struct CatalogueAudio: Sendable {
    let postgres: PostgresClient
    let mongo: MongoClient
    private static let bucket = "media"
    private static let largest = 512 << 20

    /// Throws where there is no such file below `folder`, or it is too large.
    static func check(_ file: String, in folder: String) throws(LineProblem) {
        let path = URL(fileURLWithPath: folder + "/" + file).resolvingSymlinksInPath().path
        guard path.hasPrefix(URL(fileURLWithPath: folder).resolvingSymlinksInPath().path + "/") else {
            throw LineProblem(reason: "audio.file must lie below the catalogue's folder")
        }
        let attributes = try? FileManager.default.attributesOfItem(atPath: path)
        guard attributes?[.type] as? FileAttributeType == .typeRegular, let size = attributes?[.size] as? Int, size <= largest else {
            throw LineProblem(reason: "audio.file is no regular file of at most \(largest >> 20) MiB")
        }
    }

    /// The line with its original's id and size filled in; unchanged where it brings none. Throws where the file cannot be read.
    func store(_ line: CatalogueLine, in folder: String) async throws -> CatalogueLine {
        guard let file = line.audioFile else { return line }
        let path = folder + "/" + file
        guard let size = try? FileManager.default.attributesOfItem(atPath: path)[.size] as? Int, size <= Self.largest else {
            throw CatalogueError.unreadable(path: path, reason: "no such file, or larger than \(Self.largest >> 20) MiB")
        }
        let id = Self.id(line.externalID, try Self.digest(path))
        if try await mongo.run(deadline: deadline, { session in try session.file(bucket: Self.bucket, id: .uuid(id.rawValue)) }) == nil {
            // One upload of an id at a time, whoever imports; the lock goes with its session, however that ends.
            try await postgres.session(deadline: deadline) { session in
                _ = try await session.query(Self.lock, [.int64(Int64(truncatingIfNeeded: id.rawValue))], deadline: deadline)
                try await upload(path, id, line.externalID.name)
            }
        }
        var line = line
        line.content.audio?.originalId = id.description
        line.content.audio?.fileSize = Int64(size)
        return line
    }

    private static let lock = PostgresStatement<Void>("SELECT pg_advisory_lock($1)")

    private func upload(_ path: String, _ id: EntityID, _ name: String) async throws {
        try await mongo.run(deadline: deadline) { session in
            guard try session.file(bucket: Self.bucket, id: .uuid(id.rawValue)) == nil else { return }
            let handle = try FileHandle(forReadingFrom: URL(fileURLWithPath: path))
            // It was only read: nothing is lost where closing it fails.
            defer { try? handle.close() }
            try session.upload(bucket: Self.bucket, id: .uuid(id.rawValue), filename: name) { buffer in
                crash(at: .importInAudio)
                guard let data = try handle.read(upToCount: buffer.count) else { return 0 }
                data.copyBytes(to: buffer)
                return data.count
            }
        }
    }

    private var deadline: ContinuousClock.Instant { .now + .seconds(60) }

    private static func digest(_ path: String) throws -> UInt64 {
        let handle = try FileHandle(forReadingFrom: URL(fileURLWithPath: path))
        // As above.
        defer { try? handle.close() }
        var digest = Digest()
        while let data = try handle.read(upToCount: 1 << 20), !data.isEmpty { data.withUnsafeBytes { digest.update($0) } }
        return digest.value
    }

    /// A version 8 UUID (RFC 9562 §5.8) of source, name and content: other bytes are another file.
    private static func id(_ external: ExternalID, _ content: UInt64) -> EntityID {
        let text = "\(external.source):\(external.name)\n\(content)"
        let high = UInt128(Digest(text).value)
        let low = UInt128(Digest("media\n" + text).value)
        let bits = high << 64 | low
        let mask = (UInt128(0xF) << 76) | (UInt128(0b11) << 62)
        return EntityID(rawValue: (bits & ~mask) | (UInt128(8) << 76) | (UInt128(0b10) << 62))
    }
}
