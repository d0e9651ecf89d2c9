import Contract
import DataPlane

/// What walking the audit log's chain found.
public struct AuditVerification: Sendable, Equatable {
    /// The first thing that is not as it was sealed.
    public struct Fault: Sendable, Equatable, CustomStringConvertible {
        /// How the chain is broken; the raw values are for people.
        public enum Kind: String, Sendable {
            /// The link's number is not the one after the link before: one was taken out.
            case gap = "a link is missing before it"
            /// The entry is not in the log any more.
            case missing = "the entry is missing"
            /// The entry is not what was sealed.
            case altered = "the entry was altered"
            /// The link does not follow from the one before.
            case broken = "the link does not follow from the one before"
            /// The chain ends before the link that is known to have been there, or that link is another.
            case anchor = "the chain does not hold the link that was named"
            /// The entry was put into the log past its trigger, or was taken out of the queue: no sealer will ever see it.
            case loose = "entries are in no chain and do not wait for one"
        }

        public let kind: Kind
        /// The link's number in the chain, from 1; nil for what is in no chain.
        public let number: Int64?
        /// The entry in the log that the link is of, where one is known.
        public let entry: EntityID?

        public var description: String {
            var text = kind.rawValue
            if let number { text += ", at link \(number)" }
            if let entry { text += ", entry \(entry)" }
            return text
        }
    }

    /// Links that were walked.
    public var links: Int64 = 0
    /// Links whose entries went with their months, as whoever asked said.
    public var dropped: Int64 = 0
    /// The last link's hash, 64 hexadecimal digits: kept elsewhere, it proves later that nothing was cut off the end.
    public var head = ""
    /// Entries that wait for a sealer, and are not proven yet.
    public var waiting: Int64 = 0
    public var fault: Fault?
}

/// A link that is known from an earlier walk.
public struct AuditAnchor: Sendable, Equatable, LosslessStringConvertible {
    public let number: Int64
    /// 64 hexadecimal digits, in lower case.
    public let hash: String

    /// Reads `NUMBER:HASH`, as a verification prints it.
    public init?(_ text: String) {
        let parts = text.split(separator: ":", omittingEmptySubsequences: false)
        guard parts.count == 2, let number = Int64(parts[0]), number > 0, parts[1].utf8.count == 64,
            parts[1].utf8.allSatisfy({ "0123456789abcdef".utf8.contains($0) })
        else { return nil }
        self.number = number
        hash = String(parts[1])
    }

    public var description: String { "\(number):\(hash)" }
}

/// Walks the chain from its first link and holds every entry against it.
public struct AuditVerifier: Sendable {
    private let chain: AuditChain
    private static let page = 1000

    public init(postgres: PostgresAccess) {
        // Counting what is in no chain reads the whole log.
        chain = AuditChain(postgres: postgres, timeout: .seconds(25))
    }

    /// Stops at the first fault. Entries from before `keptFrom` may be gone: their links still have to follow from one another. `onProgress` hears how many links are walked, and of how many. Links that are appended meanwhile are
    /// left to the next walk. Throws `storeUnavailable`, `overloaded` or `internal`.
    public func run(
        anchor: AuditAnchor? = nil, keptFrom: Timestamp? = nil, onProgress: (_ links: Int64, _ of: Int64) -> Void = { _, _ in }
    ) async throws(Problem) -> AuditVerification {
        let length = try await chain.length()
        var found = AuditVerification()
        var previous = AuditHash.origin
        var anchorIsHeld = anchor == nil
        while found.links < length {
            let links = try await chain.links(after: found.links, to: length, most: Self.page)
            if links.isEmpty { break }
            for link in links {
                let isDropped = link.entry == nil && keptFrom.map { link.entryAt.microseconds < $0.microseconds } ?? false
                if isDropped { found.dropped += 1 }
                if let kind = Self.fault(link, isDropped: isDropped, number: found.links + 1, after: previous) {
                    found.fault = .init(kind: kind, number: link.number, entry: link.entryID)
                    return found
                }
                previous = link.chainHash
                found.links += 1
                if let anchor, anchor.number == link.number, anchor.hash == link.chainHash.hexadecimal { anchorIsHeld = true }
            }
            onProgress(found.links, length)
        }
        found.head = previous.hexadecimal
        let loose = try await chain.loose()
        found.waiting = loose.waiting
        if !anchorIsHeld {
            found.fault = .init(kind: .anchor, number: anchor?.number, entry: nil)
        } else if loose.unsealed > loose.waiting {
            found.fault = .init(kind: .loose, number: nil, entry: nil)
        }
        return found
    }

    private static func fault(
        _ link: AuditLink, isDropped: Bool, number: Int64, after previous: [UInt8]
    ) -> AuditVerification.Fault.Kind? {
        guard link.number == number else { return .gap }
        guard AuditHash.link(after: previous, number: number, entry: link.entryHash) == link.chainHash else { return .broken }
        guard let entry = link.entry else { return isDropped ? nil : .missing }
        return AuditHash.entry(entry) == link.entryHash ? nil : .altered
    }
}
