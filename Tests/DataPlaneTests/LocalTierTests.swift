import TestSupport
import Testing

@testable import DataPlane

/// SIEVE as its paper has it (Zhang et al., NSDI '24, algorithm 1), slow and plain.
private struct Model {
    struct Entry {
        let key: Int
        var value: Int
        let cost: Int
        let expires: ContinuousClock.Instant
        var visited = false
    }

    let capacity: Int
    /// The oldest first.
    var entries: [Entry] = []
    var hand: Int?

    var cost: Int { entries.reduce(0) { $0 + $1.cost } }

    mutating func value(for key: Int, now: ContinuousClock.Instant) -> Int? {
        guard let index = entries.firstIndex(where: { $0.key == key }) else { return nil }
        guard entries[index].expires > now else {
            remove(index)
            return nil
        }
        entries[index].visited = true
        return entries[index].value
    }

    mutating func insert(_ value: Int, for key: Int, cost: Int, expires: ContinuousClock.Instant) {
        removeValue(for: key)
        guard cost <= capacity / 8 else { return }
        while self.cost + cost > capacity {
            var index = hand.flatMap { hand in entries.firstIndex { $0.key == hand } } ?? 0
            while entries[index].visited {
                entries[index].visited = false
                index = (index + 1) % entries.count
            }
            hand = index + 1 < entries.count ? entries[index + 1].key : nil
            entries.remove(at: index)
        }
        entries.append(Entry(key: key, value: value, cost: cost, expires: expires))
    }

    mutating func removeValue(for key: Int) {
        if let index = entries.firstIndex(where: { $0.key == key }) { remove(index) }
    }

    private mutating func remove(_ index: Int) {
        if hand == entries[index].key { hand = index + 1 < entries.count ? entries[index + 1].key : nil }
        entries.remove(at: index)
    }
}

@Suite struct LocalTierTests {
    private static let now = ContinuousClock.now

    @Test func itKeepsAndEvictsExactlyWhatSieveWould() {
        var random = SeededGenerator()
        for capacity in [80, 400, 1000] {
            var tier = LocalTier<Int, Int>(capacity: capacity)
            var model = Model(capacity: capacity)
            for step in 0..<6000 {
                let key = Int.random(in: 0..<60, using: &random)
                let now = Self.now + .seconds(step)
                switch Int.random(in: 0..<20, using: &random) {
                case 0..<11: #expect(tier.value(for: key, now: now) == model.value(for: key, now: now), "\(random) step \(step)")
                case 11..<18:
                    let cost = Int.random(in: 1...(capacity / 7), using: &random)
                    let expires = now + .seconds(Int.random(in: 0...2000, using: &random))
                    tier.insert(step, for: key, cost: cost, expires: expires)
                    model.insert(step, for: key, cost: cost, expires: expires)
                default:
                    tier.removeValue(for: key)
                    model.removeValue(for: key)
                }
                #expect(tier.cost == model.cost && tier.count == model.entries.count, "\(random) step \(step)")
                #expect(tier.cost <= capacity)
            }
            tier.removeAll()
            #expect(tier.cost == 0 && tier.count == 0)
        }
    }

    @Test func whatWasAskedForOutlivesWhatWasNot() {
        var tier = LocalTier<String, Int>(capacity: 8)
        for (index, key) in ["a", "b", "c", "d", "e", "f", "g", "h"].enumerated() {
            tier.insert(index, for: key, cost: 1, expires: Self.now + .seconds(9))
        }
        #expect(tier.value(for: "a", now: Self.now) == 0)
        tier.insert(9, for: "i", cost: 1, expires: Self.now + .seconds(9))
        #expect(tier.value(for: "a", now: Self.now) == 0)
        #expect(tier.value(for: "b", now: Self.now) == nil)
        #expect(tier.count == 8)
    }

    @Test func aValueIsGoneTheMomentItExpires() {
        var tier = LocalTier<Int, Int>(capacity: 80)
        tier.insert(1, for: 1, cost: 1, expires: Self.now + .seconds(1))
        #expect(tier.value(for: 1, now: Self.now + .milliseconds(999)) == 1)
        #expect(tier.value(for: 1, now: Self.now + .seconds(1)) == nil)
        #expect(tier.count == 0 && tier.cost == 0)
    }

    @Test func oneValueNeverTakesMoreThanAnEighth() {
        var tier = LocalTier<Int, Int>(capacity: 80)
        tier.insert(1, for: 1, cost: 10, expires: Self.now + .seconds(1))
        tier.insert(2, for: 1, cost: 11, expires: Self.now + .seconds(1))
        #expect(tier.value(for: 1, now: Self.now) == nil)
        #expect(tier.cost == 0)
    }
}
