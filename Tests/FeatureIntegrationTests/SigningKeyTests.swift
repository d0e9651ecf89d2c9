import NIOCore
import Contract
import Credentials
import DataPlane
import Foundation
import TestSupport
import Testing

@testable import Identity

/// One instance of the gateway, as far as keys go.
private struct Instance: Sendable {
    let tokens = AccessTokens(.init(issuer: "kababeat", audience: "clients"))
    let keys: SigningKeyService

    init(_ stack: Stack, secret: IdentitySecret = SessionDesk.secret) {
        keys = SigningKeyService(
            postgres: PostgresAccess(stack.postgres, observer: stack.recorder), secret: secret, tokens: tokens, observer: stack.recorder)
    }

    static func ready(_ stack: Stack) async throws -> Instance {
        let instance = Instance(stack)
        try await instance.keys.reload()
        return instance
    }

    func issue() async throws -> String { try await tokens.issue(user: .now, session: .now) }

    /// As the authenticator does: reads the keys anew for one that is not known.
    func takes(_ token: String) async throws -> Bool {
        do throws(AccessTokenError) {
            _ = try await tokens.verify(token)
            return true
        } catch {
            guard error == .unknownKey else { return false }
        }
        try await keys.learn()
        return (try? await tokens.verify(token)) != nil
    }

    /// The names of the keys in the key set, in its order.
    var published: [String] {
        get throws {
            let bytes = try #require(keys.keySet?.bytes)
            let json = try JSONSerialization.jsonObject(with: Data(bytes.readableBytesView)) as? [String: [[String: String]]]
            return try #require(json?["keys"]).compactMap { $0["kid"] }
        }
    }
}

extension Stack {
    /// Has the keys' clock go on.
    fileprivate func pass(seconds: Int) async throws {
        try await owner.run(
            "UPDATE signing_keys SET active_from = active_from - interval '\(seconds) s', retired_at = retired_at - interval '\(seconds) s'"
        )
    }
}

@Suite struct SigningKeyTests {
    private static func keyID(_ token: String) throws -> String {
        let bytes = try #require(Base64URL.decode(token.prefix { $0 != "." }))
        let header = try JSONSerialization.jsonObject(with: Data(bytes)) as? [String: String]
        return try #require(header?["kid"])
    }

    @Test func oneKeyIsMadeHoweverManyInstancesStartAtOnce() async throws {
        try await Stack.use { stack in
            let instances = (0..<10).map { _ in Instance(stack) }
            try await withThrowingTaskGroup { group in
                for instance in instances { group.addTask { try await instance.keys.reload() } }
                try await group.waitForAll()
            }
            #expect(try await stack.count("signing_keys") == 1)
            let token = try await instances[0].issue()
            for instance in instances { #expect(try await instance.takes(token)) }
        }
    }

    @Test func beforeTheKeysAreReadNoTokenIsIssued() async throws {
        try await Stack.use { stack in
            let instance = Instance(stack)
            #expect(instance.keys.keySet == nil)
            await #expect(throws: Problem.unavailable(.postgres)) { try await instance.issue() }
        }
    }

    @Test func aRotationLogsNobodyOut() async throws {
        try await Stack.use { stack in
            let (one, other) = (try await Instance.ready(stack), try await Instance.ready(stack))
            let old = try await one.issue()
            let rotated = try await one.keys.rotate(atOnce: false)
            #expect(rotated.activeFrom > Timestamp(milliseconds: Timestamp.now.milliseconds + 110_000))

            // The new key is published, and does not sign yet.
            try await one.keys.reload()
            #expect(try one.published.contains(rotated.id) && one.published.count == 2)
            #expect(try await Self.keyID(one.issue()) == Self.keyID(old))

            // One instance has heard of it and the other has not: each takes the other's tokens.
            try await stack.pass(seconds: 125)
            try await one.keys.reload()
            let new = try await one.issue()
            #expect(try Self.keyID(new) == rotated.id)
            let late = try await other.issue()
            #expect(try Self.keyID(late) == Self.keyID(old))
            for instance in [one, other] {
                for token in [old, new, late] { #expect(try await instance.takes(token)) }
            }

            // The last token that the old key signed is good for ten minutes from then on.
            try await other.keys.reload()
            try await stack.pass(seconds: 600)
            for instance in [one, other] {
                try await instance.keys.reload()
                #expect(try instance.published.count == 2)
                #expect(try await instance.takes(late))
            }
            try await stack.pass(seconds: 120)
            for instance in [one, other] {
                try await instance.keys.reload()
                #expect(try instance.published == [rotated.id])
                #expect(try await instance.takes(new))
                #expect(try await !instance.takes(late))
            }
        }
    }

    @Test func rotationsInARowKeepEveryKeyThatMayHaveSigned() async throws {
        try await Stack.use { stack in
            let instance = try await Instance.ready(stack)
            var tokens = [try await instance.issue()]
            for _ in 0..<3 {
                _ = try await instance.keys.rotate(atOnce: false)
                try await stack.pass(seconds: 125)
                try await instance.keys.reload()
                tokens.append(try await instance.issue())
            }
            #expect(Set(try tokens.map(Self.keyID)).count == 4)
            for token in tokens { #expect(try await instance.takes(token)) }
            try await stack.pass(seconds: 900)
            _ = try await instance.keys.rotate(atOnce: false)
            #expect(try await stack.count("signing_keys") == 2)
        }
    }

    @Test func aKeyThatHasLeakedCountsForNothingAtOnce() async throws {
        try await Stack.use { stack in
            let (one, other) = (try await Instance.ready(stack), try await Instance.ready(stack))
            let old = try await one.issue()
            let rotated = try await one.keys.rotate(atOnce: true)
            for instance in [one, other] {
                try await instance.keys.reload()
                #expect(try await !instance.takes(old))
                #expect(try instance.published == [rotated.id])
            }
            #expect(try await other.takes(one.issue()))
        }
    }

    @Test func anUnknownKeyIsLookedForAtMostOnceASecond() async throws {
        try await Stack.use { stack in
            let instance = try await Instance.ready(stack)
            let stranger = AccessTokens(.init(issuer: "kababeat", audience: "clients"))
            let before = stack.recorder.count { if case .storeCall(.postgres, _, _) = $0 { true } else { false } }
            let start = ContinuousClock.now
            for _ in 0..<200 {
                let key = SigningKey()
                await stranger.use([key], active: key.id)
                let token = try await stranger.issue(user: .now, session: .now)
                #expect(try await !instance.takes(token))
            }
            let calls = stack.recorder.count { if case .storeCall(.postgres, _, _) = $0 { true } else { false } } - before
            #expect(calls <= 2 + Int((ContinuousClock.now - start).components.seconds), "\(calls)")
        }
    }

    @Test func privateKeysAreSealedAndAnotherSecretSaysSo() async throws {
        try await Stack.use { stack in
            let instance = try await Instance.ready(stack)
            let id = try #require(try instance.published.first)
            let stranger = Instance(stack, secret: try #require(IdentitySecret("another secret of more than 32 bytes")))
            await #expect { try await stranger.keys.reload() } throws: { error in
                if case .sealed(let sealed) = error as? SigningKeyError { sealed == id } else { false }
            }
            #expect(try await stack.count("signing_keys") == 1)
            // What is left to those who have lost their secret.
            _ = try await stranger.keys.rotate(atOnce: true)
            try await stranger.keys.reload()
            #expect(try await stranger.takes(stranger.issue()))
        }
    }
}
