import Contract
import CrashPoints
import Credentials
import DataPlane
import Synchronization

/// Sends mails after their commit. What the server took is marked at once and its text forgotten; only a crash, or a Postgres that is
/// away for long, between the two sends a second copy, under the same Message-ID.
final class MailProjector: Projector {
    let kind = Announcement.Kind.mail
    let isAnnounced = false

    private let store: MailStore
    private let seal: Seal
    private let sender: any EmailSender
    private let observer: any Observer

    /// Connections to the mail server at once.
    private static let connections = 4
    /// No message is begun later than this after the others, so that all end within the lease of `OutboxLane.mails`.
    static let beginLimit = Duration.seconds(40)
    /// For how long marking is tried, once a second, before the chance of a second copy is taken.
    private static let markLimit = Duration.seconds(30)

    private let isStopped = Atomic(false)

    init(store: MailStore, seal: Seal, sender: any EmailSender, observer: any Observer) {
        self.store = store
        self.seal = seal
        self.sender = sender
        self.observer = observer
    }

    /// Begins no other mail.
    func stop() { isStopped.store(true, ordering: .relaxed) }

    func project(_ ids: [EntityID]) async throws(Problem) -> Projection {
        let end = ContinuousClock.now + Self.beginLimit
        var outcomes: [EntityID: ProjectionOutcome] = [:]
        for id in ids { outcomes[id] = .hopeless(reason: "mail_unknown") }
        var waiting: [(message: EmailMessage, version: Int64)] = []
        for mail in try await store.mails(ids) {
            guard let sealed = mail.sealed else {
                outcomes[mail.id] = .shown(version: mail.version)
                continue
            }
            guard let text = try? seal.open(sealed, at: mail.id.description) else {
                outcomes[mail.id] = .hopeless(reason: "mail_does_not_open")
                continue
            }
            outcomes[mail.id] = nil
            waiting.append(
                (
                    EmailMessage(
                        id: mail.id, recipient: mail.recipient, subject: mail.subject, text: String(decoding: text, as: UTF8.self),
                        writtenAt: mail.writtenAt), mail.version
                ))
        }
        if !waiting.isEmpty { outcomes.merge(try await send(waiting, before: end)) { $1 } }
        return Projection(outcomes)
    }

    /// Throws where the mail server takes nothing at all; leaves out what it was not asked about.
    private func send(
        _ mails: [(message: EmailMessage, version: Int64)], before end: ContinuousClock.Instant
    ) async throws(Problem) -> [EntityID: ProjectionOutcome] {
        let shares = (0..<min(Self.connections, mails.count)).map { share in
            stride(from: share, to: mails.count, by: Self.connections).map { mails[$0] }
        }
        let results = await withTaskGroup(of: Share.self) { group in
            for share in shares { group.addTask { await self.send(share: share, before: end) } }
            return await group.reduce(into: []) { $0.append($1) }
        }
        let outcomes = results.reduce(into: [:]) { $0.merge($1.outcomes) { first, _ in first } }
        if outcomes.isEmpty, let code = results.compactMap(\.unavailable).first {
            throw Problem(.storeUnavailable, "The mail server takes no mails: \(code).", retryAfter: 5)
        }
        return outcomes
    }

    private struct Share: Sendable {
        var outcomes: [EntityID: ProjectionOutcome] = [:]
        /// Why it ended early, if the server was the reason.
        var unavailable: String?
    }

    /// Sends one after the other over one connection, until it breaks or the time is over.
    private func send(
        share mails: [(message: EmailMessage, version: Int64)], before end: ContinuousClock.Instant
    ) async -> Share {
        var share = Share()
        do throws(EmailError) {
            let connection = try await sender.connect()
            for (message, version) in mails where connection.isOpen && .now < end && !isStopped.load(ordering: .relaxed) {
                share.outcomes[message.id] = try await outcome(message, version, over: connection)
            }
            await connection.close()
        } catch {
            share.unavailable = error.code
        }
        return share
    }

    private func outcome(
        _ message: EmailMessage, _ version: Int64, over connection: any EmailConnection
    ) async throws(EmailError) -> ProjectionOutcome {
        crash(at: .mailBeforeSending)
        do throws(EmailError) { try await connection.send(message) } catch {
            switch error {
            case .permanent(let code): return .hopeless(reason: code)
            case .temporary(let code): return .refused(reason: code)
            case .unavailable: throw error
            }
        }
        observer.observe(.mailSent)
        crash(at: .mailAfterSending)
        await mark(message.id)
        crash(at: .mailAfterMarking)
        return .shown(version: version)
    }

    private func mark(_ id: EntityID) async {
        let end = ContinuousClock.now + Self.markLimit
        while .now < end {
            do throws(Problem) { return try await store.markSent(id) } catch {
                observer.observe(.relayFailed(error.missing.first, detail: "a mail that was sent is not marked yet"))
            }
            // Between two tries; fails only where the delivery is to stop.
            guard (try? await Task.sleep(for: .seconds(1))) != nil else { return }
        }
    }
}
