import Testing

@testable import PostgresClient

@Suite struct NumericWireTests {
    /// The wire form: groups of four digits, the first worth 10000 to the power of `weight`.
    private func number<T>(_ groups: [Int16], weight: Int16, sign: UInt16 = 0, scale: Int16, _ body: (NumericWire?) -> T) -> T {
        var bytes: [UInt8] = []
        for value in [UInt16(groups.count), UInt16(bitPattern: weight), sign, UInt16(bitPattern: scale)] + groups.map(UInt16.init) {
            bytes += [UInt8(value >> 8), UInt8(value & 0xFF)]
        }
        return bytes.withUnsafeBytes { body(NumericWire($0)) }
    }

    @Test("Decimals keep every digit, and as many places as the server shows")
    func decimals() {
        #expect(number([], weight: 0, scale: 2) { $0?.decimal } == "0.00")
        #expect(number([12, 5000], weight: 0, scale: 2) { $0?.decimal } == "12.50")
        #expect(number([12, 5000], weight: 0, sign: 0x4000, scale: 1) { $0?.decimal } == "-12.5")
        #expect(number([1], weight: 2, scale: 0) { $0?.decimal } == "100000000")
        #expect(number([1, 23], weight: 1, scale: 0) { $0?.decimal } == "10023")
        #expect(number([5], weight: -2, scale: 8) { $0?.decimal } == "0.00000005")
        #expect(number([9999, 9999, 9999, 9900], weight: 1, scale: 6) { $0?.decimal } == "99999999.999999")
    }

    @Test("NaN and the infinities are no numbers", arguments: [UInt16(0xC000), 0xD000, 0xF000])
    func notFinite(sign: UInt16) {
        #expect(number([], weight: 0, sign: sign, scale: 0) { $0 == nil })
    }

    @Test("Minor units are exact or nothing")
    func minorUnits() {
        #expect(number([], weight: 0, scale: 2) { $0?.minorUnits(scale: 2) } == 0)
        #expect(number([12, 5000], weight: 0, scale: 2) { $0?.minorUnits(scale: 2) } == 1250)
        #expect(number([12, 5000], weight: 0, sign: 0x4000, scale: 1) { $0?.minorUnits(scale: 2) } == -1250)
        #expect(number([12, 5000], weight: 0, scale: 1) { $0?.minorUnits(scale: 0) } == nil, "half a unit")
        #expect(number([50], weight: -1, scale: 4) { $0?.minorUnits(scale: 2) } == nil, "half a cent")
        #expect(number([1], weight: 2, scale: 0) { $0?.minorUnits(scale: 3) } == 100_000_000_000)
        #expect(number([922, 3372, 368, 5477, 5807], weight: 4, scale: 0) { $0?.minorUnits(scale: 0) } == .max)
        #expect(number([922, 3372, 368, 5477, 5808], weight: 4, scale: 0) { $0?.minorUnits(scale: 0) } == nil)
        #expect(number([922, 3372, 368, 5477, 5808], weight: 4, sign: 0x4000, scale: 0) { $0?.minorUnits(scale: 0) } == .min)
        #expect(number([1], weight: 30000, scale: 0) { $0?.minorUnits(scale: 2) } == nil)
    }

    @Test("Bytes that are no numeric are refused, not read beyond their end")
    func malformed() {
        for count in 0..<10 {
            let bytes = [UInt8](repeating: 0, count: count).enumerated().map { UInt8($0.offset == 1 ? 3 : $0.element) }
            #expect(bytes.withUnsafeBytes { NumericWire($0) == nil })
        }
    }
}

@Suite struct ArrayWireTests {
    private func decode(_ bytes: [UInt8]) -> [UInt8]? {
        bytes.withUnsafeBytes { ArrayWire.decode($0) { _, element in element.first } }
    }

    private func header(dimensions: UInt8, count: UInt8) -> [UInt8] {
        [0, 0, 0, dimensions, 0, 0, 0, 0, 0, 0, 0, 25] + (dimensions == 0 ? [] : [0, 0, 0, count, 0, 0, 0, 1])
    }

