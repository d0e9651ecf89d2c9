import Contract

/// One mail to one recipient, in plain text.
public struct EmailMessage: Sendable, Hashable {
    /// Names the message for good: the same for every attempt, so that a receiver can tell a second delivery from a second mail.
    public let id: EntityID
    public let recipient: String
    public let subject: String
    /// Lines end in `\n`.
    public let text: String
    public let writtenAt: Timestamp

    public init(id: EntityID, recipient: String, subject: String, text: String, writtenAt: Timestamp) {
        self.id = id
        self.recipient = recipient
        self.subject = subject
        self.text = text
        self.writtenAt = writtenAt
    }
}

/// Hands mails over for delivery.
public protocol EmailSender: Sendable {
    /// Gets ready to hand over several mails, one after the other. Throws `unavailable` where none can be handed over at present.
    func connect() async throws(EmailError) -> any EmailConnection
}

/// Takes mails for as long as it is open. For one task at a time.
public protocol EmailConnection: Sendable {
    /// False once a failure has made it useless.
    var isOpen: Bool { get }
    /// Returns once the next server, or the console, has taken the message over.
    func send(_ message: EmailMessage) async throws(EmailError)
    /// Ends it politely, within moments.
    func close() async
}

/// Why a mail was not taken over. Codes name what a server answered and never hold its words, which may repeat addresses.
public enum EmailError: Error, Sendable, Hashable {
    /// No mail can be handed over at present: no connection, no sign-in, a sender that is refused. Says nothing of the message.
    case unavailable(code: String)
    /// Trying this message again later makes sense: a connection that broke over it, a deadline, a 4xx answer.
    case temporary(code: String)
    /// The server will never take this message: a 5xx answer, or a recipient that is no address.
    case permanent(code: String)

    var code: String {
        switch self {
        case .unavailable(let code), .temporary(let code), .permanent(let code): code
        }
    }
}
