/// First in, first out, in memory that is taken once.
struct RingBuffer<Element> {
    private var elements: [Element?]
    private var head = 0
    private(set) var count = 0

    init(capacity: Int) {
        elements = Array(repeating: nil, count: max(1, capacity))
    }

    private func position(_ offset: Int) -> Int {
        let position = head + offset
        return position < elements.count ? position : position - elements.count
    }

    /// The caller keeps within the capacity.
    mutating func append(_ element: Element) {
        elements[position(count)] = element
        count += 1
    }

    mutating func popFirst() -> Element? {
        guard count > 0 else { return nil }
        let element = elements[head]
        elements[head] = nil
        head = position(1)
        count -= 1
        return element
    }

    /// Takes out what `isWanted` names and hands it back; the rest keeps its order.
    @discardableResult
    mutating func removeAll(where isWanted: (Element) -> Bool) -> [Element] {
        var removed: [Element] = []
        for _ in 0..<count {
            guard let element = popFirst() else { break }
            if isWanted(element) { removed.append(element) } else { append(element) }
        }
        return removed
    }

    mutating func remove(where isWanted: (Element) -> Bool) -> Bool {
        !removeAll(where: isWanted).isEmpty
    }
}
