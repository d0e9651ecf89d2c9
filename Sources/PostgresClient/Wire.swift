// How the server writes values in binary: big-endian, lengths before contents.

extension UnsafeRawBufferPointer {
    /// A big-endian integer at an offset that the caller has checked.
    func integer<Integer: FixedWidthInteger & BitwiseCopyable>(_: Integer.Type, at offset: Int = 0) -> Integer {
        Integer(bigEndian: loadUnaligned(fromByteOffset: offset, as: Integer.self))
    }
}

enum TimestampWire {
    /// The server counts from 2000-01-01.
    static let epochOffset: Int64 = 946_684_800_000_000
}

enum ArrayWire {
    /// Reads an array of at most one dimension and without nulls; nil where it is neither, or where `element` answers nil.
    static func decode<Element>(
        _ bytes: UnsafeRawBufferPointer, _ element: (TypeID, UnsafeRawBufferPointer) -> Element?
    ) -> [Element]? {
        guard bytes.count >= 12 else { return nil }
        let dimensions = bytes.integer(Int32.self)
        let type = TypeID(rawValue: bytes.integer(UInt32.self, at: 8))
        if dimensions == 0 { return [] }
        guard dimensions == 1, bytes.count >= 20 else { return nil }
        let count = Int(bytes.integer(Int32.self, at: 12))
        guard count >= 0, count <= bytes.count / 4 else { return nil }
        var elements: [Element] = []
        elements.reserveCapacity(count)
        var offset = 20
        for _ in 0..<count {
            guard offset + 4 <= bytes.count else { return nil }
            let length = Int(bytes.integer(Int32.self, at: offset))
            offset += 4
            guard length >= 0, offset + length <= bytes.count,
                let value = element(type, UnsafeRawBufferPointer(rebasing: bytes[offset..<offset + length]))
            else { return nil }
            elements.append(value)
            offset += length
        }
        return elements
    }
}

/// A finite `numeric`: groups of four decimal digits, the first of them worth 10000 to the power of `weight`.
struct NumericWire {
    private let groups: UnsafeRawBufferPointer
    private let count: Int
    private let weight: Int
    private let isNegative: Bool
    private let scale: Int

    /// Nil for NaN, an infinity, or bytes that are no `numeric`.
    init?(_ bytes: UnsafeRawBufferPointer) {
        guard bytes.count >= 8 else { return nil }
        count = Int(bytes.integer(Int16.self))
        weight = Int(bytes.integer(Int16.self, at: 2))
        let sign = bytes.integer(UInt16.self, at: 4)
        scale = Int(bytes.integer(Int16.self, at: 6))
        guard sign == 0 || sign == 0x4000, count >= 0, scale >= 0, bytes.count == 8 + 2 * count else { return nil }
        isNegative = sign != 0
        groups = UnsafeRawBufferPointer(rebasing: bytes.dropFirst(8))
    }

    private func group(_ index: Int) -> Int {
        index >= 0 && index < count ? Int(groups.integer(Int16.self, at: 2 * index)) : 0
    }

    /// The number in full, with as many decimal places as the server shows.
    var decimal: String {
        var text: [UInt8] = []
        text.reserveCapacity(4 * max(1, weight + 1) + scale + 2)
        if isNegative { text.append(UInt8(ascii: "-")) }
        let firstDigit = text.count
        if weight >= 0 {
            for index in 0...weight { Self.append(group(index), to: &text, skippingZerosFrom: firstDigit) }
        }
        if text.count == firstDigit { text.append(UInt8(ascii: "0")) }
        if scale > 0 {
            text.append(UInt8(ascii: "."))
            let end = text.count + scale
            var index = weight + 1
            while text.count < end {
                Self.append(group(index), to: &text, skippingZerosFrom: nil)
                index += 1
            }
            text.removeLast(text.count - end)
        }
        return String(decoding: text, as: UTF8.self)
    }

    private static func append(_ group: Int, to text: inout [UInt8], skippingZerosFrom start: Int?) {
        for divisor in [1000, 100, 10, 1] {
            let digit = UInt8(truncatingIfNeeded: group / divisor % 10)
            if digit == 0, text.count == start { continue }
            text.append(UInt8(ascii: "0") + digit)
        }
    }

    /// The number times ten to the power of `places`; nil where that is no whole number or does not fit.
    func minorUnits(scale places: Int) -> Int64? {
        var whole: Int128 = 0
        for index in 0..<count {
            let (product, overflow) = whole.multipliedReportingOverflow(by: 10000)
            guard !overflow else { return nil }
            whole = product + Int128(group(index))
        }
        guard whole != 0 else { return 0 }
        var exponent = 4 * (weight - count + 1) + places
        while exponent > 0 {
            let (product, overflow) = whole.multipliedReportingOverflow(by: 10)
            guard !overflow else { return nil }
            whole = product
            exponent -= 1
        }
        while exponent < 0 {
            let (quotient, remainder) = whole.quotientAndRemainder(dividingBy: 10)
            guard remainder == 0 else { return nil }
            whole = quotient
            exponent += 1
        }
        return Int64(exactly: isNegative ? -whole : whole)
    }
}
