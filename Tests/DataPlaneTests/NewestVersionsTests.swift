import Contract
import TestSupport
import Testing

@testable import DataPlane

@Suite struct NewestVersionsTests {
    private static let id = EntityID(rawValue: 7)

    private static func beat(_ version: Int64, _ id: EntityID = id) -> Announcement { Announcement(kind: .beat, id: id, version: version) }

    private static func announced(_ number: Int64, _ versions: inout NewestVersions) -> Bool { versions.announced(beat(number)) }

    /// Whether it is newer than all before, and whether it is still to be announced.
    private static func read(_ number: Int64, _ versions: inout NewestVersions, isYoung: Bool = false, of id: EntityID = id) -> [Bool] {
        let met = versions.read(beat(number, id), isYoung: isYoung)
        return [met.isNewer, met.isUnannounced]
    }

    @Test func whatWasAnnouncedIsNotAnnouncedAgain() {
        var versions = NewestVersions()
        #expect(Self.announced(2, &versions))
        #expect(Self.read(2, &versions, isYoung: true) == [false, false])
        #expect(!Self.announced(1, &versions))
        #expect(versions.newest(.beat, Self.id) == 2 && versions.newest(.user, Self.id) == 0)
    }

    @Test func whatNobodyAnnouncedIsToBeAnnouncedUntilSomebodyHas() {
        var versions = NewestVersions()
        // Old and never met: its announcement is long over.
        #expect(Self.read(3, &versions) == [true, false])
        #expect(Self.read(4, &versions) == [true, true])
        #expect(Self.read(4, &versions) == [false, true])
        #expect(Self.read(3, &versions, isYoung: true) == [false, false])
        #expect(!Self.announced(4, &versions))
        #expect(Self.read(4, &versions, isYoung: true) == [false, false])
        #expect(Self.read(1, &versions, isYoung: true, of: EntityID(rawValue: 8)) == [true, true])
    }

    @Test func whatNobodyCouldBeToldOfIsStillToBeAnnounced() {
        var versions = NewestVersions()
        _ = Self.announced(2, &versions)
        versions.untold(Self.beat(2))
        #expect(Self.read(2, &versions) == [false, true])
        // Of an older one nothing is to be said any more.
        _ = Self.announced(3, &versions)
        versions.untold(Self.beat(2))
        #expect(Self.read(3, &versions) == [false, false])
    }

    /// Against a map that forgets nothing.
    @Test func theLastOnesAreNeverForgottenAndNoneIsRememberedWrong() {
        var random = SeededGenerator()
        var versions = NewestVersions(capacity: 16)
        var all: [EntityID: Int64] = [:]
        var last: [EntityID] = []
        for _ in 0..<20_000 {
            let id = EntityID(rawValue: UInt128.random(in: 0..<100, using: &random))
            let version = Int64.random(in: 1...1000, using: &random)
            let before = versions.newest(.beat, id)
            #expect(before == 0 || before == all[id], "\(random)")
            let met = Self.beat(version, id)
            let isNewer = Bool.random(using: &random) ? versions.announced(met) : versions.read(met, isYoung: true).isNewer
            #expect(isNewer == (version > before), "\(random)")
            all[id] = max(before, version)
            if isNewer {
                last.removeAll { $0 == id }
                last.append(id)
            }
            for recent in last.suffix(15) { #expect(versions.newest(.beat, recent) == all[recent], "\(random)") }
        }
    }
}
