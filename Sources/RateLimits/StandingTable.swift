import Synchronization

/// How the subjects stand that were seen lately: bounded, under locks that few share.
///
/// Each part keeps two generations. What is asked for moves to the young one; when that is full it becomes the old one, and what nobody
/// has asked for since goes. So the memory is bounded whatever addresses come, and who comes often stays.
final class StandingTable: Sendable {
    private struct Generations {
        var young: [RateKey: Standing] = [:]
        var old: [RateKey: Standing] = [:]
    }

    private final class Part: Sendable {
        let generations = Mutex(Generations())
    }

    private let parts: [Part]
    private let generationLimit: Int

    /// `capacity` is how many subjects there is room for.
    init(capacity: Int, parts: Int = 16) {
        self.parts = (0..<parts).map { _ in Part() }
        generationLimit = max(1, capacity / parts / 2)
    }

    /// Subjects that are known, of at most `capacity`.
    var count: Int {
        parts.reduce(0) { count, part in count + part.generations.withLock { $0.young.count + $0.old.count } }
    }

    /// Looks at a subject's standing, a new one where it is not known, and keeps what becomes of it.
    func with<Answer>(_ key: RateKey, _ body: (inout Standing) -> Answer) -> Answer {
        parts[Int(key.mixed % UInt64(parts.count))].generations.withLock { generations in
            if let index = generations.young.index(forKey: key) { return body(&generations.young.values[index]) }
            var standing = generations.old.removeValue(forKey: key) ?? Standing()
            defer { insert(standing, for: key, into: &generations) }
            return body(&standing)
        }
    }

    private func insert(_ standing: Standing, for key: RateKey, into generations: inout Generations) {
        if generations.young.count >= generationLimit {
            swap(&generations.young, &generations.old)
            generations.young.removeAll(keepingCapacity: true)
        }
        generations.young[key] = standing
    }
}
