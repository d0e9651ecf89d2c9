import Contract
import DataPlane
import HTTPAPI
import Identity

/// Who else vouches for people, joined: issuers whose tokens count here, and providers where people sign in.
struct IdentityElsewhere: Sendable {
    let tokens: TrustedIssuerAuthenticator
    let routes: [Route]
    private let fetcher: OpenIDFetcher

    /// Throws where the file that `identity.issuers.file` names cannot be read, or could not work.
    init(
        _ settings: Settings, _ basics: IdentityBasics, _ sessions: IdentitySessions, postgres: PostgresAccess, audit: any AuditTrail,
        notice: CommitNotice, observer: any Observer
    ) throws {
        let path = settings.text("identity.issuers.file")
        let file: TrustedIssuerFile
        do throws(TrustedIssuerFile.Flaw) { file = path.isEmpty ? .empty : try TrustedIssuerFile(path: path) } catch {
            throw CommandFailure(description: "identity.issuers.file: \(error)")
        }
        let fetcher = OpenIDFetcher(observer: observer)
        self.fetcher = fetcher
        let links = IdentityLinks(postgres: postgres, notice: notice, observer: observer)
        tokens = TrustedIssuerAuthenticator(issuers: file.issuers, links: links, fetcher: fetcher)
        let tools = OpenIDSignIn.Tools(
            postgres: postgres, links: links, sessions: sessions.sessions, secondFactor: sessions.secondFactor, fetcher: fetcher,
            secret: basics.secret, audit: audit, observer: observer)
        let url = settings.text("api.url")
        routes =
            OpenIDRoutes(
                service: OpenIDSignIn(providers: file.providers, publicURL: url.isEmpty ? settings.text("site.url") : url, tools: tools)
            ).routes
    }

    func shutdown() async { await fetcher.shutdown() }
}
