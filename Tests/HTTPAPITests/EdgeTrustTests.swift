import Contract
import HTTPTypes
import Testing

@testable import HTTPAPI

@Suite struct EdgeTrustTests {
    private static func address(_ text: String) throws -> ClientAddress { try #require(ClientAddress(text)) }

    private static func trust(proxies: [String] = [], hosts: [String] = [], origins: [String] = []) throws -> EdgeTrust {
        var trust = EdgeTrust()
        trust.proxies = try proxies.map { try #require(AddressBlock($0)) }
        trust.hosts = hosts
        trust.origins = origins
        return trust
    }

    // MARK: Client addresses

    @Test(
        arguments: [
            (nil, "10.0.0.1"), ("192.0.2.7", "192.0.2.7"), ("192.0.2.7, 10.1.1.1", "192.0.2.7"), ("6.6.6.6, 192.0.2.7", "192.0.2.7"),
            ("6.6.6.6, 192.0.2.7, 10.0.0.2,10.0.0.3", "192.0.2.7"), ("10.0.0.9, 10.0.0.8", "10.0.0.9"), ("192.0.2.7:4711", "192.0.2.7"),
            ("2001:db8::1", "2001:db8::1"), ("[2001:db8::1]:4711", "2001:db8::1"), ("::ffff:192.0.2.7", "192.0.2.7"),
            ("6.6.6.6, unknown", "10.0.0.1"), ("6.6.6.6, , 10.0.0.2", "10.0.0.2"), ("", "10.0.0.1"), ("6.6.6.6 192.0.2.7", "10.0.0.1"),
        ] as [(String?, String)])
    func aForwardedAddressIsBelievedAsFarAsProxiesWroteIt(_ forwarded: String?, _ client: String) throws {
        let trust = try Self.trust(proxies: ["10.0.0.0/8"])
        #expect(trust.client(of: try Self.address("10.0.0.1"), forwarded: forwarded) == (try Self.address(client)))
    }

    @Test func nobodyElseIsBelieved() throws {
        let stranger = try Self.address("192.0.2.1")
        #expect(try Self.trust().client(of: stranger, forwarded: "10.0.0.1") == stranger)
        #expect(try Self.trust(proxies: ["10.0.0.0/8"]).client(of: stranger, forwarded: "10.0.0.1") == stranger)
    }

    // MARK: Hosts

    @Test(arguments: [
        ("example.com", true), ("EXAMPLE.com", true), ("example.com:80", true), ("api.example.com:8443", true), ("api.example.com", false),
        ("evil.example.com", false), ("[::1]:8080", true), ("[::1]", true), ("[::2]", false),
    ])
    func onlyListedHostsAreKnown(_ host: String, _ isKnown: Bool) throws {
        #expect(try Self.trust(hosts: ["example.com", "api.example.com:8443", "[::1]"]).isKnown(host: host) == isKnown)
        #expect(try Self.trust().isKnown(host: host))
    }

    // MARK: Sites

    private static func isSameSite(_ fields: [(HTTPField.Name, String)]) throws -> Bool {
        var header = HTTPFields()
        for (name, value) in fields { header.append(HTTPField(name: name, value: value)) }
        return try trust(origins: ["https://app.example.com"]).isSameSite(RequestFields(header), host: "example.com:8080")
    }

    @Test func browsersSayWhichSiteARequestComesFrom() throws {
        let site = try #require(HTTPField.Name("Sec-Fetch-Site"))
        for (value, isSame) in [("same-origin", true), ("none", true), ("same-site", false), ("cross-site", false), ("", false)] {
            #expect(try Self.isSameSite([(site, value), (.cookie, "a=b")]) == isSame)
            #expect(try Self.isSameSite([(site, value), (.cookie, "a=b"), (.origin, "https://evil.example")]) == isSame)
        }
        #expect(try Self.isSameSite([(site, "cross-site"), (.origin, "https://app.example.com"), (.cookie, "a=b")]))
        #expect(try !Self.isSameSite([(site, "same-origin"), (site, "cross-site"), (.cookie, "a=b")]))
    }

    @Test func olderBrowsersSayItByTheirOrigin() throws {
        for (origin, isSame) in [
            ("https://example.com:8080", true), ("http://EXAMPLE.com:8080", true), ("https://app.example.com", true),
            ("https://example.com", false), ("https://evil.example", false), ("null", false), ("example.com:8080", false),
        ] {
            #expect(try Self.isSameSite([(.origin, origin), (.cookie, "a=b")]) == isSame, "\(origin)")
        }
    }

    @Test func whoSaysNeitherIsNoBrowserAndMayBringNoCookie() throws {
        #expect(try Self.isSameSite([]))
        #expect(try !Self.isSameSite([(.cookie, "a=b")]))
    }

    // MARK: Credentials

    private static func credential(_ fields: [(HTTPField.Name, String)]) -> String {
        var header = HTTPFields()
        for (name, value) in fields { header.append(HTTPField(name: name, value: value)) }
        do throws(Problem) {
            guard let credential = try PresentedCredential.read(RequestFields(header)) else { return "none" }
            return "\(credential.transport.rawValue) \(credential.secret)"
        } catch {
            return error.code.rawValue
        }
    }

    @Test(arguments: [
        ("Bearer abc", "bearer abc"), ("bearer abc", "bearer abc"), ("BEARER  a.b-c_d~e+f/g==", "bearer a.b-c_d~e+f/g=="),
        ("Bearer", "unauthenticated"), ("Bearer ", "unauthenticated"), ("Bearer a b", "unauthenticated"), ("Bearer a,b", "unauthenticated"),
        ("Bearer a=b", "unauthenticated"), ("Bearer =", "unauthenticated"), ("Basic YTpi", "unauthenticated"), ("", "unauthenticated"),
        ("abc", "unauthenticated"), ("Bearer é", "unauthenticated"),
        ("Bearer " + String(repeating: "a", count: 8193), "unauthenticated"),
    ])
    func aBearerTokenIsOneToken(_ field: String, _ found: String) {
        #expect(Self.credential([(.authorization, field)]) == found)
    }

    @Test(arguments: [
        ("__Host-kababeat_access=abc", "cookie abc"), ("a=b; __Host-kababeat_access=abc; c=d", "cookie abc"),
        ("a=b;__Host-kababeat_access=abc", "cookie abc"),
        ("a=b", "none"), ("x__Host-kababeat_access=abc", "none"), ("__host-kababeat_access=abc", "none"),
        ("__Host-kababeat_access", "none"),
        ("__Host-kababeat_access2=abc", "none"), ("a=__Host-kababeat_access=abc", "none"), ("__Host-kababeat_access=", "unauthenticated"),
        ("__Host-kababeat_access=a; __Host-kababeat_access=a", "unauthenticated"), ("__Host-kababeat_access=\"a\"", "unauthenticated"),
        ("__Host-kababeat_access=a b", "unauthenticated"),
    ])
    func theSessionCookieIsOneValue(_ field: String, _ found: String) {
        #expect(Self.credential([(.cookie, field)]) == found)
    }

    @Test func aBearerTokenCountsBeforeACookie() {
        #expect(Self.credential([(.cookie, "__Host-kababeat_access=abc"), (.authorization, "Bearer x")]) == "bearer x")
        #expect(Self.credential([(.cookie, "__Host-kababeat_access=abc"), (.authorization, "Basic x")]) == "unauthenticated")
        #expect(Self.credential([(.authorization, "Bearer x"), (.authorization, "Bearer x")]) == "unauthenticated")
    }

    @Test func aCookieIsSetForTheSiteAlone() {
        #expect(
            SetCookie(SessionCookie.access, "abc", lifetime: .seconds(600)).fieldValue
                == "__Host-kababeat_access=abc; Path=/; Max-Age=600; Secure; HttpOnly; SameSite=Lax")
        #expect(SetCookie.removing("a").fieldValue == "a=; Path=/; Max-Age=0; Secure; HttpOnly; SameSite=Lax")
    }

    @Test(
        arguments: [
            ("application/json", true), ("Application/JSON; charset=UTF-8", true), ("application/json;charset=\"utf-8\"", true),
            (nil, false),
            ("", false), ("text/plain", false), ("application/json; charset=latin1", false), ("application/jsonx", false),
            ("application/json, application/json", false), ("application/json; boundary=x", false),
            ("application/x-www-form-urlencoded", false),
        ] as [(String?, Bool)])
    func aBodySaysThatItIsJSON(_ contentType: String?, _ isJSON: Bool) {
        #expect(HTTPEdge.isJSON(contentType) == isJSON)
    }
}
