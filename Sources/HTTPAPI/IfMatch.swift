import Contract
import HTTPTypes
import JSON

/// The versions that a change may be made to (RFC 9110 §13.1.1): those that `If-Match` lists by their entity tags, or any.
public struct IfMatch: Sendable, Equatable {
    /// Nil: any version.
    private let versions: Set<Int64>?

    /// A change may be made to any version.
    public static let any = IfMatch(versions: nil)
    /// What a change to another version is answered with.
    public static let conflict = Problem(.versionConflict, "This has been changed since that version; read it again.")

    /// Entity tags have the version, and behind it a digest of what may change without it: `"7"`, `"7-1q25rmml2qqm0"`. The comparison is
    /// strong (RFC 9110 §8.8.3.2): what is no tag as the gateway makes them, or a weak one, matches no version.
    public init(_ call: Call) { self.init(call.field(.ifMatch)) }

    init(_ field: String?) {
        guard let field, field != "*" else {
            self = .any
            return
        }
        let versions = field.split(separator: ",").compactMap { tag -> Int64? in
            let tag = String(tag).trimmed
            guard tag.utf8.count > 2, tag.hasPrefix("\""), tag.hasSuffix("\"") else { return nil }
            let parts = tag.dropFirst().dropLast().split(separator: "-", maxSplits: 1, omittingEmptySubsequences: false)
            guard let version = Int64(parts[0]), version > 0, String(version) == parts[0] else { return nil }
            return parts.count == 1 || Digest.isText(parts[1]) ? version : nil
        }
        self.init(versions: Set(versions))
    }

    private init(versions: Set<Int64>?) { self.versions = versions }

    /// Whether a change may be made to this version.
    public func admits(_ version: Int64) -> Bool { versions?.contains(version) ?? true }
}
