import Contract
import JSON
import NIOCore

/// How one account stands to one beat: what an answer says only to whom it concerns. Read under the account's own row security, for
/// every request, and never cached.
struct BeatViewer: Sendable, Equatable {
    let isPublished: Bool
    let isFavorite: Bool
    /// The kinds of licence that the account holds and that are in force: `basic`, `premium`, `exclusive`.
    let licenses: [String]
    /// Whether the account made the beat and is a creator still, or may edit it as a collaborator.
    let canEdit: Bool

    /// Adds the `viewer` member to the bytes that everybody gets. Pure.
    func splice(into body: ByteBuffer) -> [UInt8] {
        var json = JSONWriter(capacity: 64)
        json.object { json in
            json.key("isFavorite")
            json.bool(isFavorite)
            json.key("licenses")
            json.array { json in
                for license in licenses { json.string(license) }
            }
            json.key("canEdit")
            json.bool(canEdit)
        }
        var bytes: [UInt8] = []
        bytes.reserveCapacity(body.readableBytes + json.bytes.count + 11)
        bytes.append(contentsOf: body.readableBytesView.dropLast())
        bytes.append(contentsOf: #","viewer":"#.utf8)
        bytes.append(contentsOf: json.bytes)
        bytes.append(UInt8(ascii: "}"))
        return bytes
    }
}
