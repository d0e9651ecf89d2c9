import Contract
import Testing

@testable import Credentials

@Suite struct TimeBasedCodeTests {
    private static let secret = Array("12345678901234567890".utf8)

    private static func second(_ seconds: Int64) -> Timestamp { Timestamp(milliseconds: seconds * 1000) }

    /// RFC 6238, appendix B, the rows of SHA-1.
    @Test(arguments: [
        (Int64(59), "94287082"), (1_111_111_109, "07081804"), (1_111_111_111, "14050471"), (1_234_567_890, "89005924"),
        (2_000_000_000, "69279037"), (20_000_000_000, "65353130"),
    ])
    func theVectorsOfTheStandardHold(seconds: Int64, code: String) {
        #expect(TimeBasedCode(secret: Self.secret, digits: 8).code(at: Self.second(seconds)) == code)
        #expect(TimeBasedCode(secret: Self.secret).code(at: Self.second(seconds)) == String(code.suffix(6)))
    }

    @Test func aCodeCountsOnePeriodBeforeAndAfterItsOwn() {
        let code = TimeBasedCode(secret: Self.secret)
        let shown = code.code(at: Self.second(3000))
        for seconds: Int64 in [2970, 2999, 3000, 3029, 3030, 3059] {
            #expect(code.step(of: shown, at: Self.second(seconds), after: nil) == 100, "\(seconds)")
        }
        for seconds: Int64 in [0, 2969, 3060, 1_000_000] {
            #expect(code.step(of: shown, at: Self.second(seconds), after: nil) == nil, "\(seconds)")
        }
    }

    @Test func aCodeCountsOnceAndNoneBeforeItAfterwards() {
        let code = TimeBasedCode(secret: Self.secret)
        let now = Self.second(3000)
        #expect(code.step(of: code.code(at: now), at: now, after: 99) == 100)
        #expect(code.step(of: code.code(at: now), at: now, after: 100) == nil)
        #expect(code.step(of: code.code(at: Self.second(2970)), at: now, after: 100) == nil)
        #expect(code.step(of: code.code(at: Self.second(3030)), at: now, after: 100) == 101)
    }

    @Test(arguments: ["", "12345", "1234567", "abcdef", "١٢٣٤٥٦", "      "])
    func whatIsNoCodeMatchesNothing(text: String) {
        #expect(TimeBasedCode(secret: Self.secret).step(of: text, at: Self.second(3000), after: nil) == nil)
    }

    @Test func newSecretsHave160BitsAndDiffer() {
        let secrets = (0..<100).map { _ in TimeBasedCode().secret }
        #expect(secrets.allSatisfy { $0.count == 20 })
        #expect(Set(secrets).count == 100)
    }

    @Test func theURIIsWhatAnAppReads() {
        #expect(
            TimeBasedCode(secret: Self.secret).uri(issuer: "Kaba Beat", account: "a+b@example.org")
                == "otpauth://totp/Kaba%20Beat:a%2Bb%40example.org?secret=GEZDGNBVGY3TQOJQGEZDGNBVGY3TQOJQ&issuer=Kaba%20Beat"
                + "&algorithm=SHA1&digits=6&period=30")
    }

    @Test func noDescriptionShowsASecret() {
        let code = TimeBasedCode(secret: Self.secret)
        #expect("\(code)" == "a time-based code")
        #expect(String(reflecting: code) == "a time-based code")
    }
}

@Suite struct RecoveryCodeTests {
    @Test func anAccountGetsTenThatDiffer() {
        let codes = RecoveryCode.makeAll()
        #expect(codes.count == 10)
        #expect(Set(codes.map(\.text)).count == 10)
        #expect(Set(codes.map(\.digest)).count == 10)
        for code in codes { #expect(code.text.wholeMatch(of: /[A-Z2-7]{6}(-[A-Z2-7]{6}){3}/) != nil) }
    }

    @Test func aCodeIsReadAsPeopleTypeIt() throws {
        let code = RecoveryCode()
        let typed = [
            code.text, code.text.lowercased(), code.text.replacing("-", with: ""), " " + code.text.replacing("-", with: " ") + " ",
        ]
        for text in typed { #expect(RecoveryCode(presented: text)?.digest == code.digest) }
    }

    @Test func whatIsNoCodeIsNotRead() {
        for text in ["", "ABCDEF", "123456", String(repeating: "A", count: 25), String(repeating: "A", count: 1000)] {
            #expect(RecoveryCode(presented: text) == nil)
        }
    }
}
