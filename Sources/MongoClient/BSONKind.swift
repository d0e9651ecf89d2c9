/// The type of one BSON element, by its number on the wire.
public enum BSONKind: UInt8, Sendable {
    case double = 0x01
    case string = 0x02
    case document = 0x03
    case array = 0x04
    case binary = 0x05
    case undefined = 0x06
    case objectID = 0x07
    case bool = 0x08
    case date = 0x09
    case null = 0x0A
    case regularExpression = 0x0B
    case databasePointer = 0x0C
    case code = 0x0D
    case symbol = 0x0E
    case codeWithScope = 0x0F
    case int32 = 0x10
    case timestamp = 0x11
    case int64 = 0x12
    case decimal128 = 0x13
    case maximumKey = 0x7F
    case minimumKey = 0xFF

    /// The bytes a value of this kind takes, where that depends on the kind alone.
    @usableFromInline
    var fixedByteCount: Int? {
        switch self {
        case .undefined, .null, .maximumKey, .minimumKey: 0
        case .bool: 1
        case .int32: 4
        case .double, .date, .timestamp, .int64: 8
        case .objectID: 12
        case .decimal128: 16
        case .string, .document, .array, .binary, .regularExpression, .databasePointer, .code, .symbol, .codeWithScope: nil
        }
    }
}

/// The subtype a binary value carries.
enum BSONBinarySubtype {
    static let generic: UInt8 = 0
    static let uuid: UInt8 = 4
}
