import Contract
import Crypto

/// The hashes of the audit log's chain: SHA-256 (FIPS 180-4), 32 bytes.
///
/// An entry's hash covers every column. Each value stands with its length before it and an absent one has a mark of its own, so that no
/// two entries have the same bytes. A link's hash covers the link before, its own number and its entry's hash: nothing in the middle can
/// be changed, left out or moved without changing all that follows.
enum AuditHash {
    /// What the first link follows.
    static let origin = [UInt8](repeating: 0, count: 32)

    /// The format of `entry`, in case there is ever another.
    private static let format: UInt8 = 1

    static func entry(_ entry: AuditEntry) -> [UInt8] {
        var bytes: [UInt8] = [format]
        bytes.append(bigEndian: entry.id.rawValue)
        bytes.append(bigEndian: UInt64(bitPattern: entry.at.microseconds))
        for id in [entry.actor, entry.targetID] {
            bytes.append(id == nil ? 0 : 1)
            if let id { bytes.append(bigEndian: id.rawValue) }
        }
        let texts = [
            entry.action, entry.category, entry.severity, entry.address, entry.userAgent, entry.targetKind, entry.metadata, entry.requestID,
        ]
        for text in texts {
            bytes.append(text == nil ? 0 : 1)
            guard let text else { continue }
            bytes.append(bigEndian: UInt32(text.utf8.count))
            bytes.append(contentsOf: text.utf8)
        }
        return Array(SHA256.hash(data: bytes))
    }

    static func link(after previous: [UInt8], number: Int64, entry: [UInt8]) -> [UInt8] {
        var bytes = previous
        bytes.append(bigEndian: UInt64(bitPattern: number))
        bytes.append(contentsOf: entry)
        return Array(SHA256.hash(data: bytes))
    }
}

extension [UInt8] {
    fileprivate mutating func append<Integer: FixedWidthInteger>(bigEndian value: Integer) {
        for shift in stride(from: Integer.bitWidth - 8, through: 0, by: -8) {
            append(UInt8(truncatingIfNeeded: value >> Integer(shift)))
        }
    }

    /// Two digits a byte, in lower case.
    var hexadecimal: String {
        let digits = Array<UInt8>("0123456789abcdef".utf8)
        return String(decoding: flatMap { [digits[Int($0 >> 4)], digits[Int($0 & 15)]] }, as: UTF8.self)
    }
}
