import Contract
import NIOCore
import TestSupport
import Testing

@testable import Beats
@testable import HTTPAPI

/// Shares against whole numbers of hundredths.
@Suite struct BeatSplitTests {
    private static func offers(_ shares: [String]) -> Result<[BeatSplit.Offer], Problem> {
        let parts = shares.enumerated().map { index, share in
            #"{"userId":"\#(EntityID(rawValue: UInt128(index + 1)))","share":\#(share)}"#
        }
        do throws(Problem) {
            let input = try BodyInput(ByteBuffer(string: #"{"splits":[\#(parts.joined(separator: ","))]}"#), allowed: ["splits"])
            return .success(try BeatSplit.offers(input))
        } catch {
            return .failure(error)
        }
    }

    /// One of the spellings of a number of hundredths: with as many decimals as it needs, or more.
    private static func spelling(_ hundredths: Int, _ random: inout SeededGenerator) -> String {
        let (whole, rest) = (hundredths / 100, hundredths % 100)
        let full = "\(whole).\(rest < 10 ? "0" : "")\(rest)"
        if rest == 0, Bool.random(using: &random) { return "\(whole)" }
        if rest % 10 == 0, Bool.random(using: &random) { return String(full.dropLast()) }
        return full
    }

    /// Shares of 10,000 hundredths, each above 0.
    private static func partition(_ count: Int, _ random: inout SeededGenerator) -> [Int] {
        var cuts: Set<Int> = []
        while cuts.count < count - 1 { cuts.insert(Int.random(in: 1..<10_000, using: &random)) }
        let bounds = [0] + cuts.sorted() + [10_000]
        return zip(bounds, bounds.dropFirst()).map { $1 - $0 }
    }

    @Test func sharesAreTakenIfTheyAddUpToTheWholeAndNotIfAHundredthIsMissingOrTooMuch() throws {
        var random = SeededGenerator()
        for _ in 0..<500 {
            var parts = Self.partition(Int.random(in: 1...BeatSplit.most, using: &random), &random)
            let offers = try Self.offers(parts.map { Self.spelling($0, &random) }).get()
            #expect(offers.map(\.share.hundredths) == parts.map(Int64.init), "\(random)")
            #expect(offers.reduce(0) { $0 + $1.share.hundredths } == BeatSplit.Share.whole)
            let index = Int.random(in: parts.indices, using: &random)
            parts[index] += Bool.random(using: &random) ? 1 : -1
            guard case .failure(let problem) = Self.offers(parts.map { Self.spelling($0, &random) }) else {
                Issue.record("\(random): \(parts) was taken")
                continue
            }
            #expect(problem.code == .invalidRequest, "\(random)")
        }
    }

    @Test func thirdsHaveToBeGivenExactly() throws {
        #expect(try Self.offers(["33.33", "33.33", "33.34"]).get().count == 3)
        for shares in [
            ["33.33", "33.33", "33.33"], ["33.333", "33.333", "33.334"], ["50", "50.00", "0"], ["100", "1e1"], ["-50", "150"],
        ] {
            guard case .failure = Self.offers(shares) else {
                Issue.record("\(shares) was taken")
                continue
            }
        }
    }

    @Test func everyShareReadsBackFromItsText() {
        for hundredths in Int64(1)...BeatSplit.Share.whole {
            let share = BeatSplit.Share(hundredths: hundredths)
            #expect(BeatSplit.Share(decimal: share.decimal) == share)
        }
        #expect(BeatSplit.Share(decimal: "0") == nil && BeatSplit.Share(decimal: "100.01") == nil)
    }
}
