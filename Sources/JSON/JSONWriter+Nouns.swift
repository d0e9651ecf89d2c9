import Contract

/// The gateway's own nouns, as they look in every answer.
extension JSONWriter {
    /// An id as a string: 36 characters, in lower case.
    public mutating func id(_ id: EntityID) {
        ascii(capacity: 36) { id.write(into: $0) }
    }

    /// A time as a string: RFC 3339 in UTC, with milliseconds.
    public mutating func timestamp(_ timestamp: Timestamp) {
        ascii(capacity: 24) { timestamp.write(into: $0) }
    }

    /// A decimal number with the currency's own digits: `10.00`.
    public mutating func money(_ money: Money) {
        literal(money.description)
    }

    /// `"sources": {"mongo": "missing"}`: each store that is not fresh.
    public mutating func sources(_ sources: Sources) {
        key("sources")
        object { json in
            for (store, state) in [(StoreName.postgres, sources.postgres), (.mongo, sources.mongo), (.redis, sources.redis)]
            where state != .fresh {
                json.key(store.rawValue)
                json.string(state.rawValue)
            }
        }
    }

    /// The `page` member of a list. `next` is nil on the last page; `total` is what was counted, no more than near where
    /// `totalIsExact` is false, and nil where nobody counts.
    public mutating func page(limit: Int, next: Cursor?, total: Int64?, totalIsExact: Bool) {
        key("page")
        object { json in
            json.key("limit")
            json.integer(limit)
            json.key("next")
            if let next { json.string(next.description) } else { json.null() }
            guard let total else { return }
            json.key("total")
            json.integer(total)
            json.key("totalIsExact")
            json.bool(totalIsExact)
        }
    }
}
