import Contract
import Foundation
import TestSupport
import Testing

@testable import Mail

@Suite struct EmailFormatTests {
    private func lines(_ text: String, subject: String = "Hello", from: String = "no-reply@kababeat.example") throws -> [String] {
        let message = EmailMessage(
            id: EntityID(rawValue: 7), recipient: "a@example.org", subject: subject, text: text, writtenAt: Timestamp(milliseconds: 0))
        let recipient = try #require(EmailAddress("a@example.org"))
        let sender = try #require(Mailbox(from))
        let bytes = try #require(EmailFormat.bytes(message, to: recipient, from: sender))
        return String(decoding: bytes, as: UTF8.self).components(separatedBy: "\r\n")
    }

    @Test func theHeaderSaysWhoWroteWhatWhenToWhomAndWantsNoAnswerFromMachines() throws {
        #expect(
            try lines("Good day.\n", from: "Kaba Beat <no-reply@kababeat.example>") == [
                "Date: Thu, 01 Jan 1970 00:00:00 +0000", "From: \"Kaba Beat\" <no-reply@kababeat.example>", "To: a@example.org",
                "Subject: Hello",
                "Message-ID: <00000000-0000-0000-0000-000000000007@kababeat.example>", "MIME-Version: 1.0",
                "Content-Type: text/plain; charset=utf-8", "Content-Transfer-Encoding: 7bit", "Auto-Submitted: auto-generated", "",
                "Good day.", "",
            ])
    }

    @Test(arguments: [
        (0, "Thu, 01 Jan 1970 00:00:00 +0000"), (951_782_399_000, "Mon, 28 Feb 2000 23:59:59 +0000"),
        (1_709_208_000_000, "Thu, 29 Feb 2024 12:00:00 +0000"), (1_795_273_200_123, "Sat, 21 Nov 2026 15:00:00 +0000"),
        (-1, "Wed, 31 Dec 1969 23:59:59 +0000"),
    ]) func datesAreThoseOfRFC5322(milliseconds: Int64, text: String) {
        #expect(EmailFormat.date(Timestamp(milliseconds: milliseconds)) == text)
    }

    @Test func aSubjectThatIsNoShortASCIIIsInEncodedWordsThatHoldWholeCharacters() throws {
        #expect(EmailFormat.text("Grüße", after: 9) == "=?utf-8?B?R3LDvMOfZQ==?=")
        #expect(EmailFormat.text("=?utf-8?B?aGk=?=", after: 9).hasPrefix("=?utf-8?B?PT91"))
        var random = SeededGenerator()
        for _ in 0..<500 {
            let subject = random.text(upTo: 120).filter {
                !$0.isNewline && $0.unicodeScalars.allSatisfy { $0.value >= 0x20 && $0.value != 0x7F }
            }
            let encoded = EmailFormat.text(subject, after: 9)
            guard encoded != subject else { continue }
            var decoded = ""
            for line in encoded.components(separatedBy: "\r\n ") {
                #expect(line.utf8.count <= 75, "\(random)")
                let data = try #require(Data(base64Encoded: String(line.dropFirst(10).dropLast(2))))
                decoded += try #require(String(data: data, encoding: .utf8), "\(random)")
            }
            #expect(Array(decoded.utf8) == Array(subject.utf8), "\(random)")
        }
    }

    @Test func linesOfABodyThatIsNotPlainAreShortAndEndInNoSpace() throws {
        var random = SeededGenerator()
        for _ in 0..<500 {
            let text = random.text(upTo: 400)
            let lines = try lines(text)
            #expect(lines.allSatisfy { $0.utf8.count <= 998 }, "\(random)")
            guard lines.contains("Content-Transfer-Encoding: quoted-printable"), let end = lines.firstIndex(of: "") else { continue }
            for line in lines[end...] {
                #expect(
                    line.utf8.count <= 76 && line.utf8.last != 0x20 && line.utf8.allSatisfy { (0x20..<0x7F).contains($0) || $0 == 9 },
                    "\(random)")
            }
        }
    }

    @Test(arguments: [
        ("", ".\r\n"), (".\r\n", "..\r\n.\r\n"), ("a\r\n.b\r\n..\r\n", "a\r\n..b\r\n...\r\n.\r\n"), ("a.b\r\n", "a.b\r\n.\r\n"),
    ])
    func aLineThatBeginsWithADotGetsAnother(text: String, sent: String) {
        #expect(String(decoding: EmailFormat.data(Array(text.utf8)), as: UTF8.self) == sent)
    }

    @Test(arguments: ["ana@example.org", "a.b+c@x-y.example", "o'hara@example", "bücher@exämple.org", "音乐@例え.jp"])
    func anAddressIsWhatMayStandInACommand(text: String) {
        #expect(EmailAddress(text)?.description == text)
    }

    @Test(arguments: [
        "", "a", "@", "a@", "@b", "a@b..c", ".a@b", "a.@b", "a b@c", "a@b c", "<a@b>", "a@b>", "a@[127.0.0.1]", "\"a\"@b", "a,b@c", "a;b@c",
        "a:b@c",
        "a@b\n", "a\r@b", "a\0@b", "a(b)@c", "a\\@b", "a\u{202E}@b", "a@b\u{85}", "a@_b", "\u{130}@b", "a@\u{212A}",
    ])
    func anythingElseIsNone(text: String) {
        #expect(EmailAddress(text) == nil)
    }

    @Test func aMailboxIsAnAddressWithOrWithoutAName() {
        #expect(Mailbox("a@example.org")?.name == "")
        #expect(Mailbox("<a@example.org>")?.name == "")
        #expect(Mailbox("Kaba Beat <a@example.org>")?.name == "Kaba Beat")
        #expect(Mailbox("\"Kaba, Beat\" <a@example.org>")?.name == "Kaba, Beat")
        #expect(Mailbox("Kaba\r\nBcc: x <a@example.org>") == nil)
        #expect(Mailbox("Kaba Beat") == nil)
    }
}
