import Contract
import DataPlane
import HTTPAPI
import Identity

/// What signs accounts in, joined.
struct IdentitySessions: Sendable {
    let sessions: SessionService
    let secondFactor: SecondFactorService
    private let signIn: PasswordSignIn

    init(
        _ settings: Settings, _ basics: IdentityBasics, postgres: PostgresAccess, limiter: any RateLimiter, audit: any AuditTrail,
        observer: any Observer
    ) {
        sessions = SessionService(
            postgres: postgres, tokens: basics.tokens, secret: basics.secret, lifetimes: settings.sessionLifetimes)
        secondFactor = SecondFactorService(
            postgres: postgres, hasher: basics.hasher, secret: basics.secret, limiter: limiter, audit: audit, observer: observer)
        signIn = PasswordSignIn(
            postgres: postgres, hasher: basics.hasher, sessions: sessions, secondFactor: secondFactor, limiter: limiter, audit: audit,
            admitsUnverified: settings.isDevelopment)
    }

    var routes: [Route] {
        SessionRoutes(signIn: signIn, service: sessions).routes + SecondFactorRoutes(service: secondFactor).routes
    }
}

extension Settings {
    /// The absolute lifetime bounds the idle one.
    var sessionLifetimes: SessionLifetimes {
        var lifetimes = SessionLifetimes()
        lifetimes.absolute = .seconds(86_400 * checked("session.days"))
        lifetimes.idle = min(lifetimes.absolute, .seconds(86_400 * checked("session.idle.days")))
        return lifetimes
    }

    /// Whether an admin is one only in a session that has shown a second factor.
    var adminsNeedSecondFactor: Bool { text("admin.second.factor") == "true" }
}
