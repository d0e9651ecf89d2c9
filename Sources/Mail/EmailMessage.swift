/// One mail to one recipient, in plain text.
public struct EmailMessage: Sendable, Hashable {
    /// Names the message for good: the same for every attempt, so that a receiver can tell a second delivery from a second mail.
    public let messageID: String
    public let recipient: String
    public let subject: String
    public let text: String

    public init(messageID: String, recipient: String, subject: String, text: String) {
        self.messageID = messageID
        self.recipient = recipient
        self.subject = subject
        self.text = text
    }
}

/// Hands mails over for delivery.
public protocol EmailSender: Sendable {
    /// Returns once the next server, or the console, has taken the message over.
    func send(_ message: EmailMessage) async throws(EmailError)
}

/// Why a mail was not taken over.
public enum EmailError: Error, Sendable, Hashable {
    /// Trying again later makes sense: no connection, a deadline, a 4xx answer.
    case temporary(code: String)
    /// The server will never take this message: a 5xx answer.
    case permanent(code: String)
}
