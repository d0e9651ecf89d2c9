import NIOCore
import TestSupport
import Testing

@testable import Mail

@Suite struct SMTPReplyTests {
    private func replies(_ chunks: [String]) throws(SMTPFailure) -> [SMTPReply] {
        var parser = SMTPReplyParser()
        var replies: [SMTPReply] = []
        for chunk in chunks {
            parser.add(ByteBuffer(string: chunk))
            while let reply = try parser.next() { replies.append(reply) }
        }
        return replies
    }

    @Test func repliesAreTheSameHoweverTheirBytesArrive() throws {
        let text =
            "220 hello\r\n250-mail.example.org\r\n250-SIZE 1000\r\n250 AUTH=LOGIN PLAIN\r\n354\r\n550-5.1.1 no\n550 5.1.1 such user\n"
        let whole = try replies([text])
        #expect(whole.map(\.code) == [220, 250, 354, 550])
        #expect(whole[1].lines == ["mail.example.org", "SIZE 1000", "AUTH=LOGIN PLAIN"])
        #expect(whole.map(\.name) == ["220", "250", "354", "550_5.1.1"])
        #expect(try replies(text.map(String.init)) == whole)
        var random = SeededGenerator()
        for _ in 0..<100 {
            var rest = Substring(text)
            var chunks: [String] = []
            while !rest.isEmpty {
                let count = Int.random(in: 1...20, using: &random)
                chunks.append(String(rest.prefix(count)))
                rest = rest.dropFirst(count)
            }
            #expect(try replies(chunks) == whole, "\(random)")
        }
    }

    @Test(arguments: [
        "hello\r\n", "22\r\n", "2200 x\r\n", "220_x\r\n", "120 x\r\n", "600 x\r\n", "250-x\r\n220 y\r\n", "\r\n", "٢٢٠ x\r\n",
        String(repeating: "x", count: 2049), "220 " + String(repeating: "x", count: 2048) + "\r\n",
        String(repeating: "220-x\r\n", count: 101),
    ])
    func whatIsNoReplyIsRefusedAndNothingIsKeptWithoutBound(text: String) {
        #expect(throws: SMTPFailure.malformed) { try replies([text]) }
    }

    @Test(arguments: ["550 <ana@example.org> unknown", "550 5.1 x", "550 5.1.1111 x", "550 a.b.c x", "550 ..", "550"])
    func nothingButDigitsOfAReplyGetsIntoACode(text: String) throws {
        #expect(try replies([text + "\r\n"]).map(\.name) == ["550"])
    }

    @Test func aServersOffersAreReadInAnyCase() {
        let offers = SMTPExtensions(
            SMTPReply(code: 250, lines: ["mail.example.org STARTTLS", "starttls", "Auth plain LOGIN", "AUTH=XOAUTH2", "SMTPUTF8"]))
        #expect(offers.hasStartTLS && offers.hasUTF8)
        #expect(offers.mechanisms == ["PLAIN", "LOGIN", "XOAUTH2"])
        #expect(!SMTPExtensions(SMTPReply(code: 250, lines: ["STARTTLS"])).hasStartTLS)
    }

    @Test func onlyLoopbackMaySeeCredentialsInTheClear() throws {
        func exposes(_ host: String, _ encryption: SMTPConfiguration.Encryption, user: String?) throws -> Bool {
            SMTPConfiguration(
                host: host, port: 25, encryption: encryption, credentials: user.map { .init(user: $0, password: "x") },
                sender: try #require(Mailbox("a@example.org"))
            ).exposesCredentials
        }
        for host in ["localhost", "127.0.0.1", "127.9.9.9", "::1"] { #expect(try !exposes(host, .none, user: "ana"), "\(host)") }
        for host in ["mail.example.org", "127.0.0.1.example.org", "127.0.0", "10.0.0.1", "127.0.0.300", "0.0.0.0"] {
            #expect(try exposes(host, .none, user: "ana"), "\(host)")
            #expect(try !exposes(host, .none, user: nil))
            #expect(try !exposes(host, .starttls, user: "ana"))
            #expect(try !exposes(host, .implicit, user: "ana"))
        }
    }
}
