/// What Postgres says of the caches: which generation of entries counts, and which Redis server holds it.
struct CacheGeneration: Sendable, Hashable {
    let number: Int64
    let server: String
}

/// Whether this instance would have heard by now if something that it holds had changed. A pure value: time and news come from outside.
///
/// Three things have to hold. Its subscription delivers: a beat that it published itself came back, and with it, in order, whatever had been
/// published before. The Redis that it talks to is the one that holds the current generation, not one that came back with old data. And
/// Postgres has said a moment ago that the generation stands, for whoever cannot reach Redis ends it there. `docs/caching.md` has the proof.
struct CacheTrust: Sendable {
    typealias Instant = ContinuousClock.Instant

    /// How long nobody trusts anything after a generation has begun.
    static let quarantine = Duration.seconds(1)
    /// How old Postgres' word may be for whoever announces: short of the quarantine by more than an announcement may take.
    static let tellingPatience = Duration.milliseconds(700)
    /// How long whoever has ended a generation may count on nobody's trust: short of the quarantine, for clocks that differ.
    static let closing = Duration.milliseconds(900)

    /// How the shared tier may be used: under the keys of this generation, on connections that were opened so often and not since.
    struct Access: Sendable, Hashable {
        let generation: Int64
        let openings: Int
    }

    /// How old the last sign of either kind may be. No instance serves what has been replaced for longer than this.
    let patience: Duration
    /// Changes whenever something may have been missed. What was read in another era has to be confirmed.
    private(set) var era: UInt64 = 1
    private(set) var generation: CacheGeneration?
    private var isSubscribed = false
    private var lastHeard: Instant?
    private var connected: (server: String, openings: Int)?
    private var asked: Instant?
    private var quarantinedUntil: Instant?
    private var isPostgresSilent = false
    private var closedUntil: Instant?

    /// `patience` must be well under `quarantine`.
    init(patience: Duration = .milliseconds(250)) { self.patience = patience }

    // MARK: News

    /// From here on everything that is published is heard.
    mutating func subscribed() {
        era += 1
        isSubscribed = true
        lastHeard = nil
    }

    /// Something may not have been heard.
    mutating func missed() {
        era += 1
        isSubscribed = false
        lastHeard = nil
    }

    /// A beat of this instance came back.
    mutating func heardBeat(sent: Instant) { lastHeard = max(lastHeard ?? sent, sent) }

    /// The server at the other end of the connections says who it is; nil where it is none that can be relied on.
    mutating func connected(to server: String?, openings: Int) {
        if let known = connected, known.server != server { era += 1 }
        connected = server.map { ($0, openings) }
    }

    /// Postgres has answered which generation stands.
    mutating func heard(_ read: CacheGeneration, asked: Instant, answered: Instant) {
        if let known = self.asked, asked < known { return }
        self.asked = asked
        isPostgresSilent = false
        begin(read, at: answered)
    }

    /// Postgres has not answered at all. What others commit they announce: while beats come back, memory stays good.
    mutating func heardNothingOfPostgres() { isPostgresSilent = true }

    /// This instance has ended the generation before.
    mutating func closed(_ begun: CacheGeneration, asked: Instant, answered: Instant) {
        closedUntil = asked + Self.closing
        begin(begun, at: answered)
    }

    private mutating func begin(_ read: CacheGeneration, at now: Instant) {
        guard read != generation else { return }
        generation = read
        era += 1
        quarantinedUntil = now + Self.quarantine
    }

    // MARK: What follows

    /// The era whose entries are good as they are; nil where none is, and Postgres has to be asked about each.
    func trustedEra(at now: Instant) -> UInt64? {
        guard isSubscribed, let lastHeard, now - lastHeard < patience, let quarantinedUntil, quarantinedUntil <= now,
            isOnServerOfGeneration, isPostgresSilent || isGenerationKnown(at: now, within: patience)
        else { return nil }
        return era
    }

    /// How the shared tier may be read and filled; nil where it may not.
    func sharedAccess(at now: Instant) -> Access? {
        guard trustedEra(at: now) != nil, isGenerationKnown(at: now, within: patience) else { return nil }
        return access
    }

    /// Where an announcement has to be made for everybody who trusts to hear it; nil where this instance cannot say.
    func tellingAccess(at now: Instant) -> Access? {
        isOnServerOfGeneration && isGenerationKnown(at: now, within: Self.tellingPatience) ? access : nil
    }

    /// True while nobody trusts anything, because this instance has ended the generation a moment ago.
    func isClosed(at now: Instant) -> Bool { closedUntil.map { now < $0 } ?? false }

    /// The server of the connections, where the generation is another's: one that came back, or that took over.
    var newcomer: String? {
        guard let connected, let generation, connected.server != generation.server else { return nil }
        return connected.server
    }

    private var isOnServerOfGeneration: Bool { connected != nil && newcomer == nil }

    private func isGenerationKnown(at now: Instant, within limit: Duration) -> Bool {
        generation != nil && asked.map { now - $0 < limit } ?? false
    }

    private var access: Access? {
        guard let generation, let connected else { return nil }
        return Access(generation: generation.number, openings: connected.openings)
    }
}
