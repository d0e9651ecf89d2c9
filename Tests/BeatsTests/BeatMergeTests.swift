import Contract
import DataPlane
import Foundation
import JSON
import MongoClient
import NIOCore
import TestSupport
import Testing

@testable import Beats

/// A beat of which everything is known, and one of which hardly anything is.
enum Sample {
    static let id = EntityID(rawValue: 0x0192_0000_0000_7000_8000_0000_0000_0001)
    static let creator = EntityID(rawValue: 0x0192_0000_0000_7000_8000_0000_0000_0002)

    static func core(version: Int64 = 7) -> BeatCore {
        BeatCore(
            id: id, version: version, title: "Summer \"Vibes\"", description: "One\nTwo", isFeatured: true, currency: .usd,
            prices: LicensePrices(
                basic: Money(minorUnits: 1000, currency: .usd), premium: Money(minorUnits: 2500, currency: .usd),
                exclusive: Money(minorUnits: 10_000, currency: .usd)),
            creator: .init(id: creator, username: "ana", displayName: "Ana", avatarURL: "https://x.test/a.png", isVerified: true),
            createdAt: Timestamp(milliseconds: 1_700_000_000_123), updatedAt: Timestamp(milliseconds: 1_700_000_001_000))
    }

    static let bare = BeatCore(
        id: id, version: 1, title: "B", description: nil, isFeatured: false, currency: .usd,
        prices: LicensePrices(basic: nil, premium: nil, exclusive: nil),
        creator: .init(id: creator, username: "ana", displayName: nil, avatarURL: nil, isVerified: false),
        createdAt: Timestamp(milliseconds: 0), updatedAt: Timestamp(milliseconds: 0))

    /// With all that must stay private, in every place it could stand.
    static let document: BSONDocument = [
        "_id": .uuid(id.rawValue), "v": 7,
        "metadata": [
            "bpm": .double(140), "key": "C# minor", "genre": "Hip Hop", "mood": "Chill", "tags": ["summer", "late night"],
            "duration": .double(180.5), "album": "Sun", "waveform": [.int32(0), .int32(255)], "secret": "SECRET",
        ],
        "audio": [
            "previewUrl": "https://x.test/p.opus", "format": "opus", "fullUrl": "https://x.test/SECRET.wav", "quality": "SECRET",
            "fileSize": 123_456_789, "originalId": .uuid(0x5EC2E7), "stems": ["drums": .uuid(0x5EC2E7), "SECRET": "SECRET"],
        ],
        "artwork": [
            "thumbnailUrl": "https://x.test/t.png", "fullUrl": "https://x.test/f.png", "colors": ["#FF6B6B"], "originalId": "SECRET",
        ],
        "collaborators": [["userId": .uuid(creator.rawValue), "role": "producer", "creditedName": "Ana", "share": 50, "email": "SECRET"]],
        "stems": ["drums": "SECRET"], "originals": ["SECRET"], "updatedAt": .date(milliseconds: 0), "internal": ["SECRET": "SECRET"],
    ]

    static let members =
        #""metadata":{"bpm":140,"key":"C# minor","genre":"Hip Hop","mood":"Chill","tags":["summer","late night"],"duration":180.5,"#
        + #""album":"Sun","waveform":[0,255]},"audio":{"previewUrl":"https://x.test/p.opus","format":"opus"},"#
        + ##""artwork":{"thumbnailUrl":"https://x.test/t.png","fullUrl":"https://x.test/f.png","colors":["#FF6B6B"]},"##
        + #""collaborators":[{"userId":"01920000-0000-7000-8000-000000000002","role":"producer","creditedName":"Ana"}]"#

    static func written(_ document: BSONDocument) -> String {
        String(decoding: document.asBytes.withView { BeatContentWriter.members($0) }, as: UTF8.self)
    }

    static func content(version: Int64) -> BeatContent { BeatContent(version: version, members: Array(members.utf8)) }
}

@Suite struct BeatMergeTests {
    private func text(_ core: BeatCore, _ content: BeatContent?, _ sources: Sources = .fresh) -> String {
        String(decoding: BeatMerge.beat(core, content, sources: sources), as: UTF8.self)
    }

    @Test func aBeatOfWhichAllIsKnownLooksExactlyLikeThis() {
        var content = Sample.content(version: 7)
        content.stats.plays = 3
        content.stats.shares = 1
        #expect(
            text(Sample.core(), content)
                == #"{"id":"01920000-0000-7000-8000-000000000001","version":7,"status":"published","title":"Summer \"Vibes\"","#
                + #""description":"One\nTwo","creator":{"id":"01920000-0000-7000-8000-000000000002","username":"ana","#
                + #""displayName":"Ana","avatarUrl":"https://x.test/a.png","isVerified":true},"price":10.00,"currency":"USD","#
                + #""licenseTypes":{"basic":10.00,"premium":25.00,"exclusive":100.00},"isFeatured":true,"#
                + Sample.members + #","stats":{"plays":3,"likes":0,"downloads":0,"shares":1},"#
                + #""createdAt":"2023-11-14T22:13:20.123Z","updatedAt":"2023-11-14T22:13:21.000Z"}"#)
    }

    @Test func whatIsUnknownIsAbsent() {
        #expect(
            text(Sample.bare, BeatContent(version: 1, members: []))
                == #"{"id":"01920000-0000-7000-8000-000000000001","version":1,"status":"published","title":"B","#
                + #""creator":{"id":"01920000-0000-7000-8000-000000000002","username":"ana","isVerified":false},"currency":"USD","#
                + #""licenseTypes":{},"isFeatured":false,"stats":{"plays":0,"likes":0,"downloads":0,"shares":0},"#
                + #""createdAt":"1970-01-01T00:00:00.000Z","updatedAt":"1970-01-01T00:00:00.000Z"}"#)
    }

