import Contract
import HTTPTypes
import NIOCore

extension HTTPEdge {
    /// The response with every field that answers have; no body where it has none.
    func answer(_ exchange: inout Exchange, with reply: Reply) -> (HTTPResponse, ByteBuffer?) {
        let isPublic = reply.cacheControl != .never && exchange.principal == .anonymous
        var fields = HTTPFields()
        fields.reserveCapacity(20)
        addGeneral(to: &fields, id: exchange.id, cacheControl: isPublic ? reply.cacheControl : .never)
        if let etag = reply.etag { fields.append(HTTPField(name: .eTag, value: etag)) }
        if let tier = reply.tier { fields.append(HTTPField(name: .xCache, value: tier.rawValue)) }
        if isPublic {
            fields.append(HTTPField(name: .vary, value: trust.origins.isEmpty ? "Authorization, Cookie" : "Authorization, Cookie, Origin"))
        }
        if !trust.origins.isEmpty { addCrossOrigin(to: &fields, exchange, isVaried: isPublic) }
        if let rate = exchange.rate { rate.add(to: &fields) }
        for (name, value) in reply.extraFields { fields.append(HTTPField(name: name, value: value)) }
        for cookie in reply.cookies { fields.append(HTTPField(name: .setCookie, value: cookie.fieldValue)) }
        if exchange.closes { fields.append(HTTPField(name: .connection, value: "close")) }
        exchange.clock.mark(.respond)
        fields.append(HTTPField(name: .serverTiming, value: exchange.clock.serverTiming))
        if let etag = reply.etag, reply.status == .ok, exchange.method == .get, exchange.fields.hasAlready(etag) {
            return (HTTPResponse(status: .notModified, headerFields: fields), nil)
        }
        guard reply.status != .noContent else { return (HTTPResponse(status: .noContent, headerFields: fields), nil) }
        addContent(to: &fields, reply)
        return (HTTPResponse(status: reply.status, headerFields: fields), exchange.head.method == .head ? nil : reply.body)
    }

    /// What goes out past the handler of a request that has had its time.
    func lateAnswer(to id: RequestID) -> (HTTPResponse, ByteBuffer) {
        let reply = ProblemMapper.reply(Problem(.timeout, "The request was not done in its time.", retryAfter: 1), id: id)
        var fields = HTTPFields()
        addGeneral(to: &fields, id: id, cacheControl: .never)
        for (name, value) in reply.extraFields { fields.append(HTTPField(name: name, value: value)) }
        fields.append(HTTPField(name: .connection, value: "close"))
        addContent(to: &fields, reply)
        return (HTTPResponse(status: reply.status, headerFields: fields), reply.body)
    }

    private func addGeneral(to fields: inout HTTPFields, id: RequestID, cacheControl: Reply.CacheControl) {
        fields.append(HTTPField(name: .date, value: date.now))
        fields.append(HTTPField(name: .requestID, value: id.description))
        fields.append(HTTPField(name: .cacheControl, value: cacheControl.rawValue))
        fields.append(HTTPField(name: .xContentTypeOptions, value: "nosniff"))
        // Nothing here is a page: whatever makes a browser take it for one can load nothing and stand in no frame.
        fields.append(HTTPField(name: .contentSecurityPolicy, value: "default-src 'none'; frame-ancestors 'none'"))
        fields.append(HTTPField(name: .referrerPolicy, value: "no-referrer"))
        if trust.isSecure { fields.append(HTTPField(name: .strictTransportSecurity, value: "max-age=31536000")) }
    }

    private func addContent(to fields: inout HTTPFields, _ reply: Reply) {
        fields.append(HTTPField(name: .contentType, value: reply.contentType))
        fields.append(HTTPField(name: .contentLength, value: String(reply.body.readableBytes)))
    }

    // MARK: Other sites' pages (https://fetch.spec.whatwg.org/#http-cors-protocol)

    private static let exposed =
        "ETag, Idempotency-Replayed, Location, RateLimit, RateLimit-Policy, Retry-After, Server-Timing, X-Cache, X-Request-Id"
    private static let requestFields =
        "Authorization, Cache-Control, Content-Type, Idempotency-Key, If-Match, If-None-Match, If-Version-At-Least"

    private func addCrossOrigin(to fields: inout HTTPFields, _ exchange: Exchange, isVaried: Bool) {
        if !isVaried { fields.append(HTTPField(name: .vary, value: "Origin")) }
        guard let origin = exchange.fields.origin, trust.isKnown(origin: origin) else { return }
        fields.append(HTTPField(name: .accessControlAllowOrigin, value: origin))
        fields.append(HTTPField(name: .accessControlAllowCredentials, value: "true"))
        fields.append(HTTPField(name: .accessControlExposeHeaders, value: Self.exposed))
    }

    /// The answer to a browser that asks what a page of a known site may send; nil for any other request. `methods` are those that the path
    /// has, none where there is no such path.
    func preflight(_ exchange: Exchange, methods: @autoclosure () -> String) -> Reply? {
        guard exchange.method == .options, exchange.fields.requestedMethod != nil, trust.isKnown(origin: exchange.fields.origin),
            !exchange.fields.hasBody
        else { return nil }
        let methods = methods()
        guard !methods.isEmpty else { return nil }
        var reply = Reply.done
        reply.extraFields = [
            (.accessControlAllowMethods, methods), (.accessControlAllowHeaders, Self.requestFields), (.accessControlMaxAge, "600"),
        ]
        return reply
    }
}

extension RateState {
    /// `RateLimit-Policy: "all";q=600;w=60` and `RateLimit: "all";r=599;t=1`
    /// (https://datatracker.ietf.org/doc/draft-ietf-httpapi-ratelimit-headers/10/).
    fileprivate func add(to fields: inout HTTPFields) {
        fields.append(HTTPField(name: .rateLimitPolicy, value: Self.item("q", limit, "w", windowSeconds)))
        fields.append(HTTPField(name: .rateLimit, value: Self.item("r", remaining, "t", resetSeconds)))
    }

    /// Every counted answer has two of these, so they are written digit by digit.
    private static func item(_ first: Unicode.Scalar, _ amount: Int, _ second: Unicode.Scalar, _ seconds: Int) -> String {
        String(unsafeUninitializedCapacity: 64) { buffer in
            var length = 0
            func put(_ byte: UInt8) {
                buffer[length] = byte
                length += 1
            }
            func put(_ name: Unicode.Scalar, _ value: Int) {
                put(UInt8(ascii: ";"))
                put(UInt8(ascii: name))
                put(UInt8(ascii: "="))
                let value = max(0, value)
                var divisor = 1
                while divisor <= value / 10 { divisor *= 10 }
                while divisor >= 1 {
                    put(UInt8(ascii: "0") + UInt8(value / divisor % 10))
                    divisor /= 10
                }
            }
            for byte in #""all""#.utf8 { put(byte) }
            put(first, amount)
            put(second, seconds)
            return length
        }
    }
}
