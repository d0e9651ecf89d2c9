import Contract
import DataPlane
import NIOCore

/// Compares bodies of the shared tier with what the two databases say now.
extension BeatVerifier {
    /// Some hundreds: one body that ought not to be there among a hundred is found nearly always, and a run costs little.
    static let samples = 400

    /// Returns how many bodies it looked at; nil without a cache.
    func compareCache(_ onMismatch: (BeatMismatch) async throws(Problem) -> Void) async throws(Problem) -> Int? {
        guard let sampler else { return nil }
        let samples = try await sampler.samples(Self.samples)
        let suspects = try await wrong(samples)
        guard !suspects.isEmpty else { return samples.count }
        // As with the copies in MongoDB: what a delivery was about to change is not wrong. Cancelled, it looks at once.
        try? await Task.sleep(for: Self.moment)
        let ids = Set(suspects.map(\.sample.id))
        let underway = try await undelivered(among: Array(ids))
        let still = try await sampler.again(suspects.map(\.sample).filter { !underway.contains($0.id) })
        for found in try await wrong(still) {
            try await onMismatch(BeatMismatch(kind: found.kind, place: .cache, id: found.sample.id, version: found.sample.body.version))
        }
        return samples.count
    }

    private func wrong(_ samples: [CacheSample]) async throws(Problem) -> [(sample: CacheSample, kind: BeatMismatch.Kind)] {
        var wrong: [(sample: CacheSample, kind: BeatMismatch.Kind)] = []
        for (representation, samples) in Dictionary(grouping: samples, by: \.representation) {
            let detail = representation == BeatService.detail ? BeatDetail.full : .summary
            let fresh = try await BeatService.load(samples.map(\.id), detail, cores, contents)
            for sample in samples {
                if let kind = Self.kind(sample.body, fresh[sample.id] ?? .absent) { wrong.append((sample, kind)) }
            }
        }
        return wrong
    }

    /// Pure: what is wrong with a cached body, given what a cache would be filled with now.
    static func kind(_ cached: CachedBody, _ fresh: CachedBody) -> BeatMismatch.Kind? {
        // Half an answer is never cached, and says nothing about one that was whole.
        guard fresh.isComplete else { return nil }
        switch (cached.bytes, fresh.bytes) {
        case (nil, nil): return nil
        case (nil, _?): return .missing
        case (_?, nil): return .orphan
        case (let old?, let new?):
            if cached.version < fresh.version { return .stale }
            return cached.version > fresh.version || withoutStats(old) != withoutStats(new) ? .different : nil
        }
    }

    /// A body without its counters, which go on between two versions: a cache shows them as they were when it was filled.
    private static func withoutStats(_ body: ByteBuffer) -> [UInt8] {
        let bytes = Array(body.readableBytesView)
        // Within a text the quotes would be escaped.
        guard let start = bytes.firstRange(of: Array(#""stats":{"#.utf8)),
            let end = bytes[start.upperBound...].firstIndex(of: UInt8(ascii: "}"))
        else { return bytes }
        return Array(bytes[..<start.lowerBound] + bytes[end...])
    }
}
