import Contract
import Crypto
import HTTPTypes
import NIOCore

extension HTTPEdge {
    /// Has a route's handler answer: once for all requests of one `Idempotency-Key`.
    ///
    /// What is kept is the answer to what was done. A request that is refused leaves nothing behind, so that it can be put right and sent
    /// with its key again, unless it was carried out all the same; one that fails keeps its claim, so that sending it again finishes what
    /// was begun.
    func carryOut(_ route: Route, _ call: inout Call) async throws(Problem) -> Reply {
        guard let keys, route.idempotency != .ignored, let key = try key(route, call) else { return try await route.handler(&call) }
        // The handler has been cancelled for this long when another may begin.
        let lease = limits.total + Self.grace
        switch try await keys.claim(key, for: call.principal, fingerprint: call.fingerprint(of: route), lease: lease) {
        case .answered(let answer): return Reply(replaying: answer)
        case .carryOut(let claim): return try await carryOut(route, &call, claim, keys)
        }
    }

    /// What statements under way may take beyond the time of their request.
    private static let grace = Duration.seconds(10)

    /// Nil where the request has none and need not have one.
    private func key(_ route: Route, _ call: Call) throws(Problem) -> IdempotencyKey? {
        guard let field = call.field(.idempotencyKey) else {
            guard route.idempotency == .required else { return nil }
            throw .invalid([.init("Idempotency-Key", "is missing")])
        }
        guard let key = IdempotencyKey(field: field) else {
            throw .invalid([
                .init("Idempotency-Key", "must be one key of 1 to \(IdempotencyKey.longest) visible characters, with or without quotes")
            ])
        }
        return call.principal.owner == nil ? nil : key
    }

    private func carryOut(
        _ route: Route, _ call: inout Call, _ claim: IdempotencyClaim, _ keys: any IdempotencyKeys
    ) async throws(Problem) -> Reply {
        call.claim = claim
        do throws(Problem) {
            let reply = try await route.handler(&call)
            await settle(claim, reply.kept.map { .answered($0) } ?? .open, keys, call.id)
            return reply
        } catch {
            let isRefusal = ProblemMapper.status(error.code).kind == .clientError
            let answer = isRefusal ? ProblemMapper.reply(error, id: call.id).kept : nil
            await settle(claim, answer.map { .refused($0) } ?? .open, keys, call.id)
            throw error
        }
    }

    /// In a task of its own: a request that has been cancelled is settled like any other. Where it cannot be, the claim runs out, and
    /// sending the request again resumes it.
    private func settle(_ claim: IdempotencyClaim, _ outcome: IdempotencyOutcome, _ keys: any IdempotencyKeys, _ id: RequestID) async {
        await Task {
            do throws(Problem) { try await keys.settle(claim, outcome) } catch {
                observer.observe(.unexpectedError(id: id, detail: "an Idempotency-Key's claim was left to run out: \(error.detail)"))
            }
        }.value
    }
}

extension Call {
    /// SHA-256 of the method and the path with its query, each led by its length, and of the body.
    fileprivate func fingerprint(of route: Route) -> [UInt8] {
        var hash = SHA256()
        for part in [route.method.rawValue, target] {
            withUnsafeBytes(of: UInt64(part.utf8.count).littleEndian) { hash.update(bufferPointer: $0) }
            hash.update(data: Array(part.utf8))
        }
        rawBody.withUnsafeReadableBytes { hash.update(bufferPointer: $0) }
        return Array(hash.finalize())
    }
}

extension Reply {
    /// The answer as it can be sent again; nil where it may not be kept.
    fileprivate var kept: KeptAnswer? {
        guard cookies.isEmpty, body.readableBytes <= KeptAnswer.mostBytes else { return nil }
        var fields = extraFields.map { KeptAnswer.Field($0.0.rawName, $0.1) }
        fields.append(.init(HTTPField.Name.contentType.rawName, contentType))
        if let etag { fields.append(.init(HTTPField.Name.eTag.rawName, etag)) }
        return KeptAnswer(status: status.code, fields: fields, body: Array(body.readableBytesView))
    }

    fileprivate init(replaying answer: KeptAnswer) {
        self.init(status: .init(code: answer.status), body: ByteBuffer(bytes: answer.body))
        for field in answer.fields {
            guard let name = HTTPField.Name(field.name) else { continue }
            switch name {
            case .contentType: contentType = field.value
            case .eTag: etag = field.value
            default: extraFields.append((name, field.value))
            }
        }
        extraFields.append((.idempotencyReplayed, "true"))
    }
}