    @Test("Arrays of one dimension are read, empty ones too")
    func reads() {
        #expect(decode(header(dimensions: 0, count: 0)) == [])
        #expect(decode(header(dimensions: 1, count: 2) + [0, 0, 0, 1, 7, 0, 0, 0, 1, 8]) == [7, 8])
    }

    @Test("Nulls, more dimensions and truncated bytes are refused")
    func refuses() {
        #expect(decode(header(dimensions: 1, count: 1) + [255, 255, 255, 255]) == nil)
        #expect(decode(header(dimensions: 2, count: 1) + [0, 0, 0, 1, 0, 0, 0, 1, 0, 0, 0, 1, 7]) == nil)
        #expect(decode(header(dimensions: 1, count: 200)) == nil)
        let whole = header(dimensions: 1, count: 2) + [0, 0, 0, 1, 7, 0, 0, 0, 1, 8]
        for count in 0..<whole.count { #expect(decode(Array(whole.prefix(count))) == nil) }
    }
}

@Suite struct ParameterBufferTests {
    private func encoded(_ values: [PostgresValue]) throws -> [[UInt8]?] {
        var buffer = ParameterBuffer()
        try buffer.encode(values)
        return buffer.withParameters { count, addresses, lengths, _ in
            (0..<Int(count)).map { index in
                addresses[index].map { [UInt8](UnsafeRawBufferPointer(start: $0, count: Int(lengths[index]))) }
            }
        }
    }

    @Test("Numbers are big-endian, null has no address, an empty value has one")
    func scalars() throws {
        let values = try encoded([.int32(1), .null, .bytes([]), .bool(true), .text("é"), .uuid(255), .timestamp(946_684_800_000_001)])
        #expect(
            values == [
                [0, 0, 0, 1], nil, [], [1], [0xC3, 0xA9], [UInt8](repeating: 0, count: 15) + [255], [0, 0, 0, 0, 0, 0, 0, 1],
            ])
    }

    @Test("Arrays carry their type, their bounds and their nulls")
    func arrays() throws {
        #expect(try encoded([.uuids([])]) == [[0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0x0B, 0x86]])
        #expect(
            try encoded([.texts(["a", nil])]) == [
                [0, 0, 0, 1, 0, 0, 0, 1, 0, 0, 0, 25, 0, 0, 0, 2, 0, 0, 0, 1, 0, 0, 0, 1, 97, 255, 255, 255, 255]
            ])
        #expect(try encoded([.numerics(["1.5", nil, "\"\\"])]) == [Array(#"{"1.5",NULL,"\"\\"}"#.utf8)])
    }

    @Test(
        "Text with a zero byte is refused, as the server would",
        arguments: [
            PostgresValue.text("a\0b"), .json("\"\0\""), .texts(["\0"]), .numerics(["1\0"]), .jsons(["\0"]),
        ])
    func zeroByte(value: PostgresValue) {
        #expect { try encoded([value]) } throws: { ($0 as? PostgresError)?.sqlState == "22021" }
    }

    @Test("Timestamps beyond what the server holds are refused", arguments: [Int64.min, Int64.min + 946_684_800_000_000])
    func timestampRange(value: Int64) {
        #expect { try encoded([.timestamp(value)]) } throws: { ($0 as? PostgresError)?.sqlState == "22008" }
    }

    @Test("The buffer is reused from one request to the next")
    func reuse() throws {
        var buffer = ParameterBuffer()
        for round in 0..<3 {
            try buffer.encode([.int64(Int64(round)), .text("x")])
            let last = buffer.withParameters { count, addresses, lengths, _ in
                (count, addresses[0].map { UnsafeRawBufferPointer(start: $0, count: Int(lengths[0]))[7] })
            }
            #expect(last.0 == 2 && last.1 == UInt8(round))
        }
    }
}
