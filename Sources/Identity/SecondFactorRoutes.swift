import Contract
import Credentials
import HTTPAPI
import HTTPTypes
import JSON

/// The second factor of the account that asks.
///
/// | method | path | policy |
/// | --- | --- | --- |
/// | GET | /api/auth/second-factor | signedIn |
/// | POST | /api/auth/second-factor | signedIn |
/// | POST | /api/auth/second-factor/confirm | signedIn |
/// | DELETE | /api/auth/second-factor | signedIn |
public struct SecondFactorRoutes: Sendable {
    private let service: SecondFactorService

    public init(service: SecondFactorService) { self.service = service }

    public var routes: [Route] {
        let path = "/api/auth/second-factor"
        return [
            .get(path, .signedIn) { call throws(Problem) in try await status(&call) },
            .post(path, .signedIn, rate: .signIn, idempotency: .ignored) { call throws(Problem) in try await enrol(&call) },
            .post("\(path)/confirm", .signedIn, rate: .signIn, idempotency: .ignored) { call throws(Problem) in try await confirm(&call) },
            Route(.delete, path, .signedIn, rate: .signIn, body: .json) { call throws(Problem) in try await remove(&call) },
        ]
    }

    private func status(_ call: inout Call) async throws(Problem) -> Reply {
        _ = try call.query(allowed: [])
        let status = try await service.status(of: call.account())
        var json = JSONWriter()
        json.object { json in
            json.key("isEnabled")
            json.bool(status.isEnabled)
            json.key("recoveryCodesLeft")
            json.integer(status.recoveryCodesLeft)
        }
        return .json(json.bytes)
    }

    private func enrol(_ call: inout Call) async throws(Problem) -> Reply {
        _ = try call.query(allowed: [])
        var input = try call.input(allowed: ["password"])
        let password = input.text("password", 1...1024) ?? ""
        try input.check()
        let enrolment = try await service.enrol(call.account(), password: password, caller: call.caller)
        var json = JSONWriter()
        json.object { json in
            json.key("secret")
            json.string(enrolment.secret)
            json.key("uri")
            json.string(enrolment.uri)
        }
        return .json(json.bytes)
    }

    private func confirm(_ call: inout Call) async throws(Problem) -> Reply {
        _ = try call.query(allowed: [])
        var input = try call.input(allowed: ["code"])
        let code = input.requiredText("code", 1...64)
        try input.check()
        let codes = try await service.confirm(call.account(), code: code, caller: call.caller)
        var json = JSONWriter()
        json.object { json in
            json.key("recoveryCodes")
            json.array { json in for code in codes { json.string(code.text) } }
        }
        return .json(json.bytes)
    }

    private func remove(_ call: inout Call) async throws(Problem) -> Reply {
        _ = try call.query(allowed: [])
        var input = try call.input(allowed: ["password", "code"])
        let password = input.text("password", 1...1024) ?? ""
        let code = input.requiredText("code", 1...64)
        try input.check()
        try await service.remove(call.account(), password: password, code: code, caller: call.caller)
        return .done
    }
}
