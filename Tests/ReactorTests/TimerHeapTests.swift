import Testing

@testable import Reactor

@Suite struct TimerHeapTests {
    private let start = ContinuousClock.now

    private func drain(_ heap: inout TimerHeap) -> [UInt64] {
        var serials: [UInt64] = []
        while let next = heap.first {
            serials.append(next.serial)
            heap.removeFirst()
        }
        return serials
    }

    @Test func deadlinesComeInOrder() {
        var heap = TimerHeap()
        let delays = (0..<1000).map { _ in Int.random(in: 0...100) }
        for (serial, delay) in delays.enumerated() { heap.push(start + .milliseconds(delay), UInt64(serial)) }
        let expected = delays.enumerated().sorted { ($0.element, $0.offset) < ($1.element, $1.offset) }.map { UInt64($0.offset) }
        #expect(drain(&heap) == expected)
    }

    @Test func tiesGoToTheEarlierSerial() {
        var heap = TimerHeap()
        for serial in [5, 1, 4, 2, 3] as [UInt64] { heap.push(start, serial) }
        #expect(drain(&heap) == [1, 2, 3, 4, 5])
    }

    @Test func orderHoldsWhilePushesAndRemovalsAlternate() {
        var heap = TimerHeap()
        var waiting: [UInt64] = []
        for serial in 0..<2000 as Range<UInt64> {
            // Deadlines that repeat and go up and down.
            let delay = Int(serial &* 7919 % 101)
            heap.push(start + .milliseconds(delay), serial)
            waiting.append(serial)
            guard serial % 3 == 2, let first = heap.first else { continue }
            let least = waiting.min { ($0 &* 7919 % 101, $0) < ($1 &* 7919 % 101, $1) }
            #expect(first.serial == least)
            heap.removeFirst()
            waiting.removeAll { $0 == first.serial }
        }
        #expect(drain(&heap).count == waiting.count)
    }

    @Test func onlyWhatIsKeptRemainsAndInOrder() {
        var heap = TimerHeap()
        for serial in 0..<100 as Range<UInt64> { heap.push(start + .milliseconds(Int(serial &* 37 % 100)), serial) }
        heap.keep { $0.serial % 10 == 0 }
        #expect(heap.count == 10)
        let kept = stride(from: UInt64(0), to: 100, by: 10).sorted { $0 &* 37 % 100 < $1 &* 37 % 100 }
        #expect(drain(&heap) == kept)
    }

    @Test func anEmptyHeapStaysEmpty() {
        var heap = TimerHeap()
        heap.removeFirst()
        #expect(heap.first == nil && heap.count == 0)
    }
}
