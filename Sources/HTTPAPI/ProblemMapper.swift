import Contract
import HTTPTypes
import JSON
import NIOCore

/// The one place that knows which HTTP status each problem has, and how a problem looks (RFC 9457).
public enum ProblemMapper {
    public static let contentType = "application/problem+json"

    /// The status that `docs/errors.md` has for the code.
    public static func status(_ code: Problem.Code) -> HTTPResponse.Status {
        switch code {
        case .invalidRequest, .unknownParameter, .invalidCursor, .invalidHost, .bodyNotAllowed, .invalidBody: .badRequest
        case .unauthenticated, .secondFactorNeeded: .unauthorized
        case .forbidden, .accountSuspended, .crossSite: .forbidden
        case .conflict, .idempotencyKeyInUse: .conflict
        case .versionConflict: .preconditionFailed
        case .bodyTooLarge: .contentTooLarge
        case .unsupportedMediaType: .unsupportedMediaType
        case .unsupportedTransferCoding: .notImplemented
        case .idempotencyKeyReused: .unprocessableContent
        case .rateLimited: .tooManyRequests
        case .notFound: .notFound
        case .methodNotAllowed: .methodNotAllowed
        case .uriTooLong: .uriTooLong
        case .internal: .internalServerError
        case .overloaded, .storeUnavailable, .timeout: .serviceUnavailable
        }
    }

    /// The code in words, always the same (RFC 9457 §3.1.3).
    public static func title(_ code: Problem.Code) -> StaticString {
        switch code {
        case .invalidRequest: "Invalid request"
        case .unknownParameter: "Unknown parameter"
        case .invalidCursor: "Invalid cursor"
        case .invalidHost: "Invalid Host"
        case .bodyNotAllowed: "Body not allowed"
        case .invalidBody: "Invalid body"
        case .unauthenticated: "Not signed in"
        case .secondFactorNeeded: "Second factor needed"
        case .forbidden: "Forbidden"
        case .accountSuspended: "Account suspended"
        case .crossSite: "Cross-site request"
        case .conflict: "Conflict"
        case .idempotencyKeyInUse: "Idempotency key in use"
        case .versionConflict: "Version conflict"
        case .bodyTooLarge: "Body too large"
        case .unsupportedMediaType: "Unsupported media type"
        case .unsupportedTransferCoding: "Unsupported transfer coding"
        case .idempotencyKeyReused: "Idempotency key reused"
        case .rateLimited: "Rate limited"
        case .notFound: "Not found"
        case .methodNotAllowed: "Method not allowed"
        case .uriTooLong: "URI too long"
        case .internal: "Internal error"
        case .overloaded: "Overloaded"
        case .storeUnavailable: "Store unavailable"
        case .timeout: "Timed out"
        }
    }

    static func reply(_ problem: Problem, id: RequestID) -> Reply {
        var json = JSONWriter(capacity: 512)
        json.object { json in
            json.key("type")
            json.string("/problems/\(problem.code.rawValue)")
            json.key("title")
            json.string(String(describing: title(problem.code)))
            json.key("status")
            json.integer(status(problem.code).code)
            json.key("code")
            json.string(problem.code.rawValue)
            json.key("detail")
            json.string(problem.detail)
            json.key("requestId")
            json.string(id.description)
            if !problem.fields.isEmpty {
                json.key("errors")
                json.array { json in
                    for field in problem.fields {
                        json.object { json in
                            json.key("field")
                            json.string(field.name)
                            json.key("detail")
                            json.string(field.detail)
                        }
                    }
                }
            }
            if !problem.missing.isEmpty {
                json.key("sources")
                json.object { json in
                    for store in problem.missing {
                        json.key(store.rawValue)
                        json.string("missing")
                    }
                }
            }
        }
        var fields: [(HTTPField.Name, String)] = []
        if let seconds = problem.retryAfter { fields.append((.retryAfter, String(seconds))) }
        return Reply(status: status(problem.code), contentType: contentType, body: ByteBuffer(bytes: json.bytes), extraFields: fields)
    }
}
