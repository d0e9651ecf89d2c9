import Contract
import HTTPTypes
import NIOCore
import Testing

@testable import HTTPAPI

@Suite struct RouteTableTests {
    private static let paths = ["/api/beats", "/api/beats/featured", "/api/beats/{id}", "/api/users/{user}/beats"]
    private let table = RouteTable(
        Self.paths.map { .get($0, .anyone) { _ throws(Problem) in Reply(body: ByteBuffer()) } })

    private func found(_ path: Substring, _ method: HTTPRequest.Method = .get) throws(Problem) -> (String, [Substring: String]) {
        let match = try table.match(method, path)
        return (table.routes[match.index].path, match.parameters)
    }

    @Test func aLiteralPartWinsOverAParameter() throws {
        #expect(try found("/api/beats/featured") == ("/api/beats/featured", [:]))
        #expect(try found("/api/beats/featured2") == ("/api/beats/{id}", ["id": "featured2"]))
    }

    @Test func aParameterIsDecodedAfterThePathIsCut() throws {
        #expect(try found("/api/users/a%2Fb%20+/beats") == ("/api/users/{user}/beats", ["user": "a/b +"]))
    }

    @Test(
        arguments: [
            "/", "//", "/api", "/api/", "/api/beats/", "//api/beats", "/api//beats", "/api/beats//", "/api/users//beats", "/api/./beats",
            "/api/x/../beats", "/API/beats", "/api/beats/%zz", "/api/beats/%", "/api/beats/%00", "/api/beats/%ff", "/api/beats/%c0%af",
        ] as [Substring])
    func noOtherSpellingNamesAResource(_ path: Substring) {
        let problem = #expect(throws: Problem.self) { _ = try found(path) }
        #expect(problem?.code == .notFound)
    }

    @Test func aKnownPathSaysWhichMethodsItHas() {
        let problem = #expect(throws: Problem.self) { _ = try found("/api/beats", .post) }
        #expect(problem?.code == .methodNotAllowed)
        #expect(table.allowed(at: "/api/beats") == "GET, HEAD")
    }
}
