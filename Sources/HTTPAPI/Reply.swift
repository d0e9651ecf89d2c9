import Contract
import HTTPTypes
import NIOCore

/// What a handler answers. The edge adds the rest: request id, `Server-Timing`, `304` where the client has it already.
public struct Reply: Sendable {
    public var status: HTTPResponse.Status
    public var contentType: String
    public var body: ByteBuffer
    /// A strong entity tag in its quotes.
    public var etag: String?
    /// How long and by whom the answer may be kept.
    public var cacheControl: CacheControl
    /// The tier that a cached read came from.
    public var tier: CacheTier?
    /// Header fields of this answer alone, such as `Location`.
    public var extraFields: [(HTTPField.Name, String)]
    public var cookies: [SetCookie] = []

    /// The values of the field that answers have.
    public enum CacheControl: String, Sendable {
        /// May be kept, must be asked about each time: what changes without notice.
        case revalidate = "public, no-cache"
        /// May be kept for a minute: what is announced longer than that before it counts.
        case minute = "public, max-age=60"
        /// Never kept.
        case never = "no-store"
    }

    public init(
        status: HTTPResponse.Status = .ok, contentType: String = "application/json", body: ByteBuffer, etag: String? = nil,
        cacheControl: CacheControl = .never, tier: CacheTier? = nil, extraFields: [(HTTPField.Name, String)] = []
    ) {
        self.status = status
        self.contentType = contentType
        self.body = body
        self.etag = etag
        self.cacheControl = cacheControl
        self.tier = tier
        self.extraFields = extraFields
    }

    /// 204: done, and nothing to say.
    public static let done = Reply(status: .noContent, body: ByteBuffer())

    /// A JSON text, written whole. With an `etag` it may be kept and asked about; without one it is never kept.
    public static func json(_ bytes: [UInt8], etag: String? = nil, tier: CacheTier? = nil) -> Reply {
        Reply(body: ByteBuffer(bytes: bytes), etag: etag, cacheControl: etag == nil ? .never : .revalidate, tier: tier)
    }
}
