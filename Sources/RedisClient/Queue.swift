/// A first-in, first-out queue over one array that is reused.
struct Queue<Element> {
    private var elements: [Element?] = []
    private var head = 0

    var isEmpty: Bool { head == elements.count }

    var count: Int { elements.count - head }

    var first: Element? { isEmpty ? nil : elements[head] }

    mutating func append(_ element: Element) {
        // What was taken out is given up once it is the larger part, so that a queue that never runs empty stays small.
        if head >= 1024, head > elements.count / 2 {
            elements.removeFirst(head)
            head = 0
        }
        elements.append(element)
    }

    mutating func popFirst() -> Element? {
        guard !isEmpty else { return nil }
        let element = elements[head].take()
        head += 1
        if isEmpty { removeAll() }
        return element
    }

    mutating func removeAll() {
        elements.removeAll(keepingCapacity: true)
        head = 0
    }

    func forEach(_ body: (Element) -> Void) {
        for index in head..<elements.count {
            if let element = elements[index] { body(element) }
        }
    }
}
