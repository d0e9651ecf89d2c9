import Contract
import Crypto
import Testing

@testable import Credentials

@Suite struct OpaqueTokenTests {
    @Test func aNewOneHas256BitsAndIsReadAgain() throws {
        var secrets: Set<String> = []
        for _ in 0..<1000 {
            let token = OpaqueToken()
            #expect(token.secret.utf8.count == 43)
            #expect(OpaqueToken(presented: token.secret)?.digest == token.digest)
            let bytes = try #require(Base64URL.decode(token.secret))
            #expect(token.digest == Array(SHA256.hash(data: bytes)))
            secrets.insert(token.secret)
        }
        #expect(secrets.count == 1000)
    }

    @Test(arguments: ["", "x", String(repeating: "A", count: 42), String(repeating: "A", count: 44), String(repeating: "!", count: 43)])
    func whatHasNotTheShapeOfOneIsNone(text: String) {
        #expect(OpaqueToken(presented: text) == nil)
    }

    /// Of the last of 43 characters only four bits count; the others have to be zero.
    @Test func aTokenHasOneSpelling() {
        let spellings = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_".filter {
            OpaqueToken(presented: String(repeating: "A", count: 42) + String($0)) != nil
        }
        #expect(spellings.count == 16)
    }

    @Test func noDescriptionShowsTheSecret() {
        let token = OpaqueToken()
        #expect(!"\(token) \(String(reflecting: token))".contains(token.secret))
    }
}

@Suite struct ConstantTimeTests {
    @Test func equalBytesAreEqualAndNoOthers() {
        #expect(ConstantTime.equals([UInt8](), []))
        #expect(ConstantTime.equals([1, 2, 3], [1, 2, 3]))
        for other: [UInt8] in [[], [1, 2], [1, 2, 4], [0, 2, 3], [1, 2, 3, 0]] { #expect(!ConstantTime.equals([1, 2, 3], other)) }
    }
}
