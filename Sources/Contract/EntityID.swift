/// The id of an entity in every store: a UUID as 128 bits. New ones are version 7 (RFC 9562 §5.7), so they sort by time of creation.
public struct EntityID: RawRepresentable, Hashable, Comparable, Sendable {
    // Halves, because a UInt128 asks for an alignment of 16 bytes: Swift 6.3.1 leaves too little room for that in the frames of some
    // async closures, and what lies behind such a frame is overwritten.
    private let high: UInt64
    private let low: UInt64

    public var rawValue: UInt128 { UInt128(high) << 64 | UInt128(low) }

    public init(rawValue: UInt128) {
        high = UInt64(truncatingIfNeeded: rawValue >> 64)
        low = UInt64(truncatingIfNeeded: rawValue)
    }

    /// A new id for this moment.
    public static var now: EntityID { make(milliseconds: Timestamp.now.milliseconds) }

    /// A new version 7 id for `milliseconds` since 1970, random in its other 74 bits.
    public static func make(milliseconds: Int64, random: UInt128 = .random(in: .min ... .max)) -> EntityID {
        let time = UInt128(UInt64(clamping: milliseconds) & 0xFFFF_FFFF_FFFF) << 80
        let version = UInt128(0x7) << 76
        let variant = UInt128(0b10) << 62
        let mask = (UInt128(0xFFF) << 64) | UInt128(0x3FFF_FFFF_FFFF_FFFF)
        return EntityID(rawValue: time | version | variant | (random & mask))
    }

    public static func < (left: EntityID, right: EntityID) -> Bool { left.rawValue < right.rawValue }
}

extension EntityID: LosslessStringConvertible {
    /// Reads the canonical form, `8-4-4-4-12` hexadecimal digits in either case, and no other.
    public init?(_ text: some StringProtocol) {
        var text = String(text)
        guard let value = text.withUTF8({ Self.read($0) }) else { return nil }
        self.init(rawValue: value)
    }

    private static func read(_ text: UnsafeBufferPointer<UInt8>) -> UInt128? {
        guard text.count == 36 else { return nil }
        var value: UInt128 = 0
        for (index, byte) in text.enumerated() {
            if isHyphen(index) {
                guard byte == UInt8(ascii: "-") else { return nil }
            } else {
                guard let digit = digit(byte) else { return nil }
                value = value << 4 | UInt128(digit)
            }
        }
        return value
    }

    public var description: String {
        String(unsafeUninitializedCapacity: 36) { write(into: $0) }
    }

    /// Writes the 36 characters of the canonical form in lower case; `buffer` has room for them.
    @discardableResult
    public func write(into buffer: UnsafeMutableBufferPointer<UInt8>) -> Int {
        var shift = 124
        for index in 0..<36 {
            if Self.isHyphen(index) {
                buffer[index] = UInt8(ascii: "-")
            } else {
                let digit = UInt8(truncatingIfNeeded: rawValue >> UInt128(shift)) & 0xF
                buffer[index] = digit < 10 ? UInt8(ascii: "0") + digit : UInt8(ascii: "a") - 10 + digit
                shift -= 4
            }
        }
        return 36
    }

    private static func isHyphen(_ index: Int) -> Bool { index == 8 || index == 13 || index == 18 || index == 23 }

    private static func digit(_ byte: UInt8) -> UInt8? {
        switch byte {
        case UInt8(ascii: "0")...UInt8(ascii: "9"): byte - UInt8(ascii: "0")
        case UInt8(ascii: "a")...UInt8(ascii: "f"): byte - UInt8(ascii: "a") + 10
        case UInt8(ascii: "A")...UInt8(ascii: "F"): byte - UInt8(ascii: "A") + 10
        default: nil
        }
    }
}
