import Contract
import Foundation
import Testing

@testable import Catalogue

@Suite struct CatalogueLineTests {
    private static let decoder = JSONDecoder()

    private static func line(_ json: String) throws(LineProblem) -> CatalogueLine {
        try CatalogueLine(json: Array(json.utf8), decoder: decoder)
    }

    /// A smallest line with `members` beside what is required.
    private static func line(with members: String) throws(LineProblem) -> CatalogueLine {
        try line(#"{"externalId":"s:1","creator":{"externalId":"s:c","displayName":"C"},"title":"T","# + members + "}")
    }

    private static func reason(_ json: String) -> String? {
        do {
            _ = try line(json)
            return nil
        } catch {
            return error.reason
        }
    }

    private static func reason(with members: String) -> String? {
        do {
            _ = try line(with: members)
            return nil
        } catch {
            return error.reason
        }
    }

    // MARK: What is accepted

    @Test func theExamplesOfTheFormatsDescriptionAreAccepted() throws {
        let root = URL(filePath: #filePath).deletingLastPathComponent().deletingLastPathComponent().deletingLastPathComponent()
        let page = try String(contentsOf: root.appending(path: "docs/catalogue-format.md"), encoding: .utf8)
        let lines = try page.split(separator: "\n").filter { $0.hasPrefix("{\"externalId\"") }.map { try Self.line(String($0)) }
        #expect(lines.map(\.externalID.source) == ["immich", "groove", "chinook", "fma"])
        let (immich, chinook) = (lines[0], lines[2])
        #expect(
            immich.content.metadata?.bpm == 72 && immich.content.metadata?.key == "D major" && immich.content.metadata?.duration == 30.95)
        #expect(immich.audioFile == "audio/calm/calm_electronic_s411.opus" && immich.content.audio?.format == "opus")
        #expect(immich.content.metadata?.tags == ["electronic", "ai-generated"] && immich.basic == nil)
        #expect(chinook.externalID.name == "track:1" && chinook.creator.displayName == "AC/DC")
        #expect(chinook.basic == Money(minorUnits: 99, currency: .usd) && chinook.premium == nil)
        #expect(chinook.content.collaborators?.map(\.role) == ["composer"])
        #expect(
            lines[3].content
                == BeatContentDocument(
                    metadata: {
                        var known = BeatContentDocument.Metadata(); known.genre = "Soul-RnB"; return known
                    }()))
    }

