/// The part of a list that was asked for: `page` counts from 1, or a cursor that an earlier page gave.
public struct PageRequest: Sendable, Equatable {
    /// Where a page begins.
    public enum Position: Sendable, Equatable {
        case page(Int)
        case after(Cursor)
    }

    /// Rows on one page, at the most.
    public static let maximumLimit = 100
    /// Rows on one page where nobody says how many.
    public static let defaultLimit = 20
    /// How deep page numbers reach; past it a cursor costs the same at any depth, a page number does not.
    public static let maximumDepth = 10_000

    public let limit: Int
    public let position: Position

    public init(limit: Int, position: Position) {
        self.limit = limit
        self.position = position
    }

    /// Rows before the first of this page, where the page is numbered.
    public var offset: Int { rowsBefore ?? 0 }

    /// Rows of the list before the first of this page; nil where it begins after a cursor, since nobody counts those.
    public var rowsBefore: Int? {
        if case .page(let number) = position { (number - 1) * limit } else { nil }
    }
}

/// Where a page of a list ended: the sort value and the id of its last row. Opaque to clients, and stable while rows come and go.
///
/// `order` names the sort, its direction and the filters that it was made for, so that a cursor is refused with any other.
public struct Cursor: Sendable, Equatable {
    /// The sort value, as the stores order it.
    public enum Value: Sendable, Equatable {
        case integer(Int64)
        case decimal(Double)
        case text(String)
        /// Rows that have no value sort after all that have, in either direction.
        case absent
    }

    /// A fingerprint of sort, direction and filters.
    public let order: UInt64
    public let value: Value
    public let id: EntityID

    public init(order: UInt64, value: Value, id: EntityID) {
        self.order = order
        self.value = value
        self.id = id
    }
}

extension Cursor {
    /// The value as a point in time, where it is one that the stores can hold: from 1970 to the year 9999.
    public var timestamp: Timestamp? {
        guard case .integer(let microseconds) = value, (0...253_402_300_799_999_999).contains(microseconds) else { return nil }
        return Timestamp(microseconds: microseconds)
    }
}

extension Cursor: LosslessStringConvertible {
    private static let format: UInt8 = 1
    private static let longestText = 1024

    public var description: String {
        var bytes: [UInt8] = [Self.format]
        bytes.appendBigEndian(order)
        bytes.appendBigEndian(id.rawValue)
        switch value {
        case .absent: bytes.append(0)
        case .integer(let integer):
            bytes.append(1)
            bytes.appendBigEndian(UInt64(bitPattern: integer))
        case .decimal(let decimal):
            bytes.append(2)
            bytes.appendBigEndian(decimal.bitPattern)
        case .text(let text):
            bytes.append(3)
            bytes.append(contentsOf: text.utf8)
        }
        return Base64URL.encode(bytes)
    }

    /// Nil for anything that `description` would not have made.
    public init?(_ text: String) {
        guard text.utf8.count <= 2 * Self.longestText, let bytes = Base64URL.decode(text), bytes.count >= 26, bytes[0] == Self.format else {
            return nil
        }
        let order = UInt64(bigEndianBytes: bytes[1..<9])
        let id = EntityID(rawValue: UInt128(bigEndianBytes: bytes[9..<25]))
        let rest = bytes[26...]
        switch (bytes[25], rest.count) {
        case (0, 0): self.init(order: order, value: .absent, id: id)
        case (1, 8): self.init(order: order, value: .integer(Int64(bitPattern: UInt64(bigEndianBytes: rest))), id: id)
        case (2, 8):
            let decimal = Double(bitPattern: UInt64(bigEndianBytes: rest))
            guard decimal.isFinite else { return nil }
            self.init(order: order, value: .decimal(decimal), id: id)
        case (3, ...Self.longestText):
            guard let text = String(validating: rest, as: UTF8.self) else { return nil }
            self.init(order: order, value: .text(text), id: id)
        default: return nil
        }
    }
}

extension [UInt8] {
    fileprivate mutating func appendBigEndian<Integer: FixedWidthInteger>(_ value: Integer) {
        for shift in stride(from: Integer.bitWidth - 8, through: 0, by: -8) {
            append(UInt8(truncatingIfNeeded: value >> Integer(shift)))
        }
    }
}

extension FixedWidthInteger {
    fileprivate init(bigEndianBytes bytes: ArraySlice<UInt8>) {
        self = bytes.reduce(0) { $0 << 8 | Self($1) }
    }
}
