import Contract
import DataPlane
import PostgresClient
import TestSupport
import Testing

/// Random histories of keys over the real database, against a model of a few lines.
@Suite("Keys against a model", .timeLimit(.minutes(5)))
struct IdempotencyHistoryTests {
    /// What a key is, in words of memory.
    private enum Standing: Equatable {
        case running(fingerprint: UInt8, token: EntityID, effect: EntityID, isLeased: Bool, isCarriedOut: Bool)
        case done(fingerprint: UInt8, answer: KeptAnswer)
    }

    private struct Name: Hashable {
        let principal: Principal
        let key: IdempotencyKey
    }

    private static let principals: [Principal] =
        (0..<2).map { _ in
            .account(Account(id: .now, sessionID: nil, roles: .user, isVerified: true, hasSecondFactor: false))
        } + [.service(ServiceAccess(keyID: .now, scopes: []))]

    @Test("Whatever is claimed, settled, late, run out or expired, in any order: a key does what the model does")
    func histories() async throws {
        var random = SeededGenerator()
        let keys = ["a", "b", "c"].compactMap { IdempotencyKey(field: $0) }
        try await Stack.use { stack in
            let store = IdempotencyStore(postgres: PostgresAccess(stack.postgres, observer: stack.recorder))
            var model: [Name: Standing] = [:]
            var claims: [IdempotencyClaim] = []
            for step in 0..<1500 {
                let name = Name(principal: random.element(of: Self.principals), key: random.element(of: keys))
                let comment = Comment(rawValue: "\(random), step \(step)")
                switch Int.random(in: 0..<12, using: &random) {
                case 0..<5:
                    let fingerprint = UInt8.random(in: 0...1, using: &random)
                    let outcome = await Self.claim(store, name, fingerprint)
                    Self.check(outcome, fingerprint, &model[name], comment)
                    if case .success(.carryOut(let claim)) = outcome { claims.append(claim) }
                case 5..<8:
                    guard !claims.isEmpty else { continue }
                    let claim = random.element(of: claims)
                    let answer = KeptAnswer(
                        status: 201, fields: [.init("ETag", "\"\(step)\"")], body: Array(random.text(upTo: 20).utf8))
                    let outcome: IdempotencyOutcome = random.element(of: [.answered(answer), .refused(answer), .open])
                    try await store.settle(claim, outcome)
                    Self.settle(&model[Name(principal: claim.principal, key: claim.key)], claim, outcome)
                case 8, 9:
                    guard !claims.isEmpty else { continue }
                    let claim = random.element(of: claims)
                    let isCommitted = Bool.random(using: &random)
                    let isLate = await Self.carryOut(claim, stack, isCommitted: isCommitted)
                    Self.carryOut(&model[Name(principal: claim.principal, key: claim.key)], claim, isCommitted, isLate, comment)
                case 10:
                    try await stack.owner.run("UPDATE idempotency_keys SET locked_until = now() WHERE state = 'running'")
                    for (name, standing) in model {
                        if case .running(let fingerprint, let token, let effect, _, let isCarriedOut) = standing {
                            model[name] = .running(
                                fingerprint: fingerprint, token: token, effect: effect, isLeased: false, isCarriedOut: isCarriedOut)
                        }
                    }
                default:
                    guard let owner = name.principal.owner else { continue }
                    try await stack.owner.run(
                        "UPDATE idempotency_keys SET expires_at = now() WHERE principal_id = '\(owner)' AND key = '\(name.key)'")
                    // Whether or not it has been swept away, it counts for nothing.
                    if Bool.random(using: &random) { _ = try await store.sweep(most: 10) }
                    model[name] = nil
                }
            }
            #expect(claims.count > 100, "\(random)")
        }
    }

    private static func claim(_ store: IdempotencyStore, _ name: Name, _ fingerprint: UInt8) async -> Result<IdempotencyVerdict, Problem> {
        do throws(Problem) {
            return .success(
                try await store.claim(
                    name.key, for: name.principal, fingerprint: Array(repeating: fingerprint, count: 32), lease: .seconds(60)))
        } catch {
            return .failure(error)
        }
    }

    /// Holds what was said of a claim to the model, and takes it over.
    private static func check(
        _ outcome: Result<IdempotencyVerdict, Problem>, _ fingerprint: UInt8, _ standing: inout Standing?, _ comment: Comment
    ) {
        switch (standing, outcome) {
        case (nil, .success(.carryOut(let claim))):
            #expect(!claim.isCarriedOut, comment)
            standing = .running(
                fingerprint: fingerprint, token: claim.token, effect: claim.effect, isLeased: true, isCarriedOut: false)
        case (.running(fingerprint, _, let effect, isLeased: false, let isCarriedOut), .success(.carryOut(let claim))):
            #expect(claim.isCarriedOut == isCarriedOut && claim.effect == effect, comment)
            standing = .running(
                fingerprint: fingerprint, token: claim.token, effect: effect, isLeased: true, isCarriedOut: isCarriedOut)
        case (.running(fingerprint, _, _, isLeased: true, _), .failure(let problem)):
            #expect(problem.code == .idempotencyKeyInUse, comment)
        case (.running(1 - fingerprint, _, _, _, _), .failure(let problem)), (.done(1 - fingerprint, _), .failure(let problem)):
            #expect(problem.code == .idempotencyKeyReused, comment)
        case (.done(fingerprint, let answer), .success(.answered(let kept))): #expect(kept == answer, comment)
        default: Issue.record("\(comment): \(String(describing: standing)) against \(outcome)")
        }
    }

    private static func settle(_ standing: inout Standing?, _ claim: IdempotencyClaim, _ outcome: IdempotencyOutcome) {
        guard case .running(let fingerprint, claim.token, let effect, _, let isCarriedOut) = standing else { return }
        switch outcome {
        case .answered(let answer): standing = .done(fingerprint: fingerprint, answer: answer)
        case .refused(let answer): standing = isCarriedOut ? .done(fingerprint: fingerprint, answer: answer) : nil
        case .open:
            standing = .running(fingerprint: fingerprint, token: claim.token, effect: effect, isLeased: false, isCarriedOut: isCarriedOut)
        }
    }

    /// Carries out what a claim is for, in a transaction that commits or does not. Returns whether the claim was no longer the one to do so.
    private static func carryOut(_ claim: IdempotencyClaim, _ stack: Stack, isCommitted: Bool) async -> Bool {
        let mark = IdempotencyMark(claim)
        let outcome = await problem { () throws(Problem) in
            try await stack.postgresAccess.transaction(as: PostgresSettings(claim.principal), within: .seconds(20)) { transaction in
                try await transaction.set(mark)
                if !isCommitted { throw Problem(.conflict, "Rolled back.") }
            }
        }
        return outcome == .idempotencyKeyInUse
    }

    /// The same in the model: whoever does not have the request any more commits nothing.
    private static func carryOut(
        _ standing: inout Standing?, _ claim: IdempotencyClaim, _ isCommitted: Bool, _ isLate: Bool, _ comment: Comment
    ) {
        guard case .running(let fingerprint, claim.token, let effect, let isLeased, let wasCarriedOut) = standing else {
            // A row whose time is up counts for nothing, and is there until it is swept away.
            #expect(isLate || standing == nil, comment)
            return
        }
        #expect(!isLate, comment)
        standing = .running(
            fingerprint: fingerprint, token: claim.token, effect: effect, isLeased: isLeased, isCarriedOut: wasCarriedOut || isCommitted)
    }
}