    @Test func whatIsAbsentOrNullStaysUnknown() throws {
        let bare = try Self.line(with: #""description":null"#)
        let nulls = try Self.line(
            with:
                #""description":null,"status":null,"currency":null,"licenseTypes":null,"createdAt":null,"metadata":null,"audio":null,"artwork":null,"collaborators":null"#
        )
        #expect(bare == nulls)
        #expect(bare.status == .published && bare.content == BeatContentDocument() && bare.basic == nil && bare.createdAt == nil)
    }

    @Test func allThatTheFormatKnowsIsTaken() throws {
        let line = try Self.line(
            with: """
                "description":"a\\nb","status":"archived","currency":"JPY","licenseTypes":{"basic":"120","exclusive":"9999999999"},
                "createdAt":"2026-11-21T10:00:00.5+02:00","metadata":{"waveform":[0,255],"key":"Db","mood":"M","album":"A","tags":[]},
                "audio":{"format":"wav","file":"a/b.wav"},"collaborators":[{"creditedName":"N"}],
                "artwork":{"thumbnailUrl":"https://x.test/t","fullUrl":"https://x.test/f","colors":["#ff6b6B"]}
                """)
        #expect(line.status == .archived && line.description == "a\nb" && line.createdAt == "2026-11-21T10:00:00.5+02:00")
        #expect(line.basic?.minorUnits == 120 && line.exclusive?.minorUnits == 9_999_999_999 && line.premium == nil)
        #expect(line.content.metadata?.key == "C# major" && line.content.metadata?.waveform == [0, 255])
        #expect(line.content.artwork?.colors == ["#ff6b6B"] && line.content.artwork?.fullUrl == "https://x.test/f")
        #expect(line.content.collaborators?.map(\.creditedName) == ["N"] && line.audioFile == "a/b.wav")
    }

    @Test func lengthsAreCountedInUnicodeCharactersAsBothDatabasesCount() throws {
        let family = "👩🏽‍🎤"
        #expect(family.unicodeScalars.count == 4)
        let longest = String(repeating: family, count: 63)
        #expect(Self.reason(#"{"externalId":"s:1","creator":{"externalId":"s:c","displayName":"C"},"title":"\#(longest)"}"#) == nil)
        #expect(
            Self.reason(#"{"externalId":"s:1","creator":{"externalId":"s:c","displayName":"C"},"title":"\#(longest + family)"}"#)
                == "title must have 1 to 255 characters")
        #expect(ExternalID("s:" + String(repeating: "e\u{301}", count: 127)) != nil)
        #expect(ExternalID("s:" + String(repeating: "e\u{301}", count: 128)) == nil)
    }

    @Test func namesAreKeptInOneSpellingWithoutTheWhiteSpaceAroundThem() throws {
        let line = try Self.line(
            #"{"externalId":"s:1","creator":{"externalId":"s:c","displayName":" Ce\u0301line "},"title":" E\u0301te\u0301","#
                + #""metadata":{"genre":"Cafe\u0301","tags":[" a\u0308 "]}}"#)
        let kept = [line.creator.displayName, line.title, line.content.metadata?.genre ?? ""] + (line.content.metadata?.tags ?? [])
        #expect(kept.map { Array($0.utf8) } == ["C\u{E9}line", "\u{C9}t\u{E9}", "Caf\u{E9}", "\u{E4}"].map { Array($0.utf8) })
    }

    // MARK: What is refused, and why

    @Test(arguments: [
        ("", "is not JSON"), ("x", "is not JSON"), ("[]", "the line has the wrong type"), ("null", "the line has the wrong type"),
        ("{\"externalId\":\"s:1\"", "is not JSON"), ("{}", "externalId is missing"),
        (#"{"externalId":"s:1","title":"T"}"#, "creator is missing"),
        (#"{"externalId":"s:1","creator":{"externalId":"s:c"},"title":"T"}"#, "creator.displayName is missing"),
        (#"{"externalId":"s:1","creator":{"externalId":"s:c","displayName":"C","x":1},"title":"T"}"#, "creator.x is not known"),
        (#"{"externalId":"s:1","creator":{"externalId":"s:c","displayName":"C"}}"#, "title is missing"),
        (#"{"externalId":5,"creator":{"externalId":"s:c","displayName":"C"},"title":"T"}"#, "externalId has the wrong type"),
        (#"{"externalId":"s:1","creator":{"externalId":"s:c","displayName":"C"},"title":""}"#, "title must have 1 to 255 characters"),
        (#"{"externalId":"s:1","creator":{"externalId":"s:c","displayName":"C"},"title":"a\u0000b"}"#, "title holds a control character"),
        (#"{"externalId":"s:1","creator":{"externalId":"s:c","displayName":"C"},"title":"a\nb"}"#, "title holds a control character"),
        (
            #"{"externalId":"s:1","creator":{"externalId":"s:c","displayName":"a\u0085b"},"title":"T"}"#,
            "creator.displayName holds a control character"
        ),
    ])
    func aLineThatLacksOrMisnamesWhatIsRequiredSaysWhich(json: String, reason: String) {
        #expect(Self.reason(json) == reason)
    }

    @Test(arguments: [
        (#""titel":"T""#, "titel is not known"), (#""metadata":{"bmp":90}"#, "metadata.bmp is not known"),
        (#""audio":{"format":"opus","file":"a","url":"x"}"#, "audio.url is not known"),
        (#""artwork":{"color":"x"}"#, "artwork.color is not known"), (#""stems":{}"#, "stems is not known"),
        (#""collaborators":[{"creditedName":"N","share":5}]"#, "collaborators.Index 0.share is not known"),
        (
            #""licenseTypes":{"lease":"1.00"},"currency":"USD""#,
            "licenseTypes.lease is not a licence; there are basic, premium and exclusive"
        ),
        (#""status":"live""#, "status must be draft, published or archived"), (#""currency":"usd""#, "currency is not one that is sold in"),
        (#""licenseTypes":{"basic":"1.00"}"#, "currency is missing; licenseTypes needs it"),
        (#""licenseTypes":{},"currency":"USD""#, "licenseTypes must have at least one of basic, premium and exclusive"),
        (#""metadata":{"bpm":19}"#, "metadata.bpm must be from 20 to 400"),
        (#""metadata":{"bpm":"90"}"#, "metadata.bpm has the wrong type"),
        (#""metadata":{"key":"H"}"#, "metadata.key must be a musical key such as C# minor"),
        (#""metadata":{"duration":86401}"#, "metadata.duration must be seconds, at most a day"),
        (#""metadata":{"genre":""}"#, "metadata.genre must have 1 to 100 characters"),
        (#""metadata":{"tags":["ok","a\tb"]}"#, "metadata.tags holds a control character"),
        (#""metadata":{"tags":"summer"}"#, "metadata.tags has the wrong type"),
        (#""metadata":{"tags":["a","b,c"]}"#, "metadata.tags must hold no comma"),
        (#""metadata":{"tags":[" "]}"#, "metadata.tags must not be blank"),
        (#""metadata":{"genre":"\u200b"}"#, "metadata.genre must not be blank"),
        (#""metadata":{"mood":"a\u202eb"}"#, "metadata.mood must hold no control of the direction of writing"),
        (#""collaborators":[{"creditedName":"\uffff"}]"#, "collaborators.creditedName must hold no code that stands for no character"),
        (#""metadata":{"waveform":[256]}"#, "metadata.waveform must have at most 4096 numbers from 0 to 255"),
        (#""metadata":{"waveform":[-1]}"#, "metadata.waveform must have at most 4096 numbers from 0 to 255"),
        (#""metadata":[]"#, "metadata has the wrong type"),
        (#""audio":{"format":"opus"}"#, "audio.file is missing"), (#""audio":{"file":"a"}"#, "audio.format is missing"),
        (#""audio":{"format":"","file":"a"}"#, "audio.format must have 1 to 20 characters"),
        (#""audio":{"format":"opus","file":"../a"}"#, "audio.file must lie below the catalogue's folder"),
        (#""audio":{"format":"opus","file":"/etc/passwd"}"#, "audio.file must lie below the catalogue's folder"),
        (#""audio":{"format":"opus","file":"a/../../b"}"#, "audio.file must lie below the catalogue's folder"),
        (#""audio":{"format":"opus","file":"a\u0000b"}"#, "audio.file holds a control character"),
        (#""artwork":{"fullUrl":"http://x.test/f"}"#, "artwork.fullUrl must be an https: URL"),
        (#""artwork":{"thumbnailUrl":"javascript:alert(1)"}"#, "artwork.thumbnailUrl must be an https: URL"),
        (#""artwork":{"fullUrl":"https://"}"#, "artwork.fullUrl must be an https: URL"),
        (#""artwork":{"colors":["red"]}"#, "artwork.colors must have at most 16 colors such as #FF6B6B"),
        (#""collaborators":[{"role":"producer"}]"#, "collaborators.Index 0.creditedName is missing"),
        (#""collaborators":[{"creditedName":"N","role":""}]"#, "collaborators.role must have 1 to 50 characters"),
        (#""createdAt":"yesterday""#, "createdAt must be a date such as 2024-01-31 or 2024-01-31T12:00:00Z"),
        (#""createdAt":"2024-02-31""#, "createdAt must be a date such as 2024-01-31 or 2024-01-31T12:00:00Z"),
        (#""createdAt":"2024-01-31T12:00:00""#, "createdAt must be a date such as 2024-01-31 or 2024-01-31T12:00:00Z"),
        (#""createdAt":"2023-02-29""#, "createdAt must be a date such as 2024-01-31 or 2024-01-31T12:00:00Z"),
        (#""createdAt":"0000-01-01""#, "createdAt must be a date such as 2024-01-31 or 2024-01-31T12:00:00Z"),
        (#""createdAt":"２０２４-01-31""#, "createdAt must be a date such as 2024-01-31 or 2024-01-31T12:00:00Z"),
        (#""createdAt":"2024-01-31T24:00:00Z""#, "createdAt must be a date such as 2024-01-31 or 2024-01-31T12:00:00Z"),
        (#""createdAt":"2024-01-31T12:00:60Z""#, "createdAt must be a date such as 2024-01-31 or 2024-01-31T12:00:00Z"),
        (#""createdAt":"infinity""#, "createdAt must be a date such as 2024-01-31 or 2024-01-31T12:00:00Z"),
    ])
    func aMemberThatIsUnknownOrOutOfItsLimitsIsNamed(members: String, reason: String) {
        #expect(Self.reason(with: members) == reason)
    }

    @Test(arguments: ["0", "0.00", "-1", "1.234", "1e2", "free", "", "10000000000.00", " 1", "1,00"])
    func aPriceThatIsNoAmountAboveNothingIsRefused(price: String) {
        #expect(
            Self.reason(with: #""currency":"USD","licenseTypes":{"premium":"\#(price)"}"#)
                == "licenseTypes.premium must be an amount such as \"9.99\", more than nothing")
    }

    @Test func pricesAsNumbersAreRefusedBecauseTheyWouldBeRounded() {
        #expect(Self.reason(with: #""currency":"USD","licenseTypes":{"basic":0.99}"#) == "licenseTypes.basic has the wrong type")
    }

    @Test func aPriceInACurrencyWithoutDecimalsStaysWithinTheColumn() {
        #expect(Self.reason(with: #""currency":"JPY","licenseTypes":{"basic":"9999999999"}"#) == nil)
        #expect(Self.reason(with: #""currency":"JPY","licenseTypes":{"basic":"10000000000"}"#) != nil)
        #expect(Self.reason(with: #""currency":"JPY","licenseTypes":{"basic":"1.50"}"#) != nil)
    }

    @Test(arguments: ["", "x", ":1", "s:", "S:1", "so urce:1", "s:a\u{7}b", "sö:1", String(repeating: "s", count: 51) + ":1"])
    func anExternalIdIsSourceAndName(text: String) {
        #expect(ExternalID(text) == nil)
    }

    @Test func anExternalIdMayHoldMoreColonsAndAnyPrintedCharacter() {
        #expect(ExternalID("fma:title:1")?.name == "title:1")
        #expect(ExternalID("a.b_c-9:Größe 音")?.name == "Größe 音")
    }
}

@Suite struct UsernameTests {
    private let id = ExternalID("s:1")

    @Test(arguments: [
        ("AC/DC", "ac-dc"), ("  Ana  ", "ana"), ("Sigur Rós", "sigur-ros"), ("Mötley Crüe!!", "motley-crue"), ("50 Cent", "50-cent"),
        ("A B C", "a-b-c"),
    ])
    func aUsernameIsTheFoldedDisplayName(name: String, username: String) throws {
        #expect(Username.derive(name, try #require(id), isPlain: true) == username)
    }

    @Test(arguments: ["U2", "", "!!", "音楽", "Metrics", "SYSTEM", "null", "🎧"])
    func aNameTooShortReservedOrUnspeakableGetsASuffixOfItsOwn(name: String) throws {
        let derived = Username.derive(name, try #require(id), isPlain: true)
        #expect(derived == Username.derive(name, try #require(id), isPlain: false))
        #expect(derived != Username.derive(name, try #require(ExternalID("s:2")), isPlain: true))
    }

    @Test func everyUsernameHasTheShapeThatPostgresDemands() throws {
        for name in [
            "", "x", "--", "U2", "a.b", String(repeating: "long name ", count: 20), "🎧 beats 🎧", "İstanbul", "ß",
            "0192a3b4-0000-7000-8000-000000000001",
        ] {
            for isPlain in [true, false] {
                let username = Username.derive(name, try #require(id), isPlain: isPlain)
                #expect(username.wholeMatch(of: /[A-Za-z0-9][A-Za-z0-9._\-]{1,48}[A-Za-z0-9]/) != nil, "\(username)")
                #expect(EntityID(username) == nil && !Username.reserved.contains(username))
            }
        }
    }

    @Test func theReservedNamesAreThoseThatPostgresRefuses() throws {
        let root = URL(filePath: #filePath).deletingLastPathComponent().deletingLastPathComponent().deletingLastPathComponent()
        let sql = try String(contentsOf: root.appending(path: "sql/010_identity.sql"), encoding: .utf8)
        let list = try #require(sql.firstMatch(of: /users_username_not_reserved CHECK \(lower\(username\) NOT IN \(([^)]*)\)/)).1
        #expect(Set(list.matches(of: /'([^']*)'/).map { String($0.1) }) == Username.reserved)
    }
}
