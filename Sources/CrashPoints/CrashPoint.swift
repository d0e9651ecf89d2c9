/// Where tests kill the process, each time to see that what it was at is complete afterwards or undone, and never torn.
///
/// `Tests/blackbox/70-crash-points.py` has a check for every one of them, and fails where one has none or is never reached.
public enum CrashPoint: String, CaseIterable, Sendable {
    // MARK: Writing a beat
    case creationBeforeCommit
    case creationAfterCommit
    case updateBeforeCommit
    case updateAfterCommit
    case publicationBeforeCommit
    case publicationAfterCommit
    case retirementBeforeCommit
    case retirementAfterCommit

    // MARK: Requests that have a key
    case keyAfterClaim
    case keyAfterMarking
    case keyBeforeSettling

    // MARK: Delivering what was written
    case relayAfterClaim
    case relayAfterReadingState
    case relayAfterHistory
    case relayBetweenContentAndIndex
    case relayAfterMongo
    case relayAfterUnstaging
    case relayAfterAnnouncement
    case relayBetweenKinds
    case relayAfterMarkingBeats
    case relayAfterForgettingBeats
    case relayAfterHidingBeats
    case relayBeforeRefusal
    case relayAfterRefusal
    case deadLettersAfterChange

    // MARK: Accounts
    case registrationBeforeCommit
    case registrationAfterCommit
    case refreshAfterRotation

    // MARK: Mails
    case mailBeforeSending
    case mailAfterSending
    case mailAfterMarking

    // MARK: The audit log
    case sealingBeforeCommit

    // MARK: Commands
    case importInAudio
    case importInChunk
    case importAfterChunk
    case importBeforeDrain
    case repairAfterEnqueueing
    case rebuildWhileFilling
    case rebuildBeforeSwap
    case rebuildAfterSwap
    case migrationBetweenFiles
    case migrationBeforeRecord
}
