import Contract
import Credentials
import DataPlane
import Foundation
import Identity

/// What everything about identity stands on: the secret, the hasher, the rules for passwords, tokens and the keys that sign them.
struct IdentityBasics: Sendable {
    let secret: IdentitySecret
    let hasher: PasswordHasher
    let passwords: PasswordRules
    let tokens: AccessTokens
    let signingKeys: SigningKeyService
    /// What development goes on without, a sentence each; production does not start.
    let warnings: [String]

    /// Throws where the secret or the list of common passwords is missing and this is not development, or a file cannot be read.
    init(_ settings: Settings, postgres: PostgresAccess, observer: any Observer) throws {
        var warnings: [String] = []
        if let secret = try settings.identitySecret() {
            self.secret = secret
        } else {
            secret = .development
            warnings.append("there is no identity.secret: what is sealed now, everybody can open")
        }
        let list = settings.text("password.common.file")
        if !list.isEmpty {
            do { passwords = PasswordRules(common: try CommonPasswords(path: list)) } catch {
                throw CommandFailure(description: "\(error)")
            }
        } else if settings.isDevelopment {
            passwords = PasswordRules(common: .none)
            warnings.append("there is no password.common.file: passwords that everybody guesses are accepted")
        } else {
            throw SettingsError.malformed(
                name: "KABABEAT_PASSWORD_COMMON_FILE", expected: "the path of a list of common passwords, one a line")
        }
        hasher = try settings.passwordHasher()
        tokens = AccessTokens(settings.tokens)
        signingKeys = SigningKeyService(postgres: postgres, secret: secret, tokens: tokens, observer: observer)
        self.warnings = warnings
    }

    /// Reads the keys, so that the first request finds them. A database that does not answer is no reason not to start: they are read
    /// as soon as it does. Throws for keys that were sealed with another secret.
    func prepare(_ observer: any Observer) async throws {
        for warning in warnings { observer.observe(.lifecycle("warning: \(warning)")) }
        do throws(SigningKeyError) { try await signingKeys.reload() } catch {
            switch error {
            case .problem: observer.observe(.lifecycle("the signing keys are not read yet: a store does not answer"))
            case .sealed(let id):
                throw CommandFailure(
                    description: """
                        the signing key \(id) was sealed with another identity.secret: set that one, or give the old keys up with \
                        `kababeat keys rotate --at-once`
                        """)
            }
        }
    }
}
