import Contract

/// The gateway's own nouns, as they look in every answer.
extension JSONWriter {
    public mutating func id(_ id: EntityID) {
        ascii(capacity: 36) { id.write(into: $0) }
    }

    public mutating func timestamp(_ timestamp: Timestamp) {
        ascii(capacity: 24) { timestamp.write(into: $0) }
    }

    /// A decimal number with the currency's own digits: `10.00`.
    public mutating func money(_ money: Money) {
        literal(money.description)
    }
}
