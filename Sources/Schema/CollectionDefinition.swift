import FoundationEssentials
import MongoClient

/// What a file of `mongo/` says: the collection's validator and its indexes. Keys of an index are `[field, direction]` pairs, because
/// their order matters and an object has none. The shard key is a statement for the day there are shards; it is checked, not applied.
struct CollectionDefinition: Sendable {
    struct Index: Sendable {
        let name: String
        /// The whole specification, as `createIndexes` takes it.
        let specification: BSONDocument
    }

    private(set) var collection: String
    let validator: BSONDocument
    let indexes: [Index]

    /// The same under another name.
    func named(_ name: String) -> CollectionDefinition {
        var definition = self
        definition.collection = name
        return definition
    }

    init(file: String, text: String) throws(SchemaError) {
        func refuse(_ reason: String) -> SchemaError { .malformed(file: file, reason: reason) }
        let json: JSONTree
        do {
            json = try JSONDecoder().decode(JSONTree.self, from: Data(text.utf8))
        } catch {
            throw refuse("it is no JSON (\(error))")
        }
        guard case .object(let fields) = json else { throw refuse("it is no object") }
        for name in fields.keys where !["collection", "comment", "validator", "indexes", "shardKey"].contains(name) {
            throw refuse("'\(name)' is unknown")
        }
        guard case .string(let collection)? = fields["collection"], file == "\(collection).json" else {
            throw refuse("'collection' must be the file's name without .json")
        }
        guard case .object(let validator)? = fields["validator"], !validator.isEmpty else { throw refuse("'validator' must be an object") }
        guard case .array(let indexes)? = fields["indexes"] else { throw refuse("'indexes' must be an array") }
        guard let shardKey = fields["shardKey"], Self.keys(shardKey) != nil else { throw refuse("'shardKey' must be an array of pairs") }

        self.collection = collection
        self.validator = BSONDocument(validator)
        var read: [Index] = []
        for index in indexes {
            guard case .object(var fields) = index, case .string(let name)? = fields.removeValue(forKey: "name"),
                let keys = fields.removeValue(forKey: "key").flatMap(Self.keys)
            else { throw refuse("an index needs 'name', and 'key' as an array of pairs") }
            var specification: BSONDocument = ["key": .document(keys), "name": .string(name)]
            for (option, value) in fields.sorted(by: { $0.key < $1.key }) { specification.append(option, value.bson) }
            read.append(Index(name: name, specification: specification))
        }
        self.indexes = read
    }

    private static func keys(_ json: JSONTree) -> BSONDocument? {
        guard case .array(let pairs) = json, !pairs.isEmpty else { return nil }
        var keys = BSONDocument()
        for pair in pairs {
            guard case .array(let parts) = pair, parts.count == 2, case .string(let field) = parts[0] else { return nil }
            switch parts[1] {
            case .integer(let direction): keys.append(field, .int32(direction < 0 ? -1 : 1))
            case .string(let kind): keys.append(field, .string(kind))
            default: return nil
            }
        }
        return keys
    }
}

/// Any JSON value. Objects lose the order of their fields.
private enum JSONTree: Decodable {
    case null
    case bool(Bool)
    case integer(Int64)
    case number(Double)
    case string(String)
    case array([JSONTree])
    case object([String: JSONTree])

    init(from decoder: any Decoder) throws {
        let container = try decoder.singleValueContainer()
        if container.decodeNil() {
            self = .null
        } else if let string = try? container.decode(String.self) {
            self = .string(string)
        } else if let bool = try? container.decode(Bool.self) {
            self = .bool(bool)
        } else if let integer = try? container.decode(Int64.self) {
            self = .integer(integer)
        } else if let number = try? container.decode(Double.self) {
            self = .number(number)
        } else if let array = try? container.decode([JSONTree].self) {
            self = .array(array)
        } else {
            self = .object(try container.decode([String: JSONTree].self))
        }
    }

    var bson: BSONValue {
        switch self {
        case .null: .null
        case .bool(let bool): .bool(bool)
        case .integer(let integer): .int64(integer)
        case .number(let number): .double(number)
        case .string(let string): .string(string)
        case .array(let array): .array(array.map(\.bson))
        case .object(let object): .document(BSONDocument(object))
        }
    }
}

extension BSONDocument {
    /// Fields sorted by name, so that the same file always makes the same document.
    fileprivate init(_ object: [String: JSONTree]) {
        self.init(object.sorted { $0.key < $1.key }.map { ($0.key, $0.value.bson) })
    }
}
