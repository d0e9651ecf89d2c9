import Contract

/// One way of showing one kind of entity. Its name and schema stand in every key of the shared tier, so that a gateway never reads
/// bytes that another version of it wrote differently.
public struct Representation: Sendable, Hashable {
    public let kind: Announcement.Kind
    public let name: String
    public let schema: Int
    /// How long a body may be served before it is read again, whatever was announced.
    public let lifetime: Duration

    /// `schema` goes up whenever the bytes for the same entity change their shape.
    public init(kind: Announcement.Kind, name: String, schema: Int, lifetime: Duration = .seconds(300)) {
        self.kind = kind
        self.name = name
        self.schema = schema
        self.lifetime = lifetime
    }

    public static func == (left: Representation, right: Representation) -> Bool {
        left.name == right.name && left.kind == right.kind
    }

    public func hash(into hasher: inout Hasher) { hasher.combine(name) }

    func sharedKey(_ id: EntityID, _ generation: Int64) -> String { "kb:\(generation):\(kind.rawValue):\(id):\(name):\(schema)" }

    /// Under this key the shared tier remembers the newest version that was announced.
    static func floorKey(_ kind: Announcement.Kind, _ id: EntityID, _ generation: Int64) -> String {
        "kb:\(generation):\(kind.rawValue):\(id):floor"
    }
}
