import Contract
import HTTPTypes
import NIOCore
import NIOHTTPTypes

extension HTTPEdge {
    /// The whole body of a request that has one. Throws `unsupportedTransferCoding`, `unsupportedMediaType`, `bodyTooLarge`, and
    /// `invalidBody` where it is cut off.
    func readBody(
        _ fields: RequestFields, limit: Int, _ parts: inout RequestParts, _ writer: Writer
    ) async throws(Problem) -> ByteBuffer {
        // RFC 9112 §6.1. The decoder below undoes `chunked`, and would pass on what another coding has made as if it were the body.
        guard fields.transferEncoding.map({ $0.lowercased() == "chunked" }) ?? true else {
            throw Problem(.unsupportedTransferCoding, "A body comes as it is, or in the transfer coding chunked alone.")
        }
        guard !Self.isEncoded(fields) else {
            throw Problem(.unsupportedMediaType, "The body must come as it is: no Content-Encoding is undone.")
        }
        guard Self.isJSON(fields.contentType) else {
            throw Problem(.unsupportedMediaType, "The body must be application/json in UTF-8, and Content-Type must say so.")
        }
        let announced = fields.contentLength.flatMap { Int($0) }
        guard announced ?? 0 <= limit else { throw Self.tooLarge(limit) }
        do {
            if fields.expect?.lowercased() == "100-continue" {
                try await writer.write(.head(HTTPResponse(status: .continue)))
            }
            var body = ByteBuffer()
            while var bytes = try await parts.nextBytes() {
                guard body.readableBytes + bytes.readableBytes <= limit else { throw Self.tooLarge(limit) }
                if body.readableBytes == 0 { body = bytes } else { body.writeBuffer(&bytes) }
            }
            return body
        } catch let problem as Problem {
            throw problem
        } catch {
            throw Problem(.invalidBody, "The body is cut off.")
        }
    }

    /// Whether a body is compressed, or otherwise not what `Content-Type` says before that is undone (RFC 9110 §8.4).
    static func isEncoded(_ fields: RequestFields) -> Bool {
        fields.contentEncoding.map { !["", "identity"].contains($0.trimmed.lowercased()) } ?? false
    }

    private static func tooLarge(_ limit: Int) -> Problem {
        Problem(.bodyTooLarge, "The body takes more than \(limit) bytes.")
    }

    /// `application/json`, which is UTF-8 whether it says so or not (RFC 8259 §8.1).
    static func isJSON(_ contentType: String?) -> Bool {
        guard let contentType else { return false }
        let parts = contentType.lowercased().split(separator: ";", omittingEmptySubsequences: false).map { part in
            part.filter { $0 != " " && $0 != "\"" }
        }
        return parts[0] == "application/json" && parts.dropFirst().allSatisfy { $0 == "charset=utf-8" }
    }
}
