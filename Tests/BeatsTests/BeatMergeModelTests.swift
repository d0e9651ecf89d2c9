import Contract
import DataPlane
import Foundation
import JSON
import MongoClient
import NIOCore
import TestSupport
import Testing

@testable import Beats

/// What a merged beat says, member by member, against a dictionary that is filled by hand.
@Suite struct BeatMergeModelTests {
    private typealias Members = [String: any Sendable]

    private static func maybe<Value>(_ random: inout SeededGenerator, _ make: (inout SeededGenerator) -> Value) -> Value? {
        Bool.random(using: &random) ? make(&random) : nil
    }

    private static func core(_ random: inout SeededGenerator, version: Int64) -> BeatCore {
        let currency = random.element(of: [Currency.usd, Currency(code: "JPY") ?? .usd])
        func price(_ random: inout SeededGenerator) -> Money {
            Money(
                minorUnits: Int64.random(in: 1...1_000_000 >> Int64.random(in: 0...18, using: &random), using: &random), currency: currency)
        }
        return BeatCore(
            id: EntityID(rawValue: UInt128.random(in: .min ... .max, using: &random)), version: version, title: random.text(upTo: 30),
            description: maybe(&random) { $0.text(upTo: 60) }, isFeatured: Bool.random(using: &random), currency: currency,
            prices: LicensePrices(basic: maybe(&random, price), premium: maybe(&random, price), exclusive: maybe(&random, price)),
            creator: .init(
                id: EntityID(rawValue: UInt128.random(in: .min ... .max, using: &random)), username: random.text(upTo: 12),
                displayName: maybe(&random) { $0.text(upTo: 20) }, avatarURL: maybe(&random) { $0.text(upTo: 20) },
                isVerified: Bool.random(using: &random)),
            createdAt: Timestamp(milliseconds: Int64.random(in: 0...4_000_000_000_000, using: &random)),
            updatedAt: Timestamp(milliseconds: Int64.random(in: 0...4_000_000_000_000, using: &random)),
            status: random.element(of: BeatStatus.allCases))
    }

    /// Content, with the members that it has to become.
    private static func content(_ random: inout SeededGenerator, version: Int64) -> (BeatContent, NSDictionary) {
        var (document, expected): (BSONDocument, [String: Any]) = ([:], [:])
        if Bool.random(using: &random) {
            let (genre, bpm) = (random.text(upTo: 20), Int32.random(in: 20...400, using: &random))
            let tags = (0..<Int.random(in: 0...3, using: &random)).map { _ in random.text(upTo: 8) }
            document.append("metadata", ["genre": .string(genre), "bpm": .int32(bpm), "tags": .array(tags.map { .string($0) }), "x": "no"])
            expected["metadata"] = ["genre": genre, "bpm": Int(bpm), "tags": tags] as [String: Any]
        }
        if Bool.random(using: &random) {
            let url = random.text(upTo: 20)
            document.append("audio", ["fullUrl": "SECRET", "previewUrl": .string(url)])
            expected["audio"] = ["previewUrl": url]
        }
        if Bool.random(using: &random) { document.append("stems", ["drums": "SECRET"]) }
        var stats = BeatStats()
        for path in [\BeatStats.plays, \.likes, \.downloads, \.shares] {
            stats[keyPath: path] = Int64.random(in: 0...1 << 53, using: &random)
        }
        expected["stats"] = ["plays": stats.plays, "likes": stats.likes, "downloads": stats.downloads, "shares": stats.shares]
        let members = Array(Sample.written(document).utf8)
        return (BeatContent(version: version, members: members, stats: stats), expected as NSDictionary)
    }

    /// The model: what is known is there under its name, and nothing else is.
    private static func expected(_ core: BeatCore, _ content: NSDictionary?, _ sources: [String: String]?) -> NSDictionary {
        var creator: [String: Any] = [
            "id": core.creator.id.description, "username": core.creator.username, "isVerified": core.creator.isVerified,
        ]
        creator["displayName"] = core.creator.displayName
        creator["avatarUrl"] = core.creator.avatarURL
        let prices = ["basic": core.prices.basic, "premium": core.prices.premium, "exclusive": core.prices.exclusive].compactMapValues {
            $0
        }
        // As JSONSerialization reads it; that no digit is lost is held by the text.
        func number(_ money: Money) -> NSNumber { NSNumber(value: Double(money.description) ?? -1) }
        var beat: [String: Any] = [
            "id": core.id.description, "version": core.version, "status": core.status.rawValue, "title": core.title, "creator": creator,
            "currency": core.currency.code, "licenseTypes": prices.mapValues(number), "isFeatured": core.isFeatured,
            "createdAt": core.createdAt.description, "updatedAt": core.updatedAt.description,
        ]
        beat["description"] = core.description
        beat["price"] = prices.values.map(\.minorUnits).min().map { number(Money(minorUnits: $0, currency: core.currency)) }
        beat["sources"] = sources
        for (key, value) in content ?? [:] { beat["\(key)"] = value }
        return beat as NSDictionary
    }

    @Test func everyMergeSaysWhatTheStoresSaidAndWhatItLacks() throws {
        var random = SeededGenerator()
        for round in 0..<600 {
            let version = Int64.random(in: 2...1_000_000, using: &random)
            let core = Self.core(&random, version: version)
            let said: Comment = "\(random), round \(round)"
            let answer: Result<BeatContent?, Problem>
            let model: NSDictionary
            var isComplete = false
            switch Int.random(in: 0..<5, using: &random) {
            case 0:
                (answer, model) = (.failure(.unavailable(.mongo)), Self.expected(core, nil, ["mongo": "missing"]))
            case 1:
                (answer, model) = (.success(nil), Self.expected(core, nil, ["mongo": "pending"]))
            case 2:
                let (content, members) = Self.content(&random, version: Int64.random(in: 1..<version, using: &random))
                (answer, model) = (.success(content), Self.expected(core, members, ["mongo": "stale"]))
            case 3:
                let (content, members) = Self.content(&random, version: version + Int64.random(in: 1...9, using: &random))
                (answer, model) = (.success(content), Self.expected(core, members, ["postgres": "stale"]))
            default:
                let (content, members) = Self.content(&random, version: version)
                (answer, model) = (.success(content), Self.expected(core, members, nil))
                isComplete = true
            }
            let body = BeatService.body(core, answer)
            // Only what is whole may be kept, and it is kept under the core's version.
            #expect(body.isComplete == isComplete && body.version == version, said)
            let bytes = try #require(body.bytes)
            let read = try #require(try JSONSerialization.jsonObject(with: Data(bytes.readableBytesView)) as? NSDictionary, said)
            #expect(read == model, said)
            if let price = core.prices.lowest {
                #expect(String(decoding: bytes.readableBytesView, as: UTF8.self).contains("\"price\":\(price),"), said)
            }
        }
    }
}
