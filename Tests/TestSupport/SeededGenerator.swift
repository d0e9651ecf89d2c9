import Foundation

/// Random numbers that can be had again: a failing test prints its seed, and KABABEAT_TEST_SEED repeats it.
///
/// SplitMix64, https://prng.di.unimi.it/splitmix64.c
public struct SeededGenerator: RandomNumberGenerator, Sendable, CustomStringConvertible {
    public let seed: UInt64
    private var state: UInt64

    public init() {
        let given = ProcessInfo.processInfo.environment["KABABEAT_TEST_SEED"].flatMap { UInt64($0) }
        self.init(seed: given ?? UInt64.random(in: .min ... .max))
    }

    public init(seed: UInt64) {
        self.seed = seed
        state = seed
    }

    public mutating func next() -> UInt64 {
        state &+= 0x9e37_79b9_7f4a_7c15
        var mixed = state
        mixed = (mixed ^ (mixed >> 30)) &* 0xbf58_476d_1ce4_e5b9
        mixed = (mixed ^ (mixed >> 27)) &* 0x94d0_49bb_1331_11eb
        return mixed ^ (mixed >> 31)
    }

    public var description: String { "KABABEAT_TEST_SEED=\(seed)" }

    /// A text of up to `length` characters of every sort: letters, signs, controls, other scripts, emoji.
    public mutating func text(upTo length: Int) -> String {
        let pools: [[Character]] = [
            Array("abcXYZ019 "), Array("\"\\/<>&'"), ["\u{0}", "\u{1}", "\t", "\n", "\r", "\u{1F}", "\u{7F}", "\u{8}", "\u{C}"],
            Array("äßéñ音乐كتاب"), ["🎧", "👩🏽‍🎤", "🇩🇪", "\u{10FFFF}", "\u{2028}", "e\u{301}"],
        ]
        return String((0..<Int.random(in: 0...length, using: &self)).map { _ in element(of: element(of: pools)) })
    }

    /// One of `elements`, which are not empty.
    public mutating func element<Element>(of elements: [Element]) -> Element {
        elements[Int.random(in: elements.indices, using: &self)]
    }
}
