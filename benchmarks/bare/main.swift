// The ceiling: a Hummingbird route that answers the same bytes and fields to every request, and does nothing else.
//   benchbare PORT FILE ["Name: value" ...]

import Foundation
import HTTPTypes
import Hummingbird
import Logging
import NIOCore

struct Usage: Error, CustomStringConvertible {
    let description = "usage: benchbare PORT FILE [\"Name: value\" ...]"
}

let arguments = CommandLine.arguments.dropFirst()
guard arguments.count >= 2, let port = arguments.first.flatMap({ Int($0) }) else { throw Usage() }
let body = ByteBuffer(bytes: try Data(contentsOf: URL(fileURLWithPath: arguments[2])))
var headers = HTTPFields()
for argument in arguments.dropFirst(2) {
    let parts = argument.split(separator: ":", maxSplits: 1)
    guard parts.count == 2, let name = HTTPField.Name(String(parts[0])) else { throw Usage() }
    headers[name] = String(parts[1].drop { $0 == " " })
}

let answer = headers
let router = Router()
router.get("/api/beats/{id}") { _, _ in
    Response(status: .ok, headers: answer, body: ResponseBody(byteBuffer: body))
}
var logger = Logger(label: "benchbare")
logger.logLevel = .warning
let application = Application(router: router, configuration: .init(address: .hostname("127.0.0.1", port: port)), logger: logger)
try await application.runService()
