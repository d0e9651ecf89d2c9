import Contract
import DataPlane
import HTTPAPI
import JSON

/// Writes beats. Postgres commits first, the row with its content and its outbox row; the copies follow, and an answer waits for them
/// a little, so that whoever has written reads it.
public final class BeatDraftService: Sendable {
    /// How often an edit without `If-Match` starts anew because somebody else was faster.
    private static let attempts = 4

    private let beats: BeatService
    private let store: BeatDraftStore
    private let contents: BeatDraftContentStore
    private let history: BeatHistory
    private let watch: ProjectionWatch
    private let notice: CommitNotice
    private let patience: Duration

    /// `patience` is how long an answer waits for the copies.
    public init(
        beats: BeatService, postgres: PostgresAccess, mongo: MongoAccess, watch: ProjectionWatch, notice: CommitNotice,
        observer: any Observer,
        patience: Duration = .seconds(1), timeout: Duration = .seconds(2)
    ) {
        self.beats = beats
        store = BeatDraftStore(postgres: postgres, timeout: timeout)
        contents = BeatDraftContentStore(mongo: mongo, timeout: timeout, observer: observer)
        history = BeatHistory(mongo: mongo, timeout: timeout)
        self.watch = watch
        self.notice = notice
        self.patience = patience
    }

    /// Makes a draft of this id; one that is there stays as it is, and is the answer. Throws `invalid`, `storeUnavailable` or
    /// `overloaded`; `notFound` where the request of `claim` was carried out before, and the beat is gone by now.
    func create(
        _ edit: BeatEdit, as id: EntityID = .now, claim: IdempotencyClaim? = nil, by account: Account
    ) async throws(Problem) -> Lookup {
        let draft = try edit.applied(to: BeatDraft())
        let entry = VersionEntry(text: edit.changes ?? "Created", by: account.id, at: .now)
        let (isCarriedOut, mark) = (claim?.isCarriedOut == true, IdempotencyMark(claim))
        return try await answer(id, account) { () throws(Problem) in
            if isCarriedOut { return nil }
            return try await self.store.create(id, draft, entry, mark, as: account)
        }
    }

    /// Changes a beat. Throws `notFound` for one that the account may not see, `forbidden` for one that it may not edit, its own included
    /// where it is no creator any more; `versionConflict` where the beat is at none of the versions that `match` admits, `conflict` where
    /// others kept changing it; `invalid`, `storeUnavailable` or `overloaded`.
    func edit(_ id: EntityID, _ edit: BeatEdit, ifVersion match: IfMatch, by account: Account) async throws(Problem) -> Lookup {
        try await answer(id, account) { () throws(Problem) in
            try await self.attempt(id, match, account) { stored throws(Problem) in
                guard stored.viewer.canEdit else { throw .forbidden }
                let content = edit.touchesContent ? try await self.content(of: stored) : BeatContentDocument()
                let draft = try edit.applied(to: stored.draft(content))
                let entry =
                    edit.touchesContent ? VersionEntry(text: edit.changes ?? "Edited", by: account.id, at: .now) : nil
                return try await self.store.update(stored, draft, entry, as: account)
            }
        }
    }

    /// Publishes, withdraws or archives a beat; what it is already changes nothing. Where the request of `claim` was carried out before, the
    /// beat stays as it is now, whatever its status and its version (RFC 9110 §13.1.1). Throws as `edit` does.
    func move(
        _ id: EntityID, to status: BeatStatus, ifVersion match: IfMatch, claim: IdempotencyClaim? = nil, by account: Account
    ) async throws(Problem) -> Lookup {
        let (isCarriedOut, mark) = (claim?.isCarriedOut == true, IdempotencyMark(claim))
        return try await answer(id, account) { () throws(Problem) in
            try await self.attempt(id, isCarriedOut ? .any : match, account) { stored throws(Problem) in
                guard stored.core.creator.id == account.id else { throw .forbidden }
                if isCarriedOut || stored.core.status == status { return WrittenBeat(core: stored.core, viewer: stored.viewer) }
                if status == .published { return try await self.store.publish(stored, mark, as: account) }
                return try await self.store.retire(stored, to: status, mark, as: account)
            }
        }
    }

