import Contract
import HTTPTypes

/// The versions that a change may be made to (RFC 9110 §13.1.1): those that `If-Match` lists by their entity tags, or any.
public struct IfMatch: Sendable, Equatable {
    /// Nil: any version.
    private let versions: Set<Int64>?

    /// A change may be made to any version.
    public static let any = IfMatch(versions: nil)
    /// What a change to another version is answered with.
    public static let conflict = Problem(.versionConflict, "This has been changed since that version; read it again.")

    /// Entity tags begin with the version: `"7"`, `"7-1q25rmml2qqm0"`. What is no such tag, or a weak one, matches no version.
    public init(_ call: Call) { self.init(call.field(.ifMatch)) }

    init(_ field: String?) {
        guard let field, field != "*" else {
            self = .any
            return
        }
        let versions = field.split(separator: ",").compactMap { tag -> Int64? in
            let tag = String(tag).trimmed
            guard tag.count > 2, tag.hasPrefix("\""), tag.hasSuffix("\"") else { return nil }
            return Int64(tag.dropFirst().dropLast().prefix { $0 != "-" })
        }
        self.init(versions: Set(versions))
    }

    private init(versions: Set<Int64>?) { self.versions = versions }

    /// Whether a change may be made to this version.
    public func admits(_ version: Int64) -> Bool { versions?.contains(version) ?? true }
}
