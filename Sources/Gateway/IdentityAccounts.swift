import Contract
import Credentials
import DataPlane
import HTTPAPI
import Identity
import Mail

/// What makes, changes and administers accounts, joined.
struct IdentityAccounts: Sendable {
    let routes: [Route]

    init(
        _ settings: Settings, _ basics: IdentityBasics, sessions: IdentitySessions, mails: MailQueue, postgres: PostgresAccess,
        limiter: any RateLimiter, audit: any AuditTrail, notice: CommitNotice
    ) {
        let tools = AccountService.Tools(
            postgres: postgres, sessions: sessions.sessions, hasher: basics.hasher, rules: basics.passwords, mails: mails, limiter: limiter,
            audit: audit, notice: notice)
        let profiles = AccountProfileService(
            postgres: postgres, secondFactor: sessions.secondFactor, notice: notice)
        let accounts = AccountRoutes(
            service: AccountService(tools, admitsUnverified: settings.isDevelopment), profiles: profiles)
        let admin = AccountAdminRoutes(service: AccountAdminService(postgres: postgres, notice: notice))
        routes = accounts.routes + admin.routes
    }
}
