import Crypto
import Synchronization

/// The SHA-256 of a token: what a verified one is remembered by.
struct TokenDigest: Hashable, Sendable {
    private let words: (UInt64, UInt64, UInt64, UInt64)

    init(_ text: String) {
        var text = text
        let digest = text.withUTF8 { SHA256.hash(data: UnsafeRawBufferPointer($0)) }
        words = digest.withUnsafeBytes { bytes in
            (
                bytes.loadUnaligned(fromByteOffset: 0, as: UInt64.self), bytes.loadUnaligned(fromByteOffset: 8, as: UInt64.self),
                bytes.loadUnaligned(fromByteOffset: 16, as: UInt64.self), bytes.loadUnaligned(fromByteOffset: 24, as: UInt64.self)
            )
        }
    }

    static func == (left: TokenDigest, right: TokenDigest) -> Bool { left.words == right.words }

    func hash(into hasher: inout Hasher) { hasher.combine(words.0) }
}

/// What verified tokens said, bounded: a new generation begins when the young one is half of the capacity, and whatever was not asked
/// for in the one before is forgotten.
final class RememberedTokens: Sendable {
    struct Entry: Sendable {
        let claims: AccessClaims
        let keyID: String
    }

    private struct Generations {
        var young: [TokenDigest: Entry] = [:]
        var old: [TokenDigest: Entry] = [:]
    }

    private let half: Int
    private let generations = Mutex(Generations())

    init(capacity: Int) { half = max(1, capacity / 2) }

    subscript(_ digest: TokenDigest) -> Entry? {
        get {
            generations.withLock { generations in
                if let entry = generations.young[digest] { return entry }
                guard let entry = generations.old[digest] else { return nil }
                keep(entry, digest, in: &generations)
                return entry
            }
        }
        set {
            guard let newValue else { return }
            generations.withLock { keep(newValue, digest, in: &$0) }
        }
    }

    var count: Int { generations.withLock { $0.young.count + $0.old.count } }

    private func keep(_ entry: Entry, _ digest: TokenDigest, in generations: inout Generations) {
        if generations.young.count >= half { generations = Generations(old: generations.young) }
        generations.young[digest] = entry
    }
}