    /// Takes a beat out of everything that shows it. Licences and orders that name it stay. Throws as `edit` does.
    func delete(_ id: EntityID, ifVersion match: IfMatch, by account: Account) async throws(Problem) {
        _ = try await watch.after(.beat, id, within: patience) { () throws(Problem) in
            let version = try await self.attempt(id, match, account) { stored throws(Problem) in
                guard stored.core.creator.id == account.id else { throw .forbidden }
                return try await self.store.retire(stored, to: nil, .none, as: account)
            }.core.version
            try await self.notice.committed([Announcement(kind: .beat, id: id, version: version)])
            return ((), version)
        }
    }

    // MARK: Reading

    /// What the account made. Throws as `BeatService.own` does.
    func own(_ page: PageRequest, _ status: BeatStatus?, by account: Account) async throws(Problem) -> BeatList {
        try await beats.own(page, status, by: account)
    }

    /// What was changed in a beat's content, the newest first. Throws `notFound` as `edit` does, `forbidden` for who neither made the beat
    /// nor edits it, `invalidCursor` for a cursor of another list; `storeUnavailable` or `overloaded`.
    func changes(
        of id: EntityID, from position: PageRequest.Position, limit: Int, for account: Account
    ) async throws(Problem) -> [BeatChange] {
        guard let stored = try await store.beat(id, as: account) else { throw .notFound("beat") }
        guard stored.isOpen(to: account) else { throw .forbidden }
        var below = stored.core.version + 1
        if case .after(let cursor) = position {
            guard cursor.order == Self.historyOrder, cursor.id == id, case .integer(let version) = cursor.value else {
                throw Problem(.invalidCursor, "The cursor belongs to another list.")
            }
            below = version
        }
        return try await history.changes(of: id, below: below, limit: limit)
    }

    /// Names the order of histories in cursors.
    private static let historyOrder: UInt64 = 3

    static func cursor(after change: BeatChange, of beat: EntityID) -> Cursor {
        Cursor(order: historyOrder, value: .integer(change.v), id: beat)
    }

    // MARK: Steps

    /// Reads the beat and writes it, anew where it has moved meanwhile. The read names the version that the write replaces, so nothing is
    /// lost between two editors whichever of them is faster.
    private func attempt(
        _ id: EntityID, _ match: IfMatch, _ account: Account, _ write: (StoredBeat) async throws(Problem) -> WrittenBeat?
    ) async throws(Problem) -> WrittenBeat {
        for _ in 0..<Self.attempts {
            guard let stored = try await store.beat(id, as: account) else { throw .notFound("beat") }
            guard match.admits(stored.core.version) else {
                // Who has no part in the beat learns nothing of its versions.
                guard stored.isOpen(to: account) else { throw .forbidden }
                throw IfMatch.conflict
            }
            if let written = try await write(stored) { return written }
        }
        throw Problem(.conflict, "Others keep changing this beat; try again.", retryAfter: 1)
    }

    /// What is staged is newer than what MongoDB has; where nothing is, MongoDB has all there is, or has lost it.
    private func content(of beat: StoredBeat) async throws(Problem) -> BeatContentDocument {
        if let staged = beat.staged { return try BeatContentDocument(stagedJSON: staged) }
        return try await contents.content(beat.core.id, notOlderThan: beat.contentVersion)
    }

    /// Commits, waits for the copies, and says what the beat has become, with the content that MongoDB shows now, and where the wait was in
    /// vain. Where nothing was written, the beat is read as its editor sees it.
    private func answer(
        _ id: EntityID, _ account: Account, _ commit: () async throws(Problem) -> WrittenBeat?
    ) async throws(Problem) -> Lookup {
        let (written, isShown) = try await watch.after(.beat, id, within: patience) { () throws(Problem) in
            let written = try await commit()
            let version = written?.core.version ?? 1
            try await self.notice.committed([Announcement(kind: .beat, id: id, version: version)])
            return (written, version)
        }
        guard let written else { return try await beats.beat(id, for: account, bypassingCache: true) }
        return try await beats.written(written, isShown: isShown, for: account)
    }
}
