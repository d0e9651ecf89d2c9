import Contract
import Foundation
import Gateway
import HTTPAPI
import HTTPTypes
import Testing

@Suite struct OpenAPITests {
    private static let file = URL(filePath: #filePath).deletingLastPathComponent().appending(path: "../../openapi.yaml").standardizedFileURL
    private static let methods: Set = ["get", "head", "post", "put", "patch", "delete"]

    /// `GET /api/beats` → `anyone`: every operation under `paths:` with its `x-policy`. Reads no more YAML than the file's indentation.
    private static func documented() throws -> [String: String] {
        var policies: [String: String] = [:]
        var path = ""
        var operation = ""
        let lines = try String(contentsOf: file, encoding: .utf8).split(separator: "\n", omittingEmptySubsequences: false)
        for line in lines.drop(while: { $0 != "paths:" }).dropFirst() {
            if let first = line.first, first != " " { break }
            let key = line.prefix { $0 != ":" }.trimmingPrefix { $0 == " " }
            switch line.prefix(while: { $0 == " " }).count {
            case 2: path = String(key)
            case 4 where methods.contains(String(key)):
                operation = "\(key.uppercased()) \(path)"
                policies[operation] = ""
            case 6 where key == "x-policy":
                policies[operation] = line.drop { $0 != ":" }.dropFirst().trimmingCharacters(in: .whitespaces)
            default: break
            }
        }
        return policies
    }

    private static func routes() throws -> [Route] {
        try GatewayService(settings: Settings(environment: ["KABABEAT_ENVIRONMENT": "development", "KABABEAT_OPENAPI_FILE": file.path]))
            .routes
    }

    /// The edge answers HEAD wherever there is a GET.
    @Test func theDocumentNamesEveryRouteWithItsPolicyAndNoOther() throws {
        var policies: [String: String] = [:]
        for route in try Self.routes() {
            #expect(policies.updateValue(route.policy.name, forKey: route.name) == nil, "\(route.name) stands twice")
            if route.method == .get { policies["HEAD \(route.path)"] = route.policy.name }
        }
        #expect(try Self.documented() == policies)
    }

    /// The operations that have `text` among their `parameters` or `responses`, by name or through an anchor.
    private static func operations(with text: String, in member: String) throws -> Set<String> {
        var found: Set<String> = []
        var anchors: Set<Substring> = []
        var (path, operation, anchor, isInside) = ("", "", Substring(), false)
        for line in try String(contentsOf: file, encoding: .utf8).split(separator: "\n").drop(while: { $0 != "paths:" }).dropFirst() {
            if line.first != " " { break }
            let key = line.prefix { $0 != ":" }.trimmingPrefix { $0 == " " }
            switch line.prefix(while: { $0 == " " }).count {
            case 2: path = String(key)
            case 4: operation = "\(key.uppercased()) \(path)"
            case 6:
                isInside = key == member
                anchor = line.drop { $0 != "&" }.dropFirst()
                if isInside, anchors.contains(line.drop { $0 != "*" }.dropFirst()) { found.insert(operation) }
            default:
                guard isInside, line.contains(text) else { continue }
                found.insert(operation)
                if !anchor.isEmpty { anchors.insert(anchor) }
            }
        }
        return found
    }

    @Test func theDocumentSaysWhichRequestsMayHaveAKeyAndWhatComesOfIt() throws {
        let routes = Set(try Self.routes().filter { $0.idempotency != .ignored }.map(\.name))
        #expect(!routes.isEmpty)
        #expect(try Self.operations(with: "parameters/IdempotencyKey", in: "parameters") == routes)
        #expect(try Self.operations(with: "responses/KeyReused", in: "responses") == routes)
        #expect(routes.subtracting(try Self.operations(with: "responses/Conflict", in: "responses")) == [])
    }

    /// Only what nobody's secret is in may be kept: whoever adds a route that answers one finds it here.
    @Test func noRequestThatIsAnsweredWithASecretMayHaveAKey() throws {
        let paths = try Self.routes().filter { $0.idempotency != .ignored }.map(\.path)
        #expect(paths.filter { $0.hasPrefix("/api/auth/") || $0.contains("key") || $0.contains("factor") } == [])
    }

    @Test func theDocumentListsEveryProblemCodeAndNoOther() throws {
        let text = try String(contentsOf: Self.file, encoding: .utf8)
        let start = try #require(text.range(of: "description: What programs should look at.\n          type: string\n          enum:\n"))
        let codes = text[start.upperBound...].split(separator: "\n").prefix { $0.hasPrefix("            - ") }.map {
            String($0.dropFirst(14))
        }
        #expect(codes == Problem.Code.allCases.map(\.rawValue))
    }
}
