import Contract
import Testing

@testable import Credentials

@Suite struct SealTests {
    private static func secret(_ text: String = "a secret of more than thirty-two bytes") throws -> IdentitySecret {
        try #require(IdentitySecret(text))
    }

    @Test func whatWasSealedOpensAgain() throws {
        let seal = try Self.secret().seal(for: .mails)
        for bytes in [[], [0], RandomBytes.make(1000)] {
            #expect(try seal.open(try seal.seal(bytes, at: "row 1"), at: "row 1") == bytes)
        }
    }

    @Test func aSecretOfFewerThan32BytesIsNone() {
        #expect(IdentitySecret(String(repeating: "x", count: 31)) == nil)
        #expect(IdentitySecret(String(repeating: "x", count: 32)) != nil)
        #expect(IdentitySecret("") == nil)
    }

    @Test func theSameBytesAreNeverSealedAlikeTwice() throws {
        let seal = try Self.secret().seal(for: .mails)
        let sealed = try (0..<1000).map { _ in try seal.seal([1, 2, 3], at: "") }
        #expect(Set(sealed).count == 1000)
    }

    @Test func anotherSecretPurposeOrPlaceDoesNotOpen() throws {
        let sealed = try Self.secret().seal(for: .signingKeys).seal([1, 2, 3], at: "row 1")
        for seal in [
            try Self.secret("another secret of more than 32 bytes").seal(for: .signingKeys),
            IdentitySecret.development.seal(for: .signingKeys),
        ] {
            #expect(throws: Seal.OpenError.self) { try seal.open(sealed, at: "row 1") }
        }
        for purpose in Seal.Purpose.allCases where purpose != .signingKeys {
            #expect(throws: Seal.OpenError.self) { try Self.secret().seal(for: purpose).open(sealed, at: "row 1") }
        }
        #expect(throws: Seal.OpenError.self) { try Self.secret().seal(for: .signingKeys).open(sealed, at: "row 2") }
    }

    @Test func noByteCanBeChangedAndNoneBeMissing() throws {
        let seal = try Self.secret().seal(for: .oneTimeSecrets)
        let sealed = try seal.seal(Array("twenty bytes of secret".utf8), at: "row")
        #expect(sealed.first == 1)
        for index in sealed.indices {
            var changed = sealed
            changed[index] ^= 1
            #expect(throws: Seal.OpenError.self) { try seal.open(changed, at: "row") }
        }
        for count in 0..<sealed.count {
            #expect(throws: Seal.OpenError.self) { try seal.open(Array(sealed.prefix(count)), at: "row") }
        }
    }

    /// Made with another library, from what `Seal` says of itself: HKDF-SHA256, AES-256-GCM, and the layout.
    @Test func whatIsStoredStaysReadable() throws {
        let stored = "AQABAgMEBQYHCAkKC1X7DsaofGPyXFQ1G_BUZIhfm28DFPVYpdoQN63YmRWp6X5N2ZdIAVyoyA"
        let sealed = try #require(Base64URL.decode(stored))
        #expect(try Self.secret().seal(for: .oneTimeSecrets).open(sealed, at: "row 1") == Array("sealed once, read for ever".utf8))
    }
}
