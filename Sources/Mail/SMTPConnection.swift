import NIOCore
import Synchronization

/// A server that is ready for mails.
final class SMTPConnection: EmailConnection {
    private static let farewell = TimeAmount.seconds(1)

    private let channel: SMTPChannel
    private let configuration: SMTPConfiguration
    private let takesUTF8: Bool
    private let isUsable = Atomic(true)

    init(_ channel: SMTPChannel, _ configuration: SMTPConfiguration, takesUTF8: Bool) {
        self.channel = channel
        self.configuration = configuration
        self.takesUTF8 = takesUTF8
    }

    deinit { channel.close() }

    var isOpen: Bool { isUsable.load(ordering: .relaxed) && channel.isOpen }

    func send(_ message: EmailMessage) async throws(EmailError) {
        guard let recipient = EmailAddress(message.recipient) else { throw .permanent(code: "mail_recipient_invalid") }
        guard recipient.isASCII || takesUTF8 else { throw .permanent(code: "mail_recipient_not_ascii") }
        guard let bytes = EmailFormat.bytes(message, to: recipient, from: configuration.sender) else {
            throw .permanent(code: "mail_subject_invalid")
        }
        let sender = configuration.sender.address
        let end = NIODeadline.now() + TimeAmount(configuration.messageLimit)
        do throws(EmailError) {
            let parameter = recipient.isASCII && sender.isASCII ? "" : " SMTPUTF8"
            try await step(.sender, "MAIL FROM:<\(sender)>\(parameter)", by: end)
        } catch {
            // The same for every mail: it says nothing of this one.
            throw .unavailable(code: error.code)
        }
        try await step(.recipient, "RCPT TO:<\(recipient)>", by: end)
        try await step(.data, "DATA", by: end, expecting: \.isContinued)
        let reply = try await ask(EmailFormat.data(bytes), by: end)
        guard reply.isDone else { throw refusal(.data, reply) }
    }

    func close() async {
        // A farewell is a courtesy: every mail has had its reply.
        if isOpen { _ = try? await channel.ask("QUIT", by: .now() + Self.farewell) }
        channel.close()
    }

    /// One command before the message itself. Where the server refuses it, it is made to forget the others.
    private func step(
        _ step: SMTPFailure.Step, _ command: String, by end: NIODeadline, expecting isExpected: (SMTPReply) -> Bool = \.isDone
    ) async throws(EmailError) {
        let reply = try await ask(Array("\(command)\r\n".utf8), by: end)
        if isExpected(reply) { return }
        let refusal = refusal(step, reply)
        if isOpen, (try? await ask(Array("RSET\r\n".utf8), by: end))?.isDone != true { isUsable.store(false, ordering: .relaxed) }
        throw refusal
    }

    private func ask(_ bytes: [UInt8], by end: NIODeadline) async throws(EmailError) -> SMTPReply {
        do throws(SMTPFailure) {
            return try await channel.ask(bytes, by: min(end, .now() + TimeAmount(configuration.replyLimit)))
        } catch {
            isUsable.store(false, ordering: .relaxed)
            channel.close()
            throw .temporary(code: error.code)
        }
    }

    private func refusal(_ step: SMTPFailure.Step, _ reply: SMTPReply) -> EmailError {
        // RFC 5321 §3.8: the server is about to leave.
        if reply.code == 421 { isUsable.store(false, ordering: .relaxed) }
        let code = SMTPFailure.refused(step, reply).code
        return reply.isPermanent ? .permanent(code: code) : .temporary(code: code)
    }
}
