import Contract
import Foundation
import JSON
import MongoClient

/// Puts the originals that a catalogue brings into the object store. Their ids follow from where they come from, so a second import
/// finds them there.
struct CatalogueAudio: Sendable {
    let mongo: MongoClient
    private static let bucket = "media"
    private static let largest = 512 << 20

    init(mongo: MongoClient) { self.mongo = mongo }

    /// The line with its original's id and size filled in; unchanged where it brings none. Throws where the file cannot be read.
    func store(_ line: CatalogueLine, in folder: String) async throws -> CatalogueLine {
        guard let file = line.audioFile else { return line }
        let path = folder + "/" + file
        guard let size = try? FileManager.default.attributesOfItem(atPath: path)[.size] as? Int, size <= Self.largest else {
            throw CatalogueError.unreadable(path: path, reason: "no such file, or larger than \(Self.largest >> 20) MiB")
        }
        let id = Self.id(line.externalID, file, size)
        try await mongo.run(deadline: .now + .seconds(60)) { session in
            guard try session.file(bucket: Self.bucket, id: .uuid(id.rawValue)) == nil else { return }
            let handle = try FileHandle(forReadingFrom: URL(fileURLWithPath: path))
            defer { try? handle.close() }
            try session.upload(bucket: Self.bucket, id: .uuid(id.rawValue), filename: line.externalID.name) { buffer in
                guard let data = try handle.read(upToCount: buffer.count) else { return 0 }
                data.copyBytes(to: buffer)
                return data.count
            }
        }
        var content = line.content
        content.audio?.originalId = id.description
        content.audio?.fileSize = Int64(size)
        return CatalogueLine(
            externalID: line.externalID, creator: line.creator, title: line.title, description: line.description,
            isPublished: line.isPublished, currency: line.currency, basic: line.basic, premium: line.premium, exclusive: line.exclusive,
            createdAt: line.createdAt, content: content, audioFile: file)
    }

    /// A version 8 UUID (RFC 9562 §5.8) of source, name, path and size.
    private static func id(_ external: ExternalID, _ file: String, _ size: Int) -> EntityID {
        let text = "\(external.source):\(external.name)\n\(file)\n\(size)"
        let high = UInt128(Digest(text.utf8).value)
        let low = UInt128(Digest(("media\n" + text).utf8).value)
        let bits = high << 64 | low
        let mask = (UInt128(0xF) << 76) | (UInt128(0b11) << 62)
        return EntityID(rawValue: (bits & ~mask) | (UInt128(8) << 76) | (UInt128(0b10) << 62))
    }
}
