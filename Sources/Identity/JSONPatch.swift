import Contract
import JSON

/// Members to merge into a JSON object (RFC 7396): those that are `null` go, those that are not named stay.
struct JSONPatch {
    private var writer = JSONWriter(capacity: 256)
    private var isEmpty = true

    mutating func set(_ name: String, _ change: Change<String>) {
        switch change {
        case .keep: break
        case .clear: clear(name)
        case .set(let value): member(name) { $0.string(value) }
        }
    }

    mutating func set(_ name: String, _ value: Bool) { member(name) { $0.bool(value) } }

    mutating func set(_ name: String, _ values: [String]) {
        member(name) { json in json.array { json in for value in values { json.string(value) } } }
    }

    mutating func clear(_ name: String) { member(name) { $0.null() } }

    private mutating func member(_ name: String, _ value: (inout JSONWriter) -> Void) {
        writer.key(name)
        value(&writer)
        isEmpty = false
    }

    /// The whole object; nil where it would be empty.
    var json: String? { isEmpty ? nil : "{" + String(decoding: writer.bytes, as: UTF8.self) + "}" }
}
