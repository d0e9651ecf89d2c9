import TestSupport
import Testing

@testable import DataPlane

@Suite struct CacheTrustTests {
    private static let start = ContinuousClock.now
    private static let generation = CacheGeneration(number: 7, server: "a")

    private static func at(_ milliseconds: Int) -> ContinuousClock.Instant { start + .milliseconds(milliseconds) }

    /// Everything as it should be from the beginning on, and the quarantine over at `at(1000)`.
    private static func trusting() -> CacheTrust {
        var trust = CacheTrust()
        trust.subscribed()
        trust.connected(to: "a", openings: 1)
        trust.heard(generation, asked: at(0), answered: at(0))
        return trust
    }

    private static func refresh(_ trust: inout CacheTrust, _ milliseconds: Int) {
        trust.heardBeat(sent: at(milliseconds))
        trust.heard(generation, asked: at(milliseconds), answered: at(milliseconds))
    }

    @Test func itBeginsWithAQuarantineAndEndsWithTheLastSign() {
        var trust = Self.trusting()
        Self.refresh(&trust, 900)
        #expect(trust.trustedEra(at: Self.at(999)) == nil)
        #expect(trust.trustedEra(at: Self.at(1000)) == trust.era)
        #expect(trust.trustedEra(at: Self.at(1149)) != nil)
        #expect(trust.trustedEra(at: Self.at(1150)) == nil)
    }

    @Test func beatsThatComeBackLateProveNothing() {
        var trust = Self.trusting()
        Self.refresh(&trust, 2000)
        trust.heard(Self.generation, asked: Self.at(2900), answered: Self.at(2900))
        // A server that was frozen passes on what had been sent before.
        trust.heardBeat(sent: Self.at(2500))
        #expect(trust.trustedEra(at: Self.at(2900)) == nil)
        trust.heardBeat(sent: Self.at(2890))
        #expect(trust.trustedEra(at: Self.at(2900)) != nil)
        // And what arrives out of its order takes nothing away.
        trust.heardBeat(sent: Self.at(2510))
        #expect(trust.trustedEra(at: Self.at(2900)) != nil)
    }

    @Test func whatIsMerelyLateEndsNoEraAndWhatMayHaveBeenMissedDoes() {
        var trust = Self.trusting()
        Self.refresh(&trust, 1000)
        let era = trust.era
        Self.refresh(&trust, 5000)
        #expect(trust.trustedEra(at: Self.at(5000)) == era)
        trust.missed()
        trust.subscribed()
        Self.refresh(&trust, 5100)
        #expect(trust.trustedEra(at: Self.at(5100)) == trust.era && trust.era != era)
    }

    @Test func anotherServerOrAnotherGenerationIsTrustedOnlyAfterAQuarantine() {
        var trust = Self.trusting()
        Self.refresh(&trust, 1000)
        trust.connected(to: "b", openings: 2)
        #expect(trust.newcomer == "b" && trust.trustedEra(at: Self.at(1000)) == nil && trust.tellingAccess(at: Self.at(1000)) == nil)
        trust.heard(CacheGeneration(number: 8, server: "b"), asked: Self.at(1010), answered: Self.at(1020))
        trust.heardBeat(sent: Self.at(2000))
        trust.heard(CacheGeneration(number: 8, server: "b"), asked: Self.at(2000), answered: Self.at(2010))
        #expect(trust.newcomer == nil && trust.trustedEra(at: Self.at(2019)) == nil && trust.trustedEra(at: Self.at(2020)) != nil)
        // Whoever announces may do so at once: nobody trusts another server meanwhile.
        #expect(trust.tellingAccess(at: Self.at(2019)) == CacheTrust.Access(generation: 8, openings: 2))
        trust.connected(to: nil, openings: 2)
        #expect(trust.trustedEra(at: Self.at(2020)) == nil)
    }

