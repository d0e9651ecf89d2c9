import Contract
import NIOCore
import Testing

@testable import HTTPAPI

@Suite struct BodyInputTests {
    private func read(_ body: String, allowed: [String] = ["a", "b", "part"]) throws(Problem) -> BodyInput {
        try BodyInput(ByteBuffer(string: body), allowed: allowed)
    }

    private func complaints(_ body: String, _ read: (inout BodyInput) -> Void = { _ in }) -> [String]? {
        do throws(Problem) {
            var input = try self.read(body)
            read(&input)
            try input.check()
            return nil
        } catch {
            return error.code == .invalidRequest ? error.fields.map { "\($0.name) \($0.detail)" } : [error.code.rawValue]
        }
    }

    @Test func noBodyIsAnEmptyObject() throws {
        #expect(try !read("").has("a"))
    }

    @Test(arguments: ["[]", "1", "null", "\"a\"", "{", "{\"a\":1,\"a\":2}", "{\"a\":\"\\ud800\"}", "\u{FEFF}{}"])
    func whatIsNoObjectIsAnInvalidBody(_ body: String) {
        #expect(complaints(body) == ["invalid_body"])
    }

    @Test func allUnknownMembersAreNamedAtOnce() {
        #expect(complaints(#"{"z":1,"a":2,"\u0007x":3}"#) == ["x is not one of: a, b, part", "z is not one of: a, b, part"])
    }

    @Test func aTextHasItsLengthInCharactersAndNoControls() throws {
        var input = try read(#"{"a":"né🎧","b":"x\ny"}"#)
        #expect(input.text("a", 3...3) == "né🎧")
        #expect(input.text("b", 1...9, lines: true) == "x\ny")
        #expect(input.text("part", 1...9) == nil)
        try input.check()
        #expect(complaints(#"{"a":"ab"}"#) { _ = $0.text("a", 3...254) } == ["a must have 3 to 254 characters"])
        #expect(complaints(#"{"a":"a\u0007b"}"#) { _ = $0.text("a", 1...9, lines: true) } == ["a must hold no control character"])
        #expect(complaints(#"{"a":"a\nb"}"#) { _ = $0.text("a", 1...9) } == ["a must hold no control character"])
        #expect(complaints(#"{"a":null}"#) { _ = $0.text("a", 1...9) } == ["a must be a text"])
    }

    @Test func allComplaintsComeTogether() {
        let complaints = complaints(#"{"a":1,"part":{"c":true,"x":0}}"#) { input in
            #expect(input.requiredText("a", 1...9) == "")
            #expect(input.requiredText("b", 1...9) == "")
            if var part = input.object("part", allowed: ["c"]) {
                #expect(part.integer("c", in: 1...2) == nil)
                input.absorb(part)
            }
        }
        #expect(
            complaints == [
                "a must be a text", "b is missing", "part.x is not one of: c", "part.c must be a whole number from 1 to 2",
            ])
    }

    @Test func aNumberForMoneyKeepsItsDigits() throws {
        var input = try read(#"{"a":10.10,"b":"10.10"}"#)
        #expect(input.decimal("a") == "10.10")
        #expect(input.decimal("b") == nil)
        #expect(throws: Problem.self) { try input.check() }
    }

    @Test(arguments: ["1.0", "1e0", "\"1\"", "true", "99999999999999999999", "0", "11"])
    func aWholeNumberIsWrittenAsOneAndWithinBounds(_ digits: String) {
        #expect(complaints(#"{"a":\#(digits)}"#) { _ = $0.integer("a", in: 1...10) } == ["a must be a whole number from 1 to 10"])
    }

    @Test func aListOfTextsIsBoundedInNumberAndLength() throws {
        var input = try read(#"{"a":["x","yy"]}"#)
        #expect(input.texts("a", count: 1...2, characters: 1...2) == ["x", "yy"])
        #expect(complaints(#"{"a":[]}"#) { _ = $0.texts("a", count: 1...2, characters: 1...2) } == ["a must be a list of 1 to 2 texts"])
        #expect(complaints(#"{"a":["x",1]}"#) { _ = $0.texts("a", count: 1...2, characters: 1...2) } == ["a[1] must be a text"])
        #expect(
            complaints(#"{"a":["xyz"]}"#) { _ = $0.texts("a", count: 1...2, characters: 1...2) } == ["a[0] must have 1 to 2 characters"])
    }

    @Test func nullIsThereAndNoValue() throws {
        var input = try read(#"{"a":null,"b":false}"#)
        #expect(input.has("a") && input.isNull("a") && !input.isNull("b") && !input.isNull("part"))
        #expect(input.bool("b") == false)
        #expect(input.bool("a") == nil)
        #expect(throws: Problem.self) { try input.check() }
    }

    @Test func ofOneMemberTheFirstComplaintCountsAndNoOtherIsMade() {
        let long = String(repeating: "x", count: 501)
        #expect(complaints(#"{"a":"\#(long)"}"#) { _ = $0.requiredVisibleText("a", longest: 500) } == ["a must have 1 to 500 characters"])
        #expect(complaints("{}") { _ = $0.requiredVisibleText("a", longest: 500) } == ["a is missing"])
        #expect(complaints(#"{"a":" "}"#) { _ = $0.requiredVisibleText("a", longest: 500) } == ["a must not be blank"])
        let twice = complaints(#"{"part":{"c":1}}"#) { input in
            guard var part = input.object("part", allowed: ["c"]) else { return }
            if part.text("c", 1...2) == nil { part.complain("c", "must be of a kind") }
            input.absorb(part)
        }
        #expect(twice == ["part.c must be a text"])
    }

    @Test func aTextForPeopleIsComposedTrimmedAndVisible() throws {
        var input = try read(#"{"a":" Cafe\u0301\u3000","b":"One\nTwo\u200f"}"#)
        #expect(input.visibleText("a", longest: 9).map { Array($0.utf8) } == Array("Caf\u{E9}".utf8))
        #expect(input.visibleText("b", longest: 9, lines: true) == "One\nTwo\u{200F}")
        try input.check()
        for blank in [" ", "\\u200b", "\\u3164", "\\ufe0f"] {
            #expect(complaints(#"{"a":"\#(blank)"}"#) { _ = $0.visibleText("a", longest: 9) } == ["a must not be blank"])
        }
        #expect(
            complaints(#"{"a":["x","y\u202e"]}"#) { _ = $0.visibleTexts("a", count: 1...2, longest: 9) }
                == ["a[1] must hold no control of the direction of writing"])
        // Three characters in the composed form.
        #expect(complaints(#"{"a":"\ufb2c"}"#) { _ = $0.visibleText("a", longest: 2) } == ["a must have 1 to 2 characters"])
    }

    @Test func complaintsAreBoundedInNumber() {
        let body = "{" + (0..<1000).map { "\"x\($0)\":0" }.joined(separator: ",") + "}"
        #expect(complaints(body)?.count == 50)
    }
}
