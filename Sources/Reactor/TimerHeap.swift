/// A binary min-heap of deadlines; ties go to the earlier serial. Cancelled entries stay until they surface or
/// `keep` drops them.
struct TimerHeap {
    struct Entry {
        let deadline: ContinuousClock.Instant
        let serial: UInt64

        static func precedes(_ left: Entry, _ right: Entry) -> Bool {
            (left.deadline, left.serial) < (right.deadline, right.serial)
        }
    }

    private var entries: [Entry] = []

    var first: Entry? { entries.first }

    var count: Int { entries.count }

    /// Forgets the entries that are not wanted any more.
    mutating func keep(_ isWanted: (Entry) -> Bool) {
        // Sorted is a heap.
        entries = entries.filter(isWanted).sorted(by: Entry.precedes)
    }

    mutating func push(_ deadline: ContinuousClock.Instant, _ serial: UInt64) {
        entries.append(Entry(deadline: deadline, serial: serial))
        var child = entries.count - 1
        while child > 0 {
            let parent = (child - 1) / 2
            guard Entry.precedes(entries[child], entries[parent]) else { break }
            entries.swapAt(child, parent)
            child = parent
        }
    }

    mutating func removeFirst() {
        guard entries.count > 1 else {
            entries.removeAll(keepingCapacity: true)
            return
        }
        entries.swapAt(0, entries.count - 1)
        entries.removeLast()
        var parent = 0
        while true {
            var least = parent
            for child in [2 * parent + 1, 2 * parent + 2] where child < entries.count && Entry.precedes(entries[child], entries[least]) {
                least = child
            }
            guard least != parent else { return }
            entries.swapAt(parent, least)
            parent = least
        }
    }
}