    @Test func aPostgresThatSaysNothingLeavesMemoryAndTakesRedis() {
        var trust = Self.trusting()
        Self.refresh(&trust, 1000)
        trust.heardBeat(sent: Self.at(5000))
        #expect(trust.trustedEra(at: Self.at(5000)) == nil)
        trust.heardNothingOfPostgres()
        #expect(trust.trustedEra(at: Self.at(5000)) != nil)
        #expect(trust.sharedAccess(at: Self.at(5000)) == nil && trust.tellingAccess(at: Self.at(5000)) == nil)
        trust.heard(Self.generation, asked: Self.at(5010), answered: Self.at(5010))
        #expect(trust.sharedAccess(at: Self.at(5020)) == CacheTrust.Access(generation: 7, openings: 1))
    }

    @Test func whoEndsAGenerationMayCountOnItForLessThanTheOthersKeepIt() {
        var trust = Self.trusting()
        Self.refresh(&trust, 1000)
        trust.closed(CacheGeneration(number: 8, server: "a"), asked: Self.at(1000), answered: Self.at(1100))
        #expect(trust.isClosed(at: Self.at(1899)) && !trust.isClosed(at: Self.at(1900)))
        // An answer that was asked for before says nothing any more.
        #expect(trust.generation?.number == 8)
        #expect(CacheTrust.closing < CacheTrust.quarantine && CacheTrust.tellingPatience + .milliseconds(250) < CacheTrust.quarantine)
    }

    /// Two instances with clocks of their own, whose news arrives late or never. Whatever happens, a change that one of them has
    /// acknowledged is not hidden from the other for longer than its patience.
    @Test func nobodyTrustsWhatWasReplacedForLongerThanThePatience() {
        var random = SeededGenerator()
        for _ in 0..<300 { Self.history(&random) }
    }

    private static func history(_ random: inout SeededGenerator) {
        let seed = random.description
        var (reader, writer) = (CacheTrust(), CacheTrust())
        reader.subscribed()
        var stored = CacheGeneration(number: 1, server: "a")
        // What the reader holds of one entity, in which era, and what the truth is since when.
        var held: (version: Int, era: UInt64)?
        var truth = (version: 1, acknowledged: start)
        var inFlight: [(at: Int, announcement: Int?, beat: Int?)] = []
        var readerHears = true
        var writerSends = true
        var readerAsks = true
        var isUp = true
        for step in 0..<4000 {
            let now = at(step * 5)
            switch Int.random(in: 0..<400, using: &random) {
            case 0: writerSends.toggle()
            case 1...2:
                // A subscription that has died comes back as a new one; until then its owner may know nothing of it.
                readerHears.toggle()
                inFlight = []
                if readerHears {
                    reader.missed()
                    reader.subscribed()
                }
            case 3: isUp.toggle()
            case 10: readerAsks.toggle()
            case 4...9:
                // A commit, and what has to follow before it is acknowledged.
                truth = (truth.version + 1, .distantFuture(from: now))
                var isTold = writer.isClosed(at: now)
                if !isTold, isUp, writerSends, writer.tellingAccess(at: now)?.generation == stored.number {
                    if readerHears { inFlight.append((step + 1, truth.version, nil)) }
                    isTold = true
                }
                if !isTold {
                    stored = CacheGeneration(number: stored.number + 1, server: stored.server)
                    writer.closed(stored, asked: now, answered: now)
                }
                truth.acknowledged = now
            default: break
            }
            if isUp {
                writer.connected(to: "a", openings: 1)
                reader.connected(to: "a", openings: 1)
                if step % 10 == 0, readerHears { inFlight.append((step + Int.random(in: 1...5, using: &random), nil, step)) }
                // In the order of the server, as one connection brings them.
                while let first = inFlight.first, first.at <= step {
                    inFlight.removeFirst()
                    if let version = first.announcement, held?.version ?? 0 < version { held = nil }
                    if let beat = first.beat { reader.heardBeat(sent: at(beat * 5)) }
                }
            }
            if step % 10 == 5 {
                writer.heard(stored, asked: now, answered: now)
                if readerAsks { reader.heard(stored, asked: now, answered: now) }
            }
            if let era = reader.trustedEra(at: now) {
                if let held, held.era == era {
                    let isRecent = truth.acknowledged.duration(to: now) <= reader.patience
                    #expect(held.version == truth.version || isRecent, "\(seed)")
                } else {
                    held = (truth.version, era)
                }
            }
        }
    }
}

extension ContinuousClock.Instant {
    fileprivate static func distantFuture(from now: Self) -> Self { now + .seconds(3600) }
}
