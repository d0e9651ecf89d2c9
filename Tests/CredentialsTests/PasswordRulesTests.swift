import Foundation
import Testing

@testable import Credentials

@Suite struct PasswordRulesTests {
    private static let rules = PasswordRules(common: CommonPasswords(["password123", "Qwertyuiop", "short"]))

    @Test func aPasswordHas8CharactersAndFitsIntoBcrypt() {
        #expect(Self.rules.complaint("1234567") == "must have at least 8 characters")
        #expect(Self.rules.complaint("ääääääää") == nil)
        #expect(Self.rules.complaint("") != nil)
        #expect(Self.rules.complaint(String(repeating: "ä", count: 36)) == nil)
        #expect(Self.rules.complaint(String(repeating: "ä", count: 36) + "x") == "must have at most 72 bytes in UTF-8")
        #expect(Self.rules.complaint(String(repeating: "x", count: 72)) == nil)
        #expect(Self.rules.complaint(String(repeating: "x", count: 73)) != nil)
    }

    @Test func noKindsOfCharactersAreAskedForAndSpacesAreFine() {
        for password in ["correct horse battery staple", "aaaaaaaaaaab", "  leading and trailing  ", "🎹🎸🥁🎷🎺🎻🪕🪘"] {
            #expect(Self.rules.complaint(password) == nil, "\(password)")
        }
    }

    @Test func controlCharactersAreRefusedForBcryptStopsAtAZero() {
        for password in ["abcdefgh\0ijkl", "abcdefgh\n", "\u{7f}abcdefgh"] {
            #expect(Self.rules.complaint(password) == "holds a control character")
        }
    }

    @Test func commonPasswordsAreRefusedInAnyCase() {
        for password in ["password123", "PassWord123", "qwertyuiop"] {
            #expect(Self.rules.complaint(password) == "is one of the passwords that are guessed first")
        }
        #expect(Self.rules.complaint("password124") == nil)
    }

    @Test func theNamesOfTheAccountAreRefused() {
        let names = ["Somebody@example.org", "beatmaker.99"]
        for password in ["somebody@example.org", "SOMEBODY", "BeatMaker.99"] {
            #expect(Self.rules.complaint(password, names: names) == "must not be the name of its account", "\(password)")
        }
        #expect(Self.rules.complaint("somebody else", names: names) == nil)
    }

    @Test func aListIsReadFromAFileWithoutWhatIsTooShortAnyway() throws {
        let path = FileManager.default.temporaryDirectory.appending(path: "\(UUID()).txt").path
        defer { try? FileManager.default.removeItem(atPath: path) }
        let lines = ["#!comment: a list", "short", "", "iloveyou\r"] + (0..<3000).map { "password\($0)" }
        try Data(lines.joined(separator: "\n").utf8).write(to: URL(filePath: path))
        let list = try CommonPasswords(path: path)
        for password in ["iloveyou", "password0", "PASSWORD2999"] { #expect(list.contains(password), "\(password)") }
        for password in ["short", "", "password3000", "#!comment: a list"] { #expect(!list.contains(password), "\(password)") }
    }

    @Test func aListThatIsMissingOrTooShortIsAnErrorThatNamesIt() throws {
        let path = FileManager.default.temporaryDirectory.appending(path: "\(UUID()).txt").path
        defer { try? FileManager.default.removeItem(atPath: path) }
        #expect { try CommonPasswords(path: path) } throws: { "\($0)".contains(path) }
        try Data("password123\n".utf8).write(to: URL(filePath: path))
        #expect { try CommonPasswords(path: path) } throws: { "\($0)".contains("only 1 ") }
        try Data([0xFF, 0xFE, 0x0A]).write(to: URL(filePath: path))
        #expect { try CommonPasswords(path: path) } throws: { "\($0)".contains("cannot be read") }
    }
}
