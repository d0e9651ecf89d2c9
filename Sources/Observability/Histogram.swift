/// Cumulative counts under fixed upper bounds.
final class Histogram: Sendable {
    static let seconds: [Double] = [0.000_1, 0.000_25, 0.000_5, 0.001, 0.002_5, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5]
    static let sizes: [Double] = [1, 2, 4, 8, 16, 32, 64, 128, 256, 512]

    let bounds: [Double]
    private let counts: [Counter]
    /// In millionths of the unit.
    private let total = Counter()

    init(_ bounds: [Double]) {
        self.bounds = bounds
        counts = (0...bounds.count).map { _ in Counter() }
    }

    /// Adds a time to a histogram of seconds.
    func add(microseconds: Int64) { add(Double(microseconds) / 1_000_000, millionths: Int(microseconds)) }

    func add(_ whole: Int) { add(Double(whole), millionths: whole * 1_000_000) }

    private func add(_ value: Double, millionths: Int) {
        counts[bounds.firstIndex { value <= $0 } ?? bounds.count].add(1)
        total.add(millionths)
    }

    var count: Int { counts.reduce(0) { $0 + $1.value } }
    var sum: Double { Double(total.value) / 1_000_000 }

    /// Counts at or under each bound, then all.
    var cumulative: [Int] {
        var running = 0
        return counts.map { count in
            running += count.value
            return running
        }
    }
}
