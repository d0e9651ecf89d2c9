import Contract
import Mail
import NIOCore
import Testing

@testable import HTTPAPI
@testable import Identity

/// What may be registered with, and what a profile may hold.
@Suite struct AccountInputTests {
    private static func input(_ body: String, _ allowed: [String]) throws -> BodyInput {
        try BodyInput(ByteBuffer(string: body), allowed: allowed)
    }

    private static func complaints(_ body: String, _ allowed: [String], _ read: (inout BodyInput) -> Void) throws -> [String] {
        var input = try input(body, allowed)
        read(&input)
        do throws(Problem) { try input.check() } catch { return error.fields.map(\.name) }
        return []
    }

    @Test(arguments: ["nora@example.com", " Nora+beats@Sub.Example.COM ", "ö@exämple.org", "a.b-c_d@x.y"])
    func anAddressStaysAsItWasWritten(_ text: String) throws {
        var input = try Self.input("{\"email\":\"\(text)\"}", ["email"])
        #expect(input.email("email")?.description == text.trimmed)
    }

    @Test(
        arguments: [
            "nora", "@example.com", "nora@", "nora@localhost", "no ra@example.com", "nora@exa mple.com", "nora@@example.com", "a@b@c.d",
            "nora@example..com", ".nora@example.com", "<nora@example.com>", "nora@[127.0.0.1]", "nora,mina@example.com",
            "nora@example.com\\u000d\\u000aBcc: x@y.z",
        ])
    func whatIsNoAddressIsRefused(_ text: String) throws {
        #expect(try Self.complaints("{\"email\":\"\(text)\"}", ["email"]) { _ = $0.email("email") } == ["email"])
    }

    @Test(arguments: ["nora", "N.o_r-a9", "abc", String(repeating: "a", count: 50)])
    func aUsernameHasLettersDigitsAndAFewSigns(_ name: String) { #expect(Username.complaint(name) == nil) }

    @Test(
        arguments: [
            "", "no", "-nora", "nora-", "no ra", "nöra", "no/ra", "me", "Admin", "profile", "01a1fde3-e409-78ec-878e-195abe1a1765",
            String(repeating: "a", count: 51),
        ])
    func aNameThatCouldBeTakenForSomethingElseIsRefused(_ name: String) { #expect(Username.complaint(name) != nil) }

    @Test func everyComplaintAboutAProfileComesAtOnceByItsName() throws {
        let body = """
            {"displayName": " ", "bio": 7, "avatarUrl": "http://nora.example/a.png",
             "socialLinks": {"x": "javascript:alert(1)", "mastodon": "https://a.example"},
             "preferences": {"theme": "pink", "autoplay": "yes", "genres": ["a", ""], "currency": "XXX", "language": "d e", "role": "admin"}}
            """
        let names = try Self.complaints(body, ["displayName", "bio", "avatarUrl", "socialLinks", "preferences"]) { _ = $0.profileChange() }
        #expect(
            Set(names) == [
                "displayName", "bio", "avatarUrl", "socialLinks.x", "socialLinks.mastodon", "preferences.theme", "preferences.autoplay",
                "preferences.genres[1]", "preferences.currency", "preferences.language", "preferences.role",
            ])
    }

    @Test func whatIsAbsentStaysAndWhatIsNullGoes() throws {
        var input = try Self.input(
            #"{"bio": null, "displayName": " Nora ", "socialLinks": {"x": null}, "preferences": {"theme": "dark", "genres": [], "autoplay": null}}"#,
            ["displayName", "bio", "avatarUrl", "socialLinks", "preferences"])
        let change = input.profileChange()
        try input.check()
        #expect(change.displayName == .set("Nora") && change.bio == .clear && change.avatarURL == .keep)
        #expect(change.socialLinks == #"{"x":null}"#)
        #expect(change.preferences == #"{"autoplay":null,"theme":"dark","genres":[]}"#)
    }

    @Test func aNameOrAPictureCannotBreakOutOfItsJSON() throws {
        var patch = JSONPatch()
        patch.set("x\"", .set("a\"},{\"b\\"))
        #expect(patch.json == #"{"x\"":"a\"},{\"b\\"}"#)
        #expect(JSONPatch().json == nil)
    }

    @Test(
        arguments: [
            ("\"7\"", 7 as Int64, true), ("\"7-1q25rmml2qqm0\"", 7, true), ("\"6\", \"7\"", 7, true), ("*", 7, true), ("\"6\"", 7, false),
            ("W/\"7\"", 7, false), ("7", 7, false), ("\"\"", 7, false), ("\"7-bogus\"", 7, false),
            ("\"+7\"", 7, false), ("\"07\"", 7, false), ("\"7-\"", 7, false), ("\"7-1Q25RMML2QQM0\"", 7, false),
            ("\"7-1q25rmml2qqm0-\"", 7, false), ("\"7-+q25rmml2qqm0\"", 7, false), ("\"7-zzzzzzzzzzzzz\"", 7, false),
        ])
    func aChangeIsForTheVersionsThatItNames(_ field: String, _ version: Int64, _ admits: Bool) {
        #expect(IfMatch(field).admits(version) == admits)
        #expect(IfMatch(nil as String?).admits(version))
    }
}
