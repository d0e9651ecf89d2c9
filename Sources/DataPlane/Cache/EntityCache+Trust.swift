import Contract
import RedisClient
import Synchronization

/// How an instance knows that it may trust what it holds, and how it ends the trust of others: `docs/caching.md`.
extension EntityCache {
    /// How often an instance asks whether it would hear, and whether its generation stands.
    private static let interval = Duration.milliseconds(50)

    /// Whether what is in memory is served without asking. Costs a lock.
    public var isTrusted: Bool {
        let now = ContinuousClock.now
        return state.withLock { $0.trust.trustedEra(at: now) != nil }
    }

    /// Hears what other gateways announce and makes sure of hearing it, until the task is cancelled. Without Redis there is nothing to
    /// hear, and nothing is trusted.
    public func run() async {
        guard let shared else { return }
        await withTaskGroup(of: Void.self) { group in
            group.addTask { await self.listen(on: shared.redis) }
            group.addTask { await self.repeatedly { await self.sendBeat(shared) } }
            group.addTask { await self.repeatedly { await self.askForGeneration() } }
        }
    }

    private func repeatedly(_ body: () async -> Void) async {
        while !Task.isCancelled {
            await body()
            // Cancelled, the wait ends at once, and so does the loop.
            try? await Task.sleep(for: Self.interval)
        }
    }

    // MARK: Hearing

    private func listen(on redis: RedisClient) async {
        let beats = CacheWire.beats(of: instance)
        for await event in redis.subscribe(channels: [CacheWire.announcements, beats]) {
            switch event {
            case .subscribed: note { $0.subscribed() }
            case .gap: note { $0.missed() }
            case .message(beats, let payload):
                guard let age = CacheWire.decodeBeat(payload) else { continue }
                note { $0.heardBeat(sent: began + age) }
            case .message(_, let payload):
                if let announcements = CacheWire.decode(payload) {
                    forget(announcements)
                } else {
                    // A stranger's. What it was to say is not known, but nothing that follows is missed.
                    note { $0.subscribed() }
                }
            }
        }
    }

    private func sendBeat(_ shared: SharedTier) async {
        let openings = shared.redis.openings
        let server: String?
        do throws(RedisError) {
            server = try await shared.beat(
                CacheWire.encode(began.duration(to: .now)), on: CacheWire.beats(of: instance), within: limits.patience)
        } catch {
            // Whoever waits for this beat waits in vain, which says it all; the client's own events say why.
            return
        }
        guard shared.redis.openings == openings else { return }
        note { $0.connected(to: server, openings: openings) }
        let isNew = state.withLock { state in
            defer { state.hasNoServer = server == nil }
            return server == nil && !state.hasNoServer
        }
        if isNew { observer.observe(.storeNote(.redis, "is a replica, or does not let INFO be read: it is not used as a cache")) }
        await adoptNewcomer()
    }

    /// A server that came back may have come back with old data: a new generation begins on it.
    private func adoptNewcomer() async {
        let found = state.withLock { state in state.trust.newcomer.flatMap { server in state.trust.generation.map { (server, $0) } } }
        guard let (server, generation) = found else { return }
        let asked = ContinuousClock.now
        // Where Postgres does not answer, nothing is trusted, and the next beat tries again.
        guard let begun = try? await generations.replace(generation, server: server) else { return }
        note { $0.heard(begun, asked: asked, answered: .now) }
    }

    private func askForGeneration() async {
        let asked = ContinuousClock.now
        do throws(Problem) {
            let generation = try await generations.current()
            note { $0.heard(generation, asked: asked, answered: .now) }
        } catch {
            if error.code == .storeUnavailable { note { $0.heardNothingOfPostgres() } }
        }
    }

    /// Takes news in. Where an era ends with it, what is under way is not stored, and listeners hear that they may have missed something.
    private func note(_ news: (inout CacheTrust) -> Void) {
        let isOver = state.withLock { state in
            let era = state.trust.era
            news(&state.trust)
            guard state.trust.era != era else { return false }
            state.flights.removeAll()
            return true
        }
        if isOver { onAnnouncement(nil) }
    }

    // MARK: Announcing

    /// From the moment this returns, this gateway serves nothing older than what is announced, and no other does for longer than
    /// `Limits.patience`: they hear it from Redis, or, where Redis cannot be told, find that the generation has ended.
    ///
    /// Throws where neither Redis nor Postgres could be told; the caller tells it again later. This process has forgotten either way.
    public func announce(_ announcements: [Announcement]) async throws(Problem) {
        guard !announcements.isEmpty else { return }
        observer.observe(.cacheInvalidated(count: announcements.count))
        forget(announcements)
        do throws(Problem) { try await tellOthers(announcements) } catch {
            forget(announcements)
            // Whoever reads it here next has to tell it first.
            state.withLock { state in for announcement in announcements { state.newest.untold(announcement) } }
            throw error
        }
        forget(announcements)
    }

