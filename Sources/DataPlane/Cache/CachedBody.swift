import Contract
import JSON
import NIOCore

/// One entity at one version, as the final bytes of an answer that every viewer may see. Nil bytes: known not to exist.
public struct CachedBody: Sendable {
    public let version: Int64
    public let bytes: ByteBuffer?
    /// Strong entity tag (RFC 9110 §8.8.3): the version, and a digest of the bytes for what changes without it, such as counters.
    public let etag: String
    /// False where a store did not bring its part: good for one answer, never kept.
    public let isComplete: Bool
    /// When this version was made, where that is known.
    public let changedAt: Timestamp?

    public init(version: Int64, json: [UInt8], isComplete: Bool = true, changedAt: Timestamp? = nil) {
        let bytes = ByteBuffer(bytes: json)
        self.init(
            version: version, etag: "\"\(version)-\(Digest(json).text)\"", bytes: bytes, isComplete: isComplete,
            changedAt: changedAt)
    }

    /// An entity that nobody may see, or that is not there.
    public static let absent = CachedBody(version: 0, etag: "", bytes: nil, isComplete: true, changedAt: nil)

    public var exists: Bool { bytes != nil }

    var cost: Int { (bytes?.readableBytes ?? 0) + 160 }

    private init(version: Int64, etag: String, bytes: ByteBuffer?, isComplete: Bool, changedAt: Timestamp?) {
        self.version = version
        self.etag = etag
        self.bytes = bytes
        self.isComplete = isComplete
        self.changedAt = changedAt
    }
}

/// What the shared tier holds under a key: a body, or the token of the one process that is loading it.
enum SharedEntry {
    case body(CachedBody)
    case lease([UInt8])

    private static let bodyMark = UInt8(ascii: "B")
    private static let absentMark = UInt8(ascii: "N")
    private static let leaseMark = UInt8(ascii: "L")

    static func makeLease() -> [UInt8] {
        [leaseMark] + RequestID().description.utf8 + RequestID().description.utf8
    }

    /// `B`, the version in eight bytes, the JSON; or `N`.
    static func encode(_ body: CachedBody) -> [UInt8] {
        guard let bytes = body.bytes else { return [absentMark] }
        var out: [UInt8] = [bodyMark]
        out.reserveCapacity(bytes.readableBytes + 9)
        for shift in stride(from: 56, through: 0, by: -8) { out.append(UInt8(truncatingIfNeeded: body.version >> Int64(shift))) }
        bytes.withUnsafeReadableBytes { out.append(contentsOf: $0) }
        return out
    }

    /// Nil for bytes that this schema version did not write.
    init?(_ bytes: [UInt8]) {
        switch bytes.first {
        case Self.bodyMark where bytes.count > 9:
            let version = bytes[1..<9].reduce(Int64(0)) { $0 << 8 | Int64($1) }
            self = .body(CachedBody(version: version, json: Array(bytes[9...])))
        case Self.absentMark where bytes.count == 1: self = .body(.absent)
        case Self.leaseMark: self = .lease(bytes)
        default: return nil
        }
    }
}
