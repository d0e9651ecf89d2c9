import Contract
import NIOCore
import TestSupport
import Testing

@testable import DataPlane

@Suite struct CachedBodyTests {
    private static func bytes(_ body: CachedBody) -> [UInt8]? { body.bytes.map { Array($0.readableBytesView) } }

    @Test func aBodyIsTheSameAfterTheSharedTier() throws {
        var random = SeededGenerator()
        for version in [Int64.min, -1, 0, 1, .max] {
            let json = Array("{\"text\":\"\(random.text(upTo: 50))\"}".utf8)
            let body = CachedBody(version: version, json: json)
            guard case .body(let read)? = SharedEntry(SharedEntry.encode(body)) else {
                Issue.record("no body")
                continue
            }
            #expect(read.version == version && Self.bytes(read) == json && read.etag == body.etag && read.isComplete)
        }
        guard case .body(let absent)? = SharedEntry(SharedEntry.encode(.absent)) else {
            Issue.record("no absence")
            return
        }
        #expect(!absent.exists)
    }

    @Test func theEntityTagTellsVersionsAndBytesApart() {
        let body = CachedBody(version: 7, json: Array("{}".utf8))
        #expect(body.etag == CachedBody(version: 7, json: Array("{}".utf8)).etag)
        #expect(body.etag != CachedBody(version: 8, json: Array("{}".utf8)).etag)
        #expect(body.etag != CachedBody(version: 7, json: Array("[]".utf8)).etag)
        #expect(body.etag.wholeMatch(of: /"7-[0-9a-z]+"/) != nil)
    }

    @Test(arguments: [
        [], [0], Array("B".utf8), Array("B1234567".utf8), Array("B12345678".utf8), Array("NN".utf8), Array("X".utf8), Array("{}".utf8),
    ])
    func bytesThatNoGatewayWroteAreNoEntry(_ bytes: [UInt8]) {
        #expect(SharedEntry(bytes) == nil)
    }

    @Test func noTwoLeasesAreAlikeAndNoneReadsAsABody() {
        let leases = (0..<1000).map { _ in SharedEntry.makeLease() }
        #expect(Set(leases).count == 1000)
        for lease in leases {
            guard case .lease(let read)? = SharedEntry(lease) else {
                Issue.record("not a lease")
                continue
            }
            #expect(read == lease)
        }
    }

    @Test func announcementsReadBackAndAnythingElseIsDistrusted() {
        var random = SeededGenerator()
        let announcements = (0..<50).map { _ in
            Announcement(
                kind: random.element(of: Announcement.Kind.allCases),
                id: EntityID(rawValue: UInt128.random(in: .min ... .max, using: &random)),
                version: Int64.random(in: .min ... .max, using: &random))
        }
        #expect(CacheWire.decode(CacheWire.encode(announcements)) == announcements, "\(random)")
        #expect(CacheWire.decode([]) == [])
        for text in [
            "beat", "beat x 1", "beat 01920000-0000-7000-8000-000000000001", "beat 01920000-0000-7000-8000-000000000001 x",
            "order 01920000-0000-7000-8000-000000000001 1", "beat 01920000-0000-7000-8000-000000000001 1 2", "\u{0}",
            "beat 01920000-0000-7000-8000-000000000001 99999999999999999999",
        ] {
            #expect(CacheWire.decode(Array(text.utf8)) == nil, "\(text)")
        }
        #expect(CacheWire.decode([0xFF, 0xFE]) == nil)
    }

    @Test func keysOfTheSharedTierNameGenerationKindIdRepresentationAndSchema() {
        let id = EntityID(rawValue: 1)
        #expect(
            Representation(kind: .beat, name: "detail", schema: 3).sharedKey(id, 7)
                == "kb:7:beat:00000000-0000-0000-0000-000000000001:detail:3")
        #expect(Representation.floorKey(.user, id, 7) == "kb:7:user:00000000-0000-0000-0000-000000000001:floor")
    }

    @Test func aServerIsNamedByItsRunAndItsDataAndAReplicaIsNone() {
        func info(_ role: String) -> String {
            "# Server\r\nredis_version:7.0.15\r\nrun_id:abc\r\n\r\n# Replication\r\nrole:\(role)\r\nmaster_replid:def\r\n"
        }
        #expect(CacheWire.server(info("master")) == "abc def")
        #expect(CacheWire.server(info("slave")) == nil)
        #expect(CacheWire.server("NOPERM") == nil && CacheWire.server("") == nil)
    }

    @Test func aBeatReadsBackToTheNanosecond() {
        for age in [Duration.zero, .nanoseconds(1), .seconds(86_400 * 365) + .nanoseconds(999_999_999)] {
            #expect(CacheWire.decodeBeat(CacheWire.encode(age)) == age)
        }
        #expect(CacheWire.decodeBeat(Array("x".utf8)) == nil)
    }
}
