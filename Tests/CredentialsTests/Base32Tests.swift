import Testing

@testable import Credentials

@Suite struct Base32Tests {
    /// RFC 4648 §10, without the padding.
    static let vectors = [
        ("", ""), ("f", "MY"), ("fo", "MZXQ"), ("foo", "MZXW6"), ("foob", "MZXW6YQ"), ("fooba", "MZXW6YTB"), ("foobar", "MZXW6YTBOI"),
    ]

    @Test(arguments: vectors) func theVectorsOfTheStandardHold(bytes: String, text: String) {
        #expect(Base32.encode(Array(bytes.utf8)) == text)
        #expect(Base32.decode(text) == Array(bytes.utf8))
        #expect(Base32.decode(text.lowercased()) == Array(bytes.utf8))
    }

    @Test func everyLengthComesBack() {
        for count in 0...64 {
            let bytes = RandomBytes.make(count)
            #expect(Base32.decode(Base32.encode(bytes)) == bytes)
        }
    }

    @Test(arguments: ["M", "MZX", "MZXW6Y", "MZ", "M1", "M=", "MY======", "MY ", "ÄÄ"])
    func whatIsNoBase32IsNotRead(text: String) {
        #expect(Base32.decode(text) == nil)
    }
}
