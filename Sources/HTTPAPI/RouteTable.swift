import Contract
import HTTPTypes

/// Every route of the API, found by path and method. A literal part wins over a parameter: `/beats/featured` over `/beats/{id}`.
public struct RouteTable: Sendable {
    public let routes: [Route]
    private var nodes = [Node()]
    /// The parameters of each route: which part of its path each one is.
    private let parameters: [[(part: Int, name: Substring)]]

    private struct Node {
        var literals: [Substring: Int] = [:]
        var parameter: Int?
        var methods: [(method: HTTPRequest.Method, index: Int)] = []
    }

    struct Match {
        let index: Int
        let parameters: [Substring: String]
    }

    public init(_ routes: [Route]) {
        self.routes = routes
        parameters = routes.map { route in
            Self.parts(route.path[...]).enumerated().filter { $0.element.hasPrefix("{") }.map {
                ($0.offset, $0.element.dropFirst().dropLast())
            }
        }
        for (index, route) in routes.enumerated() {
            var node = 0
            for part in Self.parts(route.path[...]) { node = child(of: node, part) }
            nodes[node].methods.append((route.method, index))
        }
    }

    private mutating func child(of node: Int, _ part: Substring) -> Int {
        let isParameter = part.hasPrefix("{")
        if let known = isParameter ? nodes[node].parameter : nodes[node].literals[part] { return known }
        nodes.append(Node())
        if isParameter { nodes[node].parameter = nodes.count - 1 } else { nodes[node].literals[part] = nodes.count - 1 }
        return nodes.count - 1
    }

    /// Throws `notFound` where no route has the path, `methodNotAllowed` where none has the method.
    func match(_ method: HTTPRequest.Method, _ path: Substring) throws(Problem) -> Match {
        let parts = Self.parts(path)
        guard let node = find(parts, from: 0) else { throw .notFound("resource") }
        guard let index = nodes[node].methods.first(where: { $0.method == method })?.index else {
            throw Problem(.methodNotAllowed, "This resource does not know that method; the Allow field lists those it knows.")
        }
        var parameters: [Substring: String] = [:]
        for (part, name) in self.parameters[index] {
            guard let value = PercentEncoding.decode(parts[part], plusIsSpace: false) else { throw .notFound("resource") }
            parameters[name] = value
        }
        return Match(index: index, parameters: parameters)
    }

    /// The methods that a path has, as the Allow field lists them.
    func allowed(at path: Substring) -> String {
        guard let node = find(Self.parts(path), from: 0) else { return "" }
        let methods = nodes[node].methods.map(\.method.rawValue)
        return (methods.contains("GET") ? methods + ["HEAD"] : methods).joined(separator: ", ")
    }

    /// What stands between the slashes, empty parts too: `/api//beats` and `/api/beats/` are no other names of `/api/beats`.
    private static func parts(_ path: Substring) -> [Substring] {
        var parts: [Substring] = []
        parts.reserveCapacity(8)
        var rest = path.utf8.dropFirst()
        while let slash = rest.firstIndex(of: UInt8(ascii: "/")) {
            parts.append(Substring(rest[..<slash]))
            rest = rest[rest.index(after: slash)...]
        }
        parts.append(Substring(rest))
        return parts
    }

    private func find(_ parts: [Substring], from node: Int) -> Int? { find(parts[...], from: node) }

    private func find(_ parts: ArraySlice<Substring>, from node: Int) -> Int? {
        guard let part = parts.first else { return nodes[node].methods.isEmpty ? nil : node }
        if let literal = nodes[node].literals[part], let found = find(parts.dropFirst(), from: literal) { return found }
        guard !part.isEmpty else { return nil }
        return nodes[node].parameter.flatMap { find(parts.dropFirst(), from: $0) }
    }
}
