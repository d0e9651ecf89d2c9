import Contract
import Testing

@testable import Audit

@Suite("Hashes of the audit log")
struct AuditHashTests {
    private static func entry(
        id: UInt128 = 1, at: Int64 = 1_795_255_380_123_456, actor: UInt128? = 2, action: String = "role_granted", category: String = "role",
        severity: String = "notice", address: String? = "192.0.2.1", userAgent: String? = "curl/8", targetKind: String? = "user",
        targetID: UInt128? = 3, metadata: String = #"{"role": "admin"}"#, requestID: String? = "00000000000000ff"
    ) -> AuditEntry {
        AuditEntry(
            id: EntityID(rawValue: id), at: Timestamp(microseconds: at), actor: actor.map(EntityID.init(rawValue:)), action: action,
            category: category, severity: severity, address: address, userAgent: userAgent, targetKind: targetKind,
            targetID: targetID.map(EntityID.init(rawValue:)), metadata: metadata, requestID: requestID)
    }

    /// The values come from another implementation, Python's hashlib over the bytes that `AuditHash` describes.
    @Test("The format stays: what was sealed once is verified for ever")
    func format() {
        #expect(AuditHash.entry(Self.entry()).hexadecimal == "7a178783274f3b8d85fa4919e461a318c1f5821ea803b0160bfa5081074d0fdd")
        #expect(
            AuditHash.link(after: AuditHash.origin, number: 1, entry: AuditHash.entry(Self.entry())).hexadecimal
                == "8bf75a08b0eb8a5d00d364cdaa89a384cdd75c64323881d291b7707dcad26bda")
    }

    @Test("Whichever column changes, and whether it moves to its neighbour or goes, the hash is another")
    func everyColumn() {
        let entries = [
            Self.entry(), Self.entry(id: 4), Self.entry(at: 5), Self.entry(actor: nil), Self.entry(actor: 3),
            Self.entry(action: "role_grante"),
            Self.entry(action: "role_grante", category: "drole"), Self.entry(category: "admin"), Self.entry(severity: "info"),
            Self.entry(address: nil), Self.entry(address: ""), Self.entry(userAgent: nil), Self.entry(userAgent: "curl/9"),
            Self.entry(address: "192.0.2.1curl/8", userAgent: ""), Self.entry(targetKind: nil), Self.entry(targetKind: "beat"),
            Self.entry(targetID: nil), Self.entry(actor: 3, targetID: 2), Self.entry(metadata: "{}"), Self.entry(requestID: nil),
            Self.entry(metadata: #"{"role": "admin"}0"#, requestID: "0000000000000ff"),
        ]
        #expect(Set(entries.map(AuditHash.entry)).count == entries.count)
    }

    @Test("A link depends on the one before, its number and its entry")
    func links() {
        let (entry, other) = (AuditHash.entry(Self.entry()), AuditHash.entry(Self.entry(id: 9)))
        let links = [
            AuditHash.link(after: AuditHash.origin, number: 1, entry: entry),
            AuditHash.link(after: AuditHash.origin, number: 2, entry: entry),
            AuditHash.link(after: entry, number: 1, entry: entry), AuditHash.link(after: AuditHash.origin, number: 1, entry: other),
        ]
        #expect(Set(links).count == links.count)
    }

    @Test("An anchor is a number and a hash as they are printed, and nothing else")
    func anchors() {
        let hash = AuditHash.origin.hexadecimal
        #expect(AuditAnchor("17:\(hash)")?.description == "17:\(hash)")
        for text in [
            "", "17", "0:\(hash)", "-1:\(hash)", "x:\(hash)", "17:\(hash)0", "17:\(hash.dropLast())", "17:\(hash):",
            "17:\(hash.dropLast())G",
        ] {
            #expect(AuditAnchor(text) == nil, "\(text)")
        }
    }
}
