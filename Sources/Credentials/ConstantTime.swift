/// Comparisons whose time tells nothing about where two secrets begin to differ.
public enum ConstantTime {
    /// Whether both hold the same bytes. Only their lengths show in the time this takes.
    public static func equals(_ left: some Collection<UInt8>, _ right: some Collection<UInt8>) -> Bool {
        guard left.count == right.count else { return false }
        var difference: UInt8 = 0
        for (one, other) in zip(left, right) { difference |= one ^ other }
        return difference == 0
    }
}
