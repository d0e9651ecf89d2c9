import Contract
import HTTPTypes
import NIOCore
import NIOHTTPTypes

extension HTTPEdge {
    /// The whole body of a request that has one. Throws `unsupportedMediaType`, `bodyTooLarge`, and `invalidBody` where it is cut off.
    func readBody(
        _ fields: RequestFields, limit: Int, _ parts: inout RequestParts, _ writer: Writer
    ) async throws(Problem) -> ByteBuffer {
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
