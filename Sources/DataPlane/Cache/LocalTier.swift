import Contract

/// A byte-bounded map with SIEVE eviction (Zhang et al., NSDI '24): a hit sets one bit and moves nothing.
struct LocalTier<Key: Hashable & Sendable, Value: Sendable>: Sendable {
    private struct Entry {
        let key: Key
        var value: Value
        var cost: Int
        var expires: ContinuousClock.Instant
        var visited = false
        var newer: Int?
        var older: Int?
    }

    private var index: [Key: Int] = [:]
    private var entries: [Entry?] = []
    private var free: [Int] = []
    private var newest: Int?
    private var oldest: Int?
    private var hand: Int?
    private(set) var cost = 0
    let capacity: Int

    /// `capacity` is in the unit of the costs that values are put with: bytes.
    init(capacity: Int) { self.capacity = capacity }

    var count: Int { index.count }

    mutating func value(for key: Key, now: ContinuousClock.Instant) -> Value? {
        guard let slot = index[key], let entry = entries[slot] else { return nil }
        guard entry.expires > now else {
            remove(slot)
            return nil
        }
        if !entry.visited { entries[slot]?.visited = true }
        return entry.value
    }

    /// Keeps a value until `expires`, evicting others to make room. One that is larger than an eighth of the whole is not kept.
    mutating func insert(_ value: Value, for key: Key, cost: Int, expires: ContinuousClock.Instant) {
        removeValue(for: key)
        guard cost <= capacity / 8 else { return }
        while self.cost + cost > capacity, evictOne() {}
        let entry = Entry(key: key, value: value, cost: cost, expires: expires, newer: nil, older: newest)
        let slot: Int
        if let reused = free.popLast() {
            slot = reused
            entries[slot] = entry
        } else {
            slot = entries.count
            entries.append(entry)
        }
        if let newest { entries[newest]?.newer = slot }
        newest = slot
        if oldest == nil { oldest = slot }
        index[key] = slot
        self.cost += cost
    }

    mutating func removeValue(for key: Key) {
        if let slot = index[key] { remove(slot) }
    }

    mutating func removeAll() {
        self = LocalTier(capacity: capacity)
    }

    /// Walks from the oldest to the newest, sparing (once) what was asked for since the last walk.
    private mutating func evictOne() -> Bool {
        var slot = hand ?? oldest
        while let current = slot, let entry = entries[current] {
            if entry.visited {
                entries[current]?.visited = false
                slot = entry.newer ?? oldest
            } else {
                hand = entry.newer
                remove(current)
                return true
            }
        }
        return false
    }

    private mutating func remove(_ slot: Int) {
        guard let entry = entries[slot] else { return }
        if hand == slot { hand = entry.newer }
        if let newer = entry.newer { entries[newer]?.older = entry.older } else { newest = entry.older }
        if let older = entry.older { entries[older]?.newer = entry.newer } else { oldest = entry.newer }
        entries[slot] = nil
        free.append(slot)
        index[entry.key] = nil
        cost -= entry.cost
    }
}
