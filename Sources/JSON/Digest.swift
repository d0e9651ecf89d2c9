/// A 64-bit fingerprint of bytes (FNV-1a, http://www.isthe.com/chongo/tech/comp/fnv/), eight bytes a step.
///
/// For entity tags and cursor orders: it tells versions of one thing apart and defends against nobody.
public struct Digest: Sendable {
    /// The fingerprint of all that was taken in so far.
    public private(set) var value: UInt64 = 0xcbf2_9ce4_8422_2325

    public init() {}

    public init(_ bytes: [UInt8]) {
        self.init()
        update(bytes)
    }

    public init(_ text: String) {
        self.init()
        update(text)
    }

    private static let textLength = 13

    /// The fingerprint as entity tags have it: 13 digits of base 36, in lower case.
    public var text: String {
        let digits = String(value, radix: 36)
        return String(repeating: "0", count: Self.textLength - digits.utf8.count) + digits
    }

    /// Whether this can be some fingerprint's `text`.
    public static func isText(_ text: some StringProtocol) -> Bool {
        text.utf8.count == textLength && UInt64(text, radix: 36) != nil
            && text.utf8.allSatisfy {
                (UInt8(ascii: "0")...UInt8(ascii: "9")).contains($0) || (UInt8(ascii: "a")...UInt8(ascii: "z")).contains($0)
            }
    }

    /// Takes in a text's UTF-8. Two updates are not one of both: each is told apart by its length.
    public mutating func update(_ text: String) {
        var text = text
        text.withUTF8 { update(UnsafeRawBufferPointer($0)) }
    }

    /// Takes in some bytes, as one update.
    public mutating func update(_ bytes: [UInt8]) {
        bytes.withUnsafeBytes { update($0) }
    }

    /// Takes in some bytes, as one update.
    public mutating func update(_ bytes: UnsafeRawBufferPointer) {
        let whole = bytes.count & ~7
        for offset in stride(from: 0, to: whole, by: 8) {
            mix(UInt64(littleEndian: bytes.loadUnaligned(fromByteOffset: offset, as: UInt64.self)))
        }
        var rest: UInt64 = 0
        for byte in bytes[whole...] { rest = rest << 8 | UInt64(byte) }
        mix(rest)
        mix(UInt64(bytes.count))
    }

    private mutating func mix(_ word: UInt64) {
        value = (value ^ word) &* 0x0000_0100_0000_01b3
        value ^= value >> 29
    }
}
