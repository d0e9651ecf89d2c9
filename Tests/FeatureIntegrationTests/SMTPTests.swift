import Contract
import Foundation
import TestSupport
import Testing

@testable import Mail

private let password = "s3cret ü"

private func message(to recipient: String, subject: String = "Hello", text: String = "Good day.\n") -> EmailMessage {
    EmailMessage(
        id: .make(milliseconds: 1_790_000_000_000), recipient: recipient, subject: subject, text: text,
        writtenAt: Timestamp(milliseconds: 1_790_000_000_000))
}

/// Why mails to `recipients`, sent in order over one connection, were not taken; nil for each that was. One error stands for all where
/// there is no connection.
private func send(_ recipients: String..., by configuration: SMTPConfiguration) async throws -> [EmailError?] {
    let connection: any EmailConnection
    let sender = try SMTPSender(configuration)
    do throws(EmailError) { connection = try await sender.connect() } catch { return [error] }
    var outcomes: [EmailError?] = []
    for recipient in recipients {
        do throws(EmailError) {
            try await connection.send(message(to: recipient))
            outcomes.append(nil)
        } catch {
            outcomes.append(error)
        }
    }
    await connection.close()
    return outcomes
}

@Suite(.timeLimit(.minutes(5))) struct SMTPTests {
    @Test func aMailArrivesAsItWasWrittenWhateverIsInIt() async throws {
        try await MailServer.use { server in
            let texts = [
                "Plain.\n", ".\n..\n.dot at the start\nend\n", "Grüße, 音乐 🎧 and = signs = \n \n trailing space \n",
                String(repeating: "long ", count: 400) + "\n", "\u{7}\u{1B}[31m control\n",
            ]
            let subject = "Grüße an alle, die heute 音乐 hören wollen 🎧 und morgen auch noch, " + String(repeating: "x", count: 90)
            let connection = try await SMTPSender(try server.configuration()).connect()
            for text in texts { try await connection.send(message(to: "reader@example.org", subject: subject, text: text)) }
            await connection.close()
            for (mail, text) in zip(try await server.mails(texts.count), texts) {
                #expect(mail.text == text)
                #expect(mail.subject == subject)
                #expect(mail.to == ["reader@example.org"])
                #expect(mail.reader == "reader@example.org")
                #expect(mail.sender == "no-reply@kababeat.example")
                #expect(mail.author == "KabaBeat <no-reply@kababeat.example>")
                #expect(mail.date == "Mon, 21 Sep 2026 14:13:20 +0000")
                #expect(mail.messageID.hasPrefix("<01a0") && mail.messageID.hasSuffix("@kababeat.example>"))
                #expect(mail.defects == [])
                #expect(mail.longestLine <= 998)
                #expect(mail.strayLineEnds == 0)
            }
            #expect(server.connections == 1)
        }
    }

    @Test func nothingThatIsWrittenEndsALineOfTheProtocol() async throws {
        try await MailServer.use { server in
            let connection = try await SMTPSender(try server.configuration()).connect()
            let evil = [
                "a@example.org>\r\nRCPT TO:<b@example.org", "a@example.org\nDATA", "a@example.org\r", "a b@example.org", "a@exam\0ple.org",
                "<a@example.org>", "a@example.org, b@example.org", "\"a\r\n\"@example.org", "", "@", "a@", "@b", "a@b@c d",
                "a\u{2028}@example.org", String(repeating: "a", count: 65) + "@example.org",
            ]
            for recipient in evil {
                await #expect(throws: EmailError.permanent(code: "mail_recipient_invalid"), "\(recipient.debugDescription)") {
                    try await connection.send(message(to: recipient))
                }
            }
            for subject in ["Hello\r\nBcc: b@example.org", "Hello\nX", "Hello\u{85}X", "Hello\u{2029}X", "\0"] {
                await #expect(throws: EmailError.permanent(code: "mail_subject_invalid"), "\(subject.debugDescription)") {
                    try await connection.send(message(to: "a@example.org", subject: subject))
                }
            }
            // A body that looks like the end of one, and commands after it: all of it is text.
            let text = "one\n.\nMAIL FROM:<x@example.org>\n\r\n.\r\nRCPT TO:<b@example.org>\r.\r\nQUIT\n"
            try await connection.send(message(to: "a@example.org", text: text))
            await connection.close()
            let mails = try await server.mails(1)
            #expect(mails.map(\.to) == [["a@example.org"]])
            #expect(mails[0].text == text.replacing("\r\n", with: "\n").replacing("\r", with: "\n"))
            #expect(mails[0].strayLineEnds == 0)
        }
    }

    @Test(arguments: ["PLAIN", "LOGIN"]) func signsInOverAnEncryptedConnectionWithAVerifiedCertificate(mechanism: String) async throws {
        for encryption in [SMTPConfiguration.Encryption.starttls, .implicit] {
            try await MailServer.use("--tls", encryption.rawValue, "--auth", mechanism) { server in
                #expect(try await send("reader@example.org", by: server.configuration(encryption, password: password)) == [nil])
                let mail = try await server.mails(1)[0]
                #expect(mail.encrypted)
                #expect(mail.user == "ana")
                let wrong = try await send("reader@example.org", by: server.configuration(encryption, password: "wrong"))
                #expect(wrong == [.unavailable(code: "smtp_auth_535_5.7.8")])
                // By name too; and neither without knowing who signed the certificate, nor under a name that is not in it.
                var byName = try server.configuration(encryption, password: password)
                byName.host = "localhost"
                #expect(try await send("reader@example.org", by: byName) == [nil])
                var untrusted = byName
                untrusted.trustedCertificates = nil
                #expect(try await send("reader@example.org", by: untrusted) == [.unavailable(code: "smtp_tls")])
                var otherName = byName
                otherName.host = "127.0.0.2"
                #expect(try await send("reader@example.org", by: otherName).compactMap { $0 }.count == 1)
                #expect(try await server.mails(2).count == 2)
            }
        }
    }

    @Test func whereEncryptionIsAskedForNothingIsSentWithoutIt() async throws {
        try await MailServer.use { server in
            try "-----BEGIN CERTIFICATE-----".write(toFile: server.certificate, atomically: true, encoding: .utf8)
            var configuration = try server.configuration(.starttls, password: password)
            configuration.trustedCertificates = nil
            #expect(try await send("reader@example.org", by: configuration) == [.unavailable(code: "smtp_no_starttls")])
            configuration.encryption = .implicit
            #expect(try await send("reader@example.org", by: configuration) == [.unavailable(code: "smtp_tls")])
            configuration.encryption = .none
            configuration.host = "mail.example.org"
            #expect(configuration.exposesCredentials)
            #expect(try await send("reader@example.org", by: configuration) == [.unavailable(code: "smtp_credentials_need_tls")])
            #expect(server.mails.isEmpty)
        }
    }

    @Test func aRefusalConcernsItsMailAloneAndItsCodeHoldsNoneOfTheServersWords() async throws {
        try await MailServer.use { server in
            let recipients = ["refused-550", "first", "later-451", "spam-554", "full-452", "second", "leaving-421", "third"]
            let connection = try await SMTPSender(try server.configuration()).connect()
            var outcomes: [EmailError?] = []
            for recipient in recipients {
                do throws(EmailError) {
                    try await connection.send(message(to: "\(recipient)@example.org"))
                    outcomes.append(nil)
                } catch { outcomes.append(error) }
                #expect(connection.isOpen == !["leaving-421", "third"].contains(recipient))
            }
            #expect(
                outcomes.dropLast() == [
                    .permanent(code: "smtp_recipient_550_5.1.1"), nil, .temporary(code: "smtp_recipient_451_4.7.1"),
                    .permanent(code: "smtp_data_554_5.7.1"), .temporary(code: "smtp_data_452_4.3.1"), nil,
                    .temporary(code: "smtp_recipient_421_4.3.2"),
                ])
            #expect(try await server.mails(2).map(\.to).prefix(2) == [["first@example.org"], ["second@example.org"]])
        }
    }

    @Test func aSenderThatIsRefusedSaysNothingOfTheMail() async throws {
        try await MailServer.use("--sender-refused") { server in
            let outcomes = try await send("reader@example.org", by: server.configuration())
            #expect(outcomes == [.unavailable(code: "smtp_sender_550_5.7.60")])
        }
    }

    @Test func anAddressBeyondASCIINeedsAServerThatKnowsSuch() async throws {
        try await MailServer.use { server in
            #expect(try await send("bücher@exämple.org", by: server.configuration()) == [nil])
            let mail = try await server.mails(1)[0]
            #expect(mail.to == ["bücher@exämple.org"])
            #expect(mail.options.contains("SMTPUTF8"))
        }
        try await MailServer.use("--no-utf8") { server in
            let outcomes = try await send("bücher@exämple.org", "reader@example.org", by: server.configuration())
            #expect(outcomes == [.permanent(code: "mail_recipient_not_ascii"), nil])
        }
    }

    @Test func aServerThatFallsSilentIsLeftAtTheDeadline() async throws {
        try await MailServer.use { server in
            var configuration = try server.configuration()
            configuration.replyLimit = .milliseconds(300)
            let clock = ContinuousClock()
            let start = clock.now
            #expect(try await send("silent@example.org", by: configuration) == [.temporary(code: "smtp_timeout")])
            #expect(start.duration(to: clock.now) < .seconds(5))
        }
        try await MailServer.play([""]) { server in
            var configuration = try server.configuration()
            configuration.connectLimit = .milliseconds(300)
            #expect(try await send("reader@example.org", by: configuration) == [.unavailable(code: "smtp_timeout")])
        }
        let sender = try #require(Mailbox("a@example.org"))
        var configuration = SMTPConfiguration(
            host: "127.0.0.1", port: try closedPort(), encryption: .none, credentials: nil, sender: sender)
        #expect(try await send("reader@example.org", by: configuration) == [.unavailable(code: "smtp_connect")])
        configuration.host = "no-such-host.invalid"
        #expect(try await send("reader@example.org", by: configuration) == [.unavailable(code: "smtp_connect")])
    }

    @Test func aServerThatDiesInTheMiddleOfAMailHasNotTakenIt() async throws {
        try await MailServer.use { server in
            let outcomes = try await send("first@example.org", "dies@example.org", by: server.configuration())
            #expect(outcomes == [nil, .temporary(code: "smtp_closed")])
            #expect(try await server.mails(1).count == 1)
        }
    }

    @Test func whatIsNoReplyEndsTheConversation() async throws {
        let scripts: [([String], String)] = [
            (["HTTP/1.1 400 Bad Request\n"], "smtp_malformed"),
            (["220 " + String(repeating: "x", count: 3000) + "\n"], "smtp_malformed"),
            ([String(repeating: "220-x\n", count: 101) + "220 x\n"], "smtp_malformed"),
            (["220-one\n250 two\n"], "smtp_malformed"),
            (["220 hello\n", "250 hello\n250 and again\n"], "smtp_unsolicited"),
            (["554 no service here\n"], "smtp_greeting_554"),
            (["220 hello\n", "502 what?\n"], "smtp_hello_502"),
        ]
        for (parts, code) in scripts {
            try await MailServer.play(parts) { server in
                let outcomes = try await send("reader@example.org", by: server.configuration())
                // What came after a reply that was waited for may be noticed at the next command.
                #expect([[.unavailable(code: code)]].contains(outcomes) || outcomes.first == .unavailable(code: "smtp_closed"), "\(parts)")
            }
        }
    }

    @Test func whatWasSaidBeforeTheConnectionWasEncryptedIsNotBelievedAfterwards() async throws {
        // Somebody between us and the server adds a reply in the clear, to be read as one of the encrypted conversation.
        try await MailServer.play(["220 hello\n", "250-hello\n250 STARTTLS\n", "220 go ahead\n250-hello\n250 AUTH PLAIN\n"]) { server in
            var configuration = try server.configuration(.starttls, password: password)
            configuration.trustedCertificates = nil
            #expect(try await send("reader@example.org", by: configuration) == [.unavailable(code: "smtp_unsolicited")])
        }
    }
}
