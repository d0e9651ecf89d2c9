/// Microseconds since 1970-01-01 00:00 UTC.
public typealias PostgresTimestamp = Int64

/// One parameter of a statement. What has a type of its own is sent in binary as that type; `text` is sent as text and takes the
/// type that the server infers at its place, so it also serves enums, dates and whatever else has a text form.
public enum PostgresValue: Sendable, Equatable {
    case null
    case bool(Bool)
    case int32(Int32)
    case int64(Int64)
    case double(Double)
    case text(String)
    case bytes([UInt8])
    /// Sent as `uuid`; made by `uuid(_:)`. Halves, because parameters are made in async closures, for whose frames Swift 6.3.1 leaves
    /// too little room where something in them is aligned to 16 bytes.
    case uuidHalves(UInt64, UInt64)
    /// Sent as text and inferred, so it serves `json` as well as `jsonb`.
    case json(String)
    /// Sent as `timestamptz`.
    case timestamp(PostgresTimestamp)
    /// A decimal number as text, for example `-12.50`.
    case numeric(String)
    case uuids([UInt128])
    /// Sent as `bytea[]`.
    case byteStrings([[UInt8]])
    case texts([String?])
    case int64s([Int64])
    case bools([Bool])
    case timestamps([PostgresTimestamp?])
    case numerics([String?])
    /// Sent as `jsonb[]`.
    case jsons([String?])

    /// A `uuid`.
    public static func uuid(_ value: UInt128) -> PostgresValue {
        .uuidHalves(UInt64(truncatingIfNeeded: value >> 64), UInt64(truncatingIfNeeded: value))
    }

    /// The type that is named to the server when the statement is prepared; `inferred` leaves it to the server.
    var type: TypeID {
        switch self {
        case .null, .text, .json: .inferred
        case .bool: .bool
        case .int32: .int4
        case .int64: .int8
        case .double: .float8
        case .bytes: .bytea
        case .uuidHalves: .uuid
        case .timestamp: .timestamptz
        case .numeric: .numeric
        case .uuids: .uuidArray
        case .byteStrings: .byteaArray
        case .texts: .textArray
        case .int64s: .int8Array
        case .bools: .boolArray
        case .timestamps: .timestamptzArray
        case .numerics: .numericArray
        case .jsons: .jsonbArray
        }
    }
}

/// A type's object id, as the catalogue `pg_type` has it.
struct TypeID: RawRepresentable, Hashable, Sendable {
    let rawValue: UInt32

    static let inferred = TypeID(rawValue: 0)
    static let bool = TypeID(rawValue: 16)
    static let bytea = TypeID(rawValue: 17)
    static let char = TypeID(rawValue: 18)
    static let name = TypeID(rawValue: 19)
    static let int8 = TypeID(rawValue: 20)
    static let int2 = TypeID(rawValue: 21)
    static let int4 = TypeID(rawValue: 23)
    static let text = TypeID(rawValue: 25)
    static let oid = TypeID(rawValue: 26)
    static let json = TypeID(rawValue: 114)
    static let xml = TypeID(rawValue: 142)
    static let float4 = TypeID(rawValue: 700)
    static let float8 = TypeID(rawValue: 701)
    static let unknown = TypeID(rawValue: 705)
    static let boolArray = TypeID(rawValue: 1000)
    static let byteaArray = TypeID(rawValue: 1001)
    static let textArray = TypeID(rawValue: 1009)
    static let int8Array = TypeID(rawValue: 1016)
    static let bpchar = TypeID(rawValue: 1042)
    static let varchar = TypeID(rawValue: 1043)
    static let timestamp = TypeID(rawValue: 1114)
    static let timestamptz = TypeID(rawValue: 1184)
    static let timestamptzArray = TypeID(rawValue: 1185)
    static let numericArray = TypeID(rawValue: 1231)
    static let numeric = TypeID(rawValue: 1700)
    static let uuid = TypeID(rawValue: 2950)
    static let uuidArray = TypeID(rawValue: 2951)
    static let jsonb = TypeID(rawValue: 3802)
    static let jsonbArray = TypeID(rawValue: 3807)
    /// Types made by users start here; of those only enums and text-like ones are read, as text.
    static let firstUserType: UInt32 = 16384

    /// True when the binary form of the type is its text.
    var isText: Bool {
        switch self {
        case .text, .varchar, .bpchar, .name, .char, .unknown, .json, .xml: true
        default: rawValue >= TypeID.firstUserType
        }
    }
}
