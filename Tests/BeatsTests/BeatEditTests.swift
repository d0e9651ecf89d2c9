import Contract
import HTTPAPI
import NIOCore
import Testing

@testable import Beats
@testable import HTTPAPI

@Suite struct BeatEditTests {
    private static func edit(_ json: String, _ mode: BeatEdit.Mode = .whole) throws -> BeatEdit {
        try BeatEdit(try BodyInput(ByteBuffer(string: json), allowed: BeatEdit.members), mode)
    }

    private static func complaints(_ json: String, _ mode: BeatEdit.Mode = .whole) -> [String] {
        do {
            _ = try edit(json, mode).applied(to: BeatDraft())
            return []
        } catch let problem as Problem {
            return problem.fields.map(\.name).sorted()
        } catch {
            return ["\(error)"]
        }
    }

    @Test(
        "A key is kept in one spelling, however it is written",
        arguments: [("C#", "C# major"), ("Db", "C# major"), ("C# minor", "C# minor"), ("8A", "A minor"), ("am", "A minor")])
    func keys(written: String, kept: String) throws {
        let draft = try Self.edit(#"{"title":"T","metadata":{"key":"\#(written)"}}"#).applied(to: BeatDraft())
        #expect(draft.content.metadata?.key == kept)
    }

    @Test(
        "Each field that is wrong is named, and all of them at once",
        arguments: [
            (#"{}"#, ["title"]),
            (#"{"title":" "}"#, ["title"]),
            (#"{"title":"T","metadata":{"bpm":19,"key":"H","tags":["a","A"]}}"#, ["metadata.bpm", "metadata.key", "metadata.tags"]),
            (
                #"{"title":"T","licenseTypes":{"basic":0,"premium":1.005,"exclusive":-1}}"#,
                ["licenseTypes.basic", "licenseTypes.exclusive", "licenseTypes.premium"]
            ),
            (#"{"title":"T","currency":"JPY","licenseTypes":{"basic":10.5}}"#, ["licenseTypes.basic"]),
            (#"{"title":"T","currency":"XXX"}"#, ["currency"]),
            (
                #"{"title":"\u200b","metadata":{"genre":"\u3164","mood":"a\u202eb","album":"\uffff"}}"#,
                ["metadata.album", "metadata.genre", "metadata.mood", "title"]
            ),
            (#"{"title":"T","metadata":{"tags":["a","b,c"]}}"#, ["metadata.tags[1]"]),
            (#"{"title":"T","metadata":{"tags":[" "]}}"#, ["metadata.tags[0]"]),
            (#"{"title":"T","metadata":{"tags":["caf\u00e9","CAFE\u0301"]}}"#, ["metadata.tags"]),
            (
                #"{"title":"T","collaborators":[{"creditedName":"\u200b","userId":"x"}]}"#,
                ["collaborators[0].creditedName", "collaborators[0].userId"]
            ),
            (#"{"title":"T","artwork":{"fullUrl":"javascript:alert(1)","colors":["blueish"]}}"#, ["artwork.colors", "artwork.fullUrl"]),
            (#"{"title":"T","collaborators":[{"userId":"x"}]}"#, ["collaborators[0].creditedName", "collaborators[0].userId"]),
        ])
    func wrong(json: String, fields: [String]) {
        #expect(Self.complaints(json) == fields)
    }

    @Test("Names are kept in one spelling of their letters, without the white space around them")
    func spelling() throws {
        let draft = try Self.edit(
            #"{"title":" Cafe\u0301 ","metadata":{"genre":"Cafe\u0301","mood":" U\u0308ni","tags":[" lead ","De\u0301ja\u0300"]}}"#
        ).applied(to: BeatDraft())
        let kept =
            [draft.title] + [draft.content.metadata?.genre, draft.content.metadata?.mood].compactMap { $0 }
            + (draft.content.metadata?.tags ?? [])
        // Swift holds all spellings for equal.
        #expect(kept.map { Array($0.utf8) } == ["Caf\u{E9}", "Caf\u{E9}", "\u{DC}ni", "lead", "D\u{E9}j\u{E0}"].map { Array($0.utf8) })
    }

    @Test("What is not a creator's to write is refused, not ignored", arguments: ["version", "creatorId", "isFeatured", "stats", "status"])
    func foreign(member: String) {
        #expect(Self.complaints(#"{"title":"T","\#(member)":1}"#) == [member])
    }

    @Test("A part of a beat changes what it names and takes away what is null; the whole of a beat takes away what it does not name")
    func modes() throws {
        let before = try Self.edit(
            #"{"title":"T","description":"D","licenseTypes":{"basic":10,"premium":25},"metadata":{"bpm":90,"genre":"Soul"}}"#
        ).applied(to: BeatDraft())
        let part = try Self.edit(#"{"description":null,"licenseTypes":{"basic":null},"metadata":{"bpm":91}}"#, .partial).applied(to: before)
        #expect(part.title == "T")
        #expect(part.description == nil)
        #expect(part.prices.keys.map(\.rawValue) == ["premium"])
        #expect(part.content.metadata?.bpm == 91)
        #expect(part.content.metadata?.genre == "Soul")
        let whole = try Self.edit(#"{"title":"U","metadata":{"genre":"Funk"}}"#).applied(to: before)
        #expect(whole.description == nil)
        #expect(whole.prices.isEmpty)
        #expect(whole.content.metadata?.bpm == nil)
        #expect(whole.content.metadata?.genre == "Funk")
    }

    @Test("An edit of the core alone leaves the content alone")
    func coreAlone() throws {
        #expect(try Self.edit(#"{"title":"T"}"#, .partial).touchesContent == false)
        #expect(try Self.edit(#"{"metadata":{"bpm":90}}"#, .partial).touchesContent)
        #expect(try Self.edit(#"{"title":"T"}"#).touchesContent)
    }

    @Test("Prices change their currency only together with amounts that go with it")
    func currency() throws {
        let before = try Self.edit(#"{"title":"T","licenseTypes":{"basic":10.50}}"#).applied(to: BeatDraft())
        #expect(throws: Problem.self) { try Self.edit(#"{"currency":"JPY"}"#, .partial).applied(to: before) }
        let yen = try Self.edit(#"{"currency":"JPY","licenseTypes":{"basic":1200}}"#, .partial).applied(to: before)
        #expect(yen.prices[.basic]?.description == "1200")
    }
}
