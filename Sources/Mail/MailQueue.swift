import Contract
import Credentials
import Foundation
import PostgresClient

/// Where features leave what is to be mailed. A mail follows the commit of the transaction that it was left in, and only that.
public struct MailQueue: Sendable {
    private let seal: Seal
    private let links: MailLinks

    /// `seal` is the one for mails.
    public init(seal: Seal, links: MailLinks) {
        self.seal = seal
        self.links = links
    }

    /// Leaves a mail to `recipient` with `transaction`, whose principal is the authenticator or the system; it is sent within moments of
    /// COMMIT. The text, with any token in it, is stored sealed. Throws `PostgresError`, or `Seal.OpenError` where nothing can be sealed.
    public func enqueue(_ template: MailTemplate, to recipient: String, in transaction: PostgresTransaction) async throws {
        let id = EntityID.make(milliseconds: Int64(Date().timeIntervalSince1970 * 1000))
        let sealed = try seal.seal(Array(template.text(links).utf8), at: id.description)
        try await MailStore.insert(
            id, to: recipient, template: template.name, subject: template.subject, sealed: sealed, in: transaction)
    }
}
