import Logging

/// Writes mails to the log instead of sending them, links and all: for a developer's own machine, and never for production.
public struct ConsoleSender: EmailSender {
    private let logger: Logger

    public init(_ logger: Logger) { self.logger = logger }

    public func connect() async throws(EmailError) -> any EmailConnection { Connection(logger: logger) }

    private struct Connection: EmailConnection {
        let logger: Logger
        let isOpen = true

        func send(_ message: EmailMessage) async throws(EmailError) {
            logger.notice(
                "mail that is shown here instead of being sent, because this is a development environment",
                metadata: ["to": "\(message.recipient)", "subject": "\(message.subject)", "text": "\(message.text)"])
        }

        func close() async {}
    }
}
