/// What a request does with one value: nothing, take it away, or set it.
public enum Change<Value: Sendable & Equatable>: Sendable, Equatable {
    case keep, clear
    case set(Value)

    public var value: Value? { if case .set(let value) = self { value } else { nil } }

    /// What `value` is after the change; nil where nothing is left.
    public func applied(to value: Value?) -> Value? {
        switch self {
        case .keep: value
        case .clear: nil
        case .set(let new): new
        }
    }
}
