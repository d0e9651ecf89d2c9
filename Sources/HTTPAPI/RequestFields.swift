import Contract
import HTTPTypes

/// What the edge itself reads of a request's header, found in one pass over it. A field that may stand once and stands twice has both
/// values, joined with a comma, which is none that is allowed.
struct RequestFields {
    var hasHost = false
    var contentLength: String?
    var contentType: String?
    var contentEncoding: String?
    var transferEncoding: String?
    var expect: String?
    var connection: String?
    var cacheControl: String?
    var ifNoneMatch: String?
    var authorization: String?
    var cookie: String?
    var origin: String?
    var fetchSite: String?
    var forwardedFor: String?
    var requestedMethod: String?
    var namesVersion = false
    /// Whether it offers to go on in another protocol (RFC 9110 §7.8).
    var offersUpgrade = false

    init(_ fields: HTTPFields) {
        for field in fields {
            switch field.name.canonicalName {
            case "host": hasHost = true
            case "content-length": Self.add(field, to: &contentLength)
            case "content-type": Self.add(field, to: &contentType)
            case "content-encoding": Self.add(field, to: &contentEncoding)
            case "transfer-encoding": Self.add(field, to: &transferEncoding)
            case "expect": Self.add(field, to: &expect)
            case "connection": Self.add(field, to: &connection)
            case "cache-control": Self.add(field, to: &cacheControl)
            case "if-none-match": Self.add(field, to: &ifNoneMatch)
            case "authorization": Self.add(field, to: &authorization)
            case "cookie": Self.add(field, to: &cookie, separator: "; ")
            case "origin": Self.add(field, to: &origin)
            case "sec-fetch-site": Self.add(field, to: &fetchSite)
            case "x-forwarded-for": Self.add(field, to: &forwardedFor)
            case "if-version-at-least": namesVersion = true
            case "upgrade": offersUpgrade = true
            case "access-control-request-method": Self.add(field, to: &requestedMethod)
            default: break
            }
        }
    }

    private static func add(_ field: HTTPField, to value: inout String?, separator: String = ", ") {
        value = value.map { $0 + separator + field.value } ?? field.value
    }

    var hasBody: Bool { transferEncoding != nil || contentLength.map { $0 != "0" } ?? false }

    /// `Cache-Control` is a list of directives in any case, some of them with an argument (RFC 9111 §5.2).
    var bypassesCache: Bool {
        guard let cacheControl else { return false }
        return cacheControl.split(separator: ",").contains { directive in
            let name = String(directive.prefix { $0 != "=" }).trimmed.lowercased()
            return name == "no-cache" || name == "no-store"
        }
    }

    /// What a request to a route of this class counts as: a read that goes past the caches, or may, costs as much as a search.
    func rate(of route: RateClass) -> RateClass { route == .read && (bypassesCache || namesVersion) ? .search : route }

    /// `Connection` is a list of tokens in any case (RFC 9110 §7.6.1).
    var asksToClose: Bool {
        connection.map { $0.split { $0 == "," || $0 == " " }.contains { $0.lowercased() == "close" } } ?? false
    }

    /// If-None-Match compares weakly (RFC 9110 §13.1.2).
    func hasAlready(_ etag: String) -> Bool {
        guard let ifNoneMatch else { return false }
        if ifNoneMatch == etag || ifNoneMatch == "*" { return true }
        return ifNoneMatch.split(separator: ",").contains { tag in
            let tag = tag.drop { $0 == " " }
            return (tag.hasPrefix("W/") ? tag.dropFirst(2) : tag).prefix { $0 != " " } == etag
        }
    }
}
