import Glibc

/// A range of addresses as settings write it (RFC 4632, RFC 4291 §2.3): `10.0.0.0/8`, `2001:db8::/32`, or one address alone.
public struct AddressBlock: Sendable, Hashable {
    private let bytes: [UInt8]
    private let length: Int

    /// Nil for what is no such range, and for one whose address has bits beyond its length: a mistake, most likely.
    public init?(_ text: some StringProtocol) {
        let parts = text.split(separator: "/", maxSplits: 1, omittingEmptySubsequences: false)
        guard let address = ClientAddress(String(parts[0])) else { return nil }
        bytes = address.bytes
        guard parts.count == 2 else {
            length = address.bytes.count * 8
            return
        }
        guard let length = Int(parts[1]), (0...bytes.count * 8).contains(length), !parts[1].hasPrefix("+") else { return nil }
        self.length = length
        guard contains(address), Self.bits(bytes, beyond: length) == 0 else { return nil }
    }

    /// Whether `address` is in the range; never where one is IPv4 and the other IPv6.
    public func contains(_ address: ClientAddress) -> Bool {
        guard address.bytes.count == bytes.count else { return false }
        for index in 0..<(length + 7) / 8 {
            let mask = UInt8(truncatingIfNeeded: 0xFF00 >> min(8, length - index * 8))
            guard address.bytes[index] & mask == bytes[index] & mask else { return false }
        }
        return true
    }

    private static func bits(_ bytes: [UInt8], beyond length: Int) -> UInt8 {
        bytes.enumerated().reduce(0) { found, entry in
            found | entry.element & UInt8(truncatingIfNeeded: 0xFF >> max(0, min(8, length - entry.offset * 8)))
        }
    }
}

extension ClientAddress {
    /// Reads an address as it is written: four decimal bytes, or the forms of RFC 4291 §2.2. Nil for anything else, a zone included.
    public init?(_ text: String) {
        var bytes = [UInt8](repeating: 0, count: 16)
        if inet_pton(AF_INET, text, &bytes) == 1 {
            self.init(bytes: Array(bytes[..<4]))
        } else if inet_pton(AF_INET6, text, &bytes) == 1 {
            self.init(bytes: bytes)
        } else {
            return nil
        }
    }
}