    /// As `announce`, but for what is known here to have been announced, or is being announced at the moment.
    public func announceUntold(_ announcements: [Announcement]) async throws(Problem) {
        try await announce(state.withLock { state in announcements.filter { !state.newest.isAnnounced($0) } })
    }

    private func tellOthers(_ announcements: [Announcement]) async throws(Problem) {
        if state.withLock({ $0.trust.isClosed(at: .now) }) { return }
        if await tell(announcements) { return }
        try await endGeneration()
    }

    private func forget(_ announcements: [Announcement]) {
        state.withLock { state in
            for announcement in announcements {
                _ = state.newest.announced(announcement)
                drop(announcement, in: &state)
            }
        }
        onAnnouncement(announcements)
    }

    private func drop(_ announcement: Announcement, in state: inout State) {
        for representation in representations where representation.kind == announcement.kind {
            let key = Key(representation: representation, id: announcement.id)
            state.local.removeValue(for: key)
            state.flights[key] = nil
        }
    }

    // MARK: Learning

    /// Longer than the outbox may leave a version with a relay that died.
    private static let youth = Duration.seconds(40)

    /// Takes note of what was read from Postgres, and announces what nobody has: once it is answered somebody knows it, and nobody may be
    /// shown less. Throws where nobody can be told of it: then it is no answer yet.
    public func learn(_ kind: Announcement.Kind, _ bodies: [EntityID: CachedBody]) async throws(Problem) {
        let youngest = Timestamp.now.microseconds - Self.youth.components.seconds * 1_000_000
        try await learn(
            bodies.filter(\.value.exists).map { id, body in
                (Announcement(kind: kind, id: id, version: body.version), body.changedAt.map { $0.microseconds > youngest } ?? false)
            })
    }

    func learn(_ kind: Announcement.Kind, _ versions: [EntityID: Int64]) async throws(Problem) {
        try await learn(versions.map { (Announcement(kind: kind, id: $0, version: $1), false) })
    }

    private func learn(_ read: [(version: Announcement, isYoung: Bool)]) async throws(Problem) {
        let unannounced = state.withLock { state in
            read.compactMap { version, isYoung in
                let met = state.newest.read(version, isYoung: isYoung)
                if met.isNewer, met.isUnannounced { drop(version, in: &state) }
                return met.isUnannounced ? version : nil
            }
        }
        do throws(Problem) { try await announce(unannounced) } catch {
            observer.observe(.storeNote(.postgres, "cannot announce what was read: \(error.detail)"))
            throw error
        }
    }

    /// Whether Redis holds nothing older any more, and has passed the announcements on to everybody who trusts what they hold.
    private func tell(_ announcements: [Announcement]) async -> Bool {
        guard let shared else { return false }
        if tellingAccess == nil {
            // A command of a moment, or an instance that is just starting: nobody has asked yet.
            await askForGeneration()
            await sendBeat(shared)
        }
        guard let access = tellingAccess, shared.redis.openings == access.openings else { return false }
        do throws(RedisError) {
            try await shared.drop(announcements, representations: representations, generation: access.generation)
        } catch {
            observer.observe(.storeNote(.redis, "cannot announce: \(error.debugDescription)"))
            return false
        }
        // The server must have been the one that the others trust, from the first command to the last.
        return shared.redis.openings == access.openings && state.withLock { $0.trust.generation?.number } == access.generation
    }

    private var tellingAccess: CacheTrust.Access? {
        let now = ContinuousClock.now
        return state.withLock { $0.trust.tellingAccess(at: now) }
    }

    private static let closingAttempts = 3

    /// Ends everybody's trust by way of Postgres, once for all who ask at the moment. Throws `storeUnavailable` or `overloaded`.
    private func endGeneration() async throws(Problem) {
        for _ in 0..<Self.closingAttempts {
            let (flight, isOwn) = state.withLock { state in
                if let flight = state.closing { return (flight, false) }
                let flight = Flight<Void>()
                state.closing = flight
                return (flight, true)
            }
            // Not the caller's own task: others wait for it too.
            if isOwn { Task { await self.close(flight) } }
            try await flight.wait()
            if state.withLock({ $0.trust.isClosed(at: .now) }) { return }
        }
        // Postgres answers, but so slowly that its answers are over when they come.
        throw .unavailable(.postgres)
    }

    private func close(_ flight: Flight<Void>) async {
        let asked = ContinuousClock.now
        let outcome: Result<Void, Problem>
        do throws(Problem) {
            let generation = try await generations.endCurrent()
            note { $0.closed(generation, asked: asked, answered: .now) }
            outcome = .success(())
        } catch {
            outcome = .failure(error)
        }
        state.withLock { $0.closing = nil }
        flight.finish(outcome)
    }
}
