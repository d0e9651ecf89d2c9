/// A first-in, first-out queue in a ring that grows and is reused.
struct Queue<Element> {
    private var ring: [Element?] = []
    private var head = 0
    private(set) var count = 0

    var isEmpty: Bool { count == 0 }

    var first: Element? { count == 0 ? nil : ring[head] }

    mutating func append(_ element: Element) {
        if count == ring.count { grow() }
        ring[position(count)] = element
        count += 1
    }

    mutating func popFirst() -> Element? {
        guard count > 0 else { return nil }
        let element = ring[head].take()
        head = position(1)
        count -= 1
        return element
    }

    mutating func popLast() -> Element? {
        guard count > 0 else { return nil }
        count -= 1
        return ring[position(count)].take()
    }

    func forEach(_ body: (Element) -> Void) {
        for offset in 0..<count {
            if let element = ring[position(offset)] { body(element) }
        }
    }

    /// Takes out every element that fits, in order; the others keep theirs.
    mutating func removeAll(where fits: (Element) -> Bool) -> [Element] {
        var removed: [Element] = []
        for _ in 0..<count {
            guard let element = popFirst() else { break }
            if fits(element) { removed.append(element) } else { append(element) }
        }
        return removed
    }

    private func position(_ offset: Int) -> Int {
        let position = head + offset
        return position < ring.count ? position : position - ring.count
    }

    private mutating func grow() {
        var larger: [Element?] = []
        larger.reserveCapacity(max(8, 2 * count))
        forEach { larger.append($0) }
        while larger.count < max(8, 2 * count) { larger.append(nil) }
        ring = larger
        head = 0
    }
}
