import Contract
import HTTPAPI
import HTTPTypes

/// Sessions in cookies, for browsers: out of reach of scripts, over TLS alone, for this host alone (RFC 6265bis §4.1.3.2), and not sent
/// along by other sites' forms and scripts.
enum SessionCookies {
    private static let attributes = "Path=/; HttpOnly; Secure; SameSite=Lax"

    /// Fields that set both.
    static func set(_ signedIn: SignedIn) -> [(HTTPField.Name, String)] {
        [
            field(CookieName.access, signedIn.accessToken, seconds: signedIn.lifetime.components.seconds),
            field(CookieName.refresh, signedIn.refreshToken.secret, seconds: signedIn.idleLifetime.components.seconds),
        ]
    }

    /// Fields that take both away.
    static let cleared = [field(CookieName.access, "", seconds: 0), field(CookieName.refresh, "", seconds: 0)]

    private static func field(_ name: String, _ value: String, seconds: Int64) -> (HTTPField.Name, String) {
        (.setCookie, "\(name)=\(value); Max-Age=\(seconds); \(attributes)")
    }
}
