import Contract
import Credentials
import DataPlane
import Mail
import PostgresClient

/// Forgotten and changed passwords.
extension AccountService {
    /// Sends a link that sets a new password. What holds for `resendVerification` holds here.
    func forgotPassword(_ email: EmailAddress) async throws(Problem) {
        try await mailKnown(email) { known, transaction in
            guard known.status == .pending || known.status == .active else { return }
            try await mailReset(known, in: transaction)
        }
    }

    /// Sets a new password and ends every session. The token proves the address, too. Throws `invalidRequest` where the token is none
    /// (any more) or the password may not be chosen; `storeUnavailable` or `overloaded`.
    func resetPassword(_ text: String, password: String, caller: Caller) async throws(Problem) {
        guard let token = OpaqueToken(presented: text) else { throw EmailToken.invalid }
        // No hash for whoever has no token.
        let proof = try await tokens.find(token, .reset)
        if let complaint = complaint(password, names: [proof.email, proof.username]) {
            throw .invalid([.init("password", complaint)])
        }
        let hash = try await tools.hasher.hash(password)
        let changes = try await tools.postgres.transaction(as: .authenticator, within: timeout) { transaction in
            guard let proof = try await EmailTokenStore.use(token, .reset, in: transaction),
                let known = try await transaction.query(AccountStore.byIDLocked, [.uuid(proof.user.rawValue)]).first,
                known.email.lowercased() == proof.email.lowercased()
            else { throw EmailToken.invalid }
            try await AccountStore.setPassword(hash, of: known.id, in: transaction)
            try await AccountStore.endSessions(of: known.id, because: .passwordChanged, in: transaction)
            try await AccountStore.confirm(known.email, of: known.id, in: transaction)
            try await EmailTokenStore.withdraw(of: known.id, in: transaction)
            try await tools.mails.enqueue(.passwordChanged(username: known.username), to: known.email, in: transaction)
            try await transaction.file(Self.event("password_reset", .notice, known.id, caller))
            return try await AccountStore.announce(known.id, in: transaction)
        }
        try await tools.notice.committed(changes)
    }

    /// Sets a new password and ends every other session. Throws `invalidRequest` where the old one is wrong or the new one may not be
    /// chosen; `conflict` where it was changed meanwhile; `rateLimited`, `storeUnavailable` or `overloaded`.
    func changePassword(of account: Account, from old: String, to new: String, caller: Caller) async throws(Problem) {
        let own = try await store.own(account.id, as: .authenticator)
        if let complaint = complaint(new, names: [own.username] + (own.email.map { [$0] } ?? [])) {
            throw .invalid([.init("newPassword", complaint)])
        }
        let known = try await checkPassword(of: account, old, field: "currentPassword", caller)
        let hash = try await tools.hasher.hash(new)
        try await tools.postgres.transaction(as: .authenticator, within: timeout) { transaction in
            guard try await AccountStore.replacePassword(known, with: hash, of: account.id, in: transaction) else {
                throw Problem(.conflict, "The password was changed meanwhile.")
            }
            try await AccountStore.endSessions(
                of: account.id, sparing: account.sessionID, because: .passwordChanged, in: transaction)
            // A link that somebody had mailed with the old password must not outlive it.
            try await EmailTokenStore.withdraw(of: account.id, in: transaction)
            try await transaction.file(Self.event("password_changed", .notice, account.id, caller))
            guard let email = own.email else { return }
            try await tools.mails.enqueue(.passwordChanged(username: own.username), to: email, in: transaction)
        }
        try await tools.notice.committed([])
    }

    /// The hash that `password` was checked against. Guesses are counted per account, whoever makes them.
    @discardableResult
    func checkPassword(
        of account: Account, _ password: String, field: String, _ caller: Caller
    ) async throws(Problem) -> String {
        try await tools.limiter.admit(.signIn, subject: "password:\(account.id)")
        let hash = try await store.passwordHash(of: account.id)
        if let hash {
            if try await tools.hasher.verify(password, against: hash).matches { return hash }
        } else {
            try await tools.hasher.verifyNothing(password)
        }
        try await tools.audit.record(Self.event("password_refused", .warning, account.id, caller))
        throw .invalid([.init(field, "is not the password of this account")])
    }
}