    @Test func theLowestLicencePriceOnSaleIsThePrice() throws {
        let yen = try #require(Currency(code: "JPY"))
        let prices = LicensePrices(
            basic: nil, premium: Money(minorUnits: 300, currency: yen), exclusive: Money(minorUnits: 200, currency: yen))
        #expect(prices.lowest == Money(minorUnits: 200, currency: yen))
        #expect(LicensePrices(basic: nil, premium: nil, exclusive: nil).lowest == nil)
    }

    @Test func everyMergeIsJSONWhateverTheTextsHold() throws {
        var random = SeededGenerator()
        for _ in 0..<300 {
            let (title, name) = (random.text(upTo: 30), random.text(upTo: 30))
            let core = BeatCore(
                id: Sample.id, version: 1, title: title, description: random.text(upTo: 30), isFeatured: false, currency: .usd,
                prices: LicensePrices(basic: Money(minorUnits: 1, currency: .usd), premium: nil, exclusive: nil),
                creator: .init(id: Sample.creator, username: "ana", displayName: name, avatarURL: nil, isVerified: false),
                createdAt: Timestamp(milliseconds: 0), updatedAt: Timestamp(milliseconds: 0))
            let members = Sample.written(["metadata": ["genre": .string(random.text(upTo: 30)), "tags": [.string(random.text(upTo: 9))]]])
            let merged = BeatMerge.beat(core, BeatContent(version: 1, members: Array(members.utf8)), sources: Sources(mongo: .stale))
            let read = try #require(try JSONSerialization.jsonObject(with: Data(merged)) as? [String: Any], "\(random)")
            #expect((read["title"] as? String).map { Array($0.utf8) } == Array(title.utf8), "\(random)")
            #expect(read["metadata"] is [String: Any] && read["sources"] is [String: Any])
        }
    }
}

@Suite struct BeatContentWriterTests {
    @Test func whatIsPrivateNeverGetsOutWhateverTheDocumentHolds() {
        let written = Sample.written(Sample.document)
        #expect(written == Sample.members)
        #expect(
            !written.contains("SECRET") && !written.contains("stems") && !written.contains("originalId") && !written.contains("fileSize"))
    }

    @Test func emptyAndMissingPartsMakeValidMembers() throws {
        #expect(Sample.written(["_id": .uuid(1), "v": 1]) == "")
        #expect(
            Sample.written(["metadata": [:], "audio": [:], "artwork": [:], "collaborators": []])
                == #""metadata":{},"audio":{},"artwork":{},"collaborators":[]"#)
    }

    @Test func partsOfAKindThatNobodyExpectsAreHarmless() throws {
        for odd in [BSONValue.null, "SECRET", 5, [1, ["originalId": "SECRET"]], .binary([1, 2]), .date(milliseconds: 1), true] {
            let written = Sample.written([
                "metadata": odd, "audio": ["previewUrl": odd, "format": odd], "artwork": odd, "collaborators": [odd, ["role": odd]],
            ])
            #expect(throws: Never.self) { try JSONSerialization.jsonObject(with: Data("{\(written)}".utf8)) }
            #expect(!written.contains("originalId"))
        }
    }

    @Test func numbersKeepTheirValueAndIdsTheirForm() {
        let written = Sample.written([
            "metadata": ["bpm": .int32(90), "duration": .double(0.1), "waveform": [.int64(7), .double(3), .double(2.5)]],
            "collaborators": [["userId": .uuid(1)]],
        ])
        #expect(
            written
                == #""metadata":{"bpm":90,"duration":0.1,"waveform":[7,3,2.5]},"collaborators":[{"userId":"00000000-0000-0000-0000-000000000001"}]"#
        )
    }
}

@Suite struct BeatBodyTests {
    private func sources(_ body: CachedBody) throws -> [String: String]? {
        let bytes = try #require(body.bytes)
        let read = try JSONSerialization.jsonObject(with: Data(bytes.readableBytesView)) as? [String: Any]
        return read?["sources"] as? [String: String]
    }

    @Test func contentOfTheCoresVersionIsFreshAndMayBeKept() throws {
        let body = BeatService.body(Sample.core(), .success(Sample.content(version: 7)))
        #expect(body.isComplete)
        #expect(body.version == 7)
        #expect(try sources(body) == nil)
    }

    @Test func whatNotEveryCopyShowsYetIsPendingAndNeverKept() throws {
        let body = BeatService.body(Sample.core(), .success(Sample.content(version: 7)), isShown: false)
        #expect(!body.isComplete)
        #expect(try sources(body) == ["mongo": "pending"])
    }

    @Test func aCoreThatIsOlderThanItsContentIsShownAsStaleAndNeverKept() throws {
        let body = BeatService.body(Sample.core(), .success(Sample.content(version: 8)))
        #expect(!body.isComplete)
        #expect(try sources(body) == ["postgres": "stale"])
    }

    @Test func contentOfAnOlderVersionIsShownAsStaleAndNeverKept() throws {
        let body = BeatService.body(Sample.core(), .success(Sample.content(version: 6)))
        #expect(!body.isComplete)
        #expect(try sources(body) == ["mongo": "stale"])
    }

    @Test func contentThatIsOnItsWayIsPendingAndNeverKept() throws {
        let body = BeatService.body(Sample.core(), .success(nil))
        #expect(!body.isComplete)
        #expect(try sources(body) == ["mongo": "pending"])
    }

    @Test func contentOutOfReachIsMissingAndNeverKept() throws {
        let body = BeatService.body(Sample.core(), .failure(.unavailable(.mongo)))
        #expect(!body.isComplete)
        #expect(try sources(body) == ["mongo": "missing"])
    }
}
