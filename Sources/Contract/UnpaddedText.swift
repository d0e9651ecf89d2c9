/// Bytes as text in an alphabet of 2, 4, 8 ... 128 characters, most significant bits first and without padding (RFC 4648 §3.2): what
/// `Base64URL` and `Base32` have in common.
package struct UnpaddedText: Sendable {
    private static let foreign: UInt8 = 0xFF

    private let alphabet: [UInt8]
    /// Bits that a character stands for.
    private let width: Int
    /// What each byte stands for as a character.
    private let values: [UInt8]

    /// `others` are other spellings of the same characters, in the same order, that are read and not written.
    package init(alphabet: StaticString, others: StaticString = "") {
        self.alphabet = alphabet.withUTF8Buffer { Array($0) }
        width = self.alphabet.count.trailingZeroBitCount
        var values = [UInt8](repeating: Self.foreign, count: 256)
        for spelling in [self.alphabet, others.withUTF8Buffer { Array($0) }] {
            for (value, character) in spelling.enumerated() { values[Int(character)] = UInt8(value) }
        }
        self.values = values
    }

    package func encode(_ bytes: [UInt8]) -> String {
        var text: [UInt8] = []
        text.reserveCapacity((bytes.count * 8 + width - 1) / width)
        let mask = alphabet.count - 1
        var (bits, count): (UInt32, Int) = (0, 0)
        for byte in bytes {
            bits = bits << 8 | UInt32(byte)
            count += 8
            while count >= width {
                count -= width
                text.append(alphabet[Int(bits >> UInt32(count)) & mask])
            }
        }
        if count > 0 { text.append(alphabet[Int(bits << UInt32(width - count)) & mask]) }
        return String(decoding: text, as: UTF8.self)
    }

    /// Nil for a foreign character, an impossible length, or bits left over that are not zero: each value has one spelling, case and other
    /// spellings aside.
    package func decode(_ text: some StringProtocol) -> [UInt8]? {
        var bytes: [UInt8] = []
        bytes.reserveCapacity(text.utf8.count * width / 8)
        var (bits, count): (UInt32, Int) = (0, 0)
        for character in text.utf8 {
            let value = values[Int(character)]
            guard value != Self.foreign else { return nil }
            bits = (bits << UInt32(width) | UInt32(value)) & 0xFFFF
            count += width
            if count >= 8 {
                count -= 8
                bytes.append(UInt8(truncatingIfNeeded: bits >> UInt32(count)))
            }
        }
        return count < width && bits & (1 << UInt32(count) - 1) == 0 ? bytes : nil
    }
}
