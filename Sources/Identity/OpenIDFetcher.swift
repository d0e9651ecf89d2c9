import AsyncHTTPClient
import Contract
import Foundation
import NIOCore
import NIOHTTP1
import Synchronization

/// The address of an issuer, or of something that it publishes: `https`, or `http` on loopback, where development and tests are.
///
/// Addresses come from configuration, or from the document of an issuer that configuration names, and never from a request.
struct IssuerURL: Sendable, Hashable {
    let text: String
    let isLoopback: Bool

    /// Nil for another scheme, for user names, and for a fragment.
    init?(_ text: String) {
        guard text.utf8.count <= 2048, let parts = URLComponents(string: text), let host = parts.host, !host.isEmpty, parts.user == nil,
            parts.password == nil, parts.fragment == nil
        else { return nil }
        isLoopback = ["127.0.0.1", "[::1]", "::1", "localhost"].contains(host)
        guard parts.scheme == "https" || (parts.scheme == "http" && isLoopback) else { return nil }
        self.text = text
    }

    /// With `parameters` behind the query that the address has already.
    func adding(_ parameters: [(String, String)]) -> String {
        text + (text.contains("?") ? "&" : "?") + FormEncoding.encode(parameters)
    }
}

/// `application/x-www-form-urlencoded`, as queries and token requests have it.
enum FormEncoding {
    // RFC 3986 §2.3; what is left unescaped means the same in every reading of a form.
    private static let unreserved = CharacterSet(charactersIn: "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-._~")

    static func encode(_ text: String) -> String { text.addingPercentEncoding(withAllowedCharacters: unreserved) ?? "" }

    static func encode(_ parameters: [(String, String)]) -> String {
        parameters.map { "\(encode($0))=\(encode($1))" }.joined(separator: "&")
    }
}

/// The gateway's way out to issuers: what they publish, and the exchange of codes. No redirect is followed, no body read past its limit,
/// nothing waited for past the time limit. Connections are made at the first use; whoever made a fetcher shuts it down.
public final class OpenIDFetcher: Sendable {
    /// What a server answered, in whatever status.
    struct Answer: Sendable {
        let status: Int
        let body: [UInt8]
    }

    private struct TooSlow: Error {}

    private enum State {
        case idle
        case open(HTTPClient)
        case closed
    }

    private let state = Mutex(State.idle)
    private let timeLimit: Duration
    private let observer: any Observer

    public init(observer: any Observer, timeLimit: Duration = .seconds(5)) {
        self.observer = observer
        self.timeLimit = timeLimit
    }

    /// Closes the connections to issuers; whatever is asked for afterwards fails. A second call does nothing.
    public func shutdown() async {
        let client: HTTPClient? = state.withLock { state in
            defer { state = .closed }
            if case .open(let client) = state { return client }
            return nil
        }
        do { try await client?.shutdown() } catch { note("shutting down", error) }
    }

    /// What is published at `url`. Throws `storeUnavailable` where that cannot be had, in time and in at most `limit` bytes.
    func document(_ url: IssuerURL, limit: Int, bearer: String? = nil) async throws(Problem) -> [UInt8] {
        var request = HTTPClientRequest(url: url.text)
        request.headers.add(name: "Accept", value: "application/json")
        if let bearer { request.headers.add(name: "Authorization", value: "Bearer \(bearer)") }
        let answer = try await send(request, limit: limit)
        guard answer.status == 200 else {
            observer.observe(.lifecycle("\(url.text) answered \(answer.status) where a document was expected"))
            throw Self.away
        }
        return answer.body
    }

    /// What `url` answers to a form. Throws `storeUnavailable` where it does not answer.
    func submit(
        _ form: [(String, String)], to url: IssuerURL, authorization: String?, limit: Int
    ) async throws(Problem) -> Answer {
        var request = HTTPClientRequest(url: url.text)
        request.method = .POST
        request.headers.add(name: "Accept", value: "application/json")
        request.headers.add(name: "Content-Type", value: "application/x-www-form-urlencoded")
        if let authorization { request.headers.add(name: "Authorization", value: authorization) }
        request.body = .bytes(ByteBuffer(string: FormEncoding.encode(form)))
        return try await send(request, limit: limit)
    }

    static let away = Problem(
        .storeUnavailable, "The issuer that vouches for this sign-in does not answer as it should; try again later.", retryAfter: 5)

    private func send(_ request: HTTPClientRequest, limit: Int) async throws(Problem) -> Answer {
        guard let client = client() else { throw Self.away }
        let timeLimit = timeLimit
        do {
            // The client's own deadline ends with the answer's head, and a body can drip for ever.
            return try await withThrowingTaskGroup(of: Answer.self) { group in
                group.addTask {
                    let response = try await client.execute(request, deadline: .now() + TimeAmount(timeLimit))
                    let body = try await response.body.collect(upTo: limit)
                    return Answer(status: Int(response.status.code), body: [UInt8](body.readableBytesView))
                }
                group.addTask {
                    try await Task.sleep(for: timeLimit)
                    throw TooSlow()
                }
                defer { group.cancelAll() }
                guard let answer = try await group.next() else { throw TooSlow() }
                return answer
            }
        } catch {
            note(request.url, error)
            throw Self.away
        }
    }

    /// The log gets the address without its query, and the kind of failure; nothing of what was sent or answered.
    private func note(_ what: String, _ error: any Error) {
        observer.observe(.lifecycle("\(what.prefix { $0 != "?" }): \(String(describing: error).prefix(200))"))
    }

    /// Nil after the shutdown.
    private func client() -> HTTPClient? {
        state.withLock { state in
            switch state {
            case .open(let client): return client
            case .closed: return nil
            case .idle:
                var configuration = HTTPClient.Configuration(redirectConfiguration: .disallow)
                configuration.timeout.connect = TimeAmount(timeLimit)
                configuration.httpVersion = .http1Only
                // Who is away is away at once, not when the time is over.
                configuration.connectionPool.retryConnectionEstablishment = false
                let client = HTTPClient(eventLoopGroupProvider: .singleton, configuration: configuration)
                state = .open(client)
                return client
            }
        }
    }
}
