/// Rows of the outbox that relays of their own deliver, so that what is slow by nature keeps nothing else waiting.
public struct OutboxLane: Sendable {
    /// Which rows: a condition on `outbox`, word for word that of the lane's index, or implying it: `sql/086_outbox_lanes.sql` and
    /// `sql/143_creator_standing.sql`.
    var condition: String
    /// Rows under one lease.
    var batch: Int64
    /// How long the rows of a relay that died stay out of reach of the others. A delivery must take less.
    var lease: Duration
    /// Attempts that one aggregate's own refusals may take before the row becomes a dead letter.
    var attempts: Int64
    /// The wait after the first refusal. It doubles with each, up to `longestWait`.
    var firstWait: Duration
    var longestWait: Duration
    /// The wait for rows that a store's outage kept from being delivered, and how often a relay that finds nothing looks again.
    var postponement: Duration
    var idle: Duration
    /// From the beginning of one claim to that of the next, at least, while there is something to deliver: what is written meanwhile shares
    /// a delivery, which costs much the same for one row as for twenty. Whatever is written after a pause of its own is claimed at once.
    var pace: Duration
    /// How long a relay that was not woken leaves rows to the one of whoever wrote them, which was. Two that share what one can carry make
    /// twice as many deliveries, and a writer hears at once only of what his own gateway delivers.
    var courtesy: Duration
    /// The wait of a relay whose store does not answer.
    var outage: Duration
    /// Whether a delivery that happens twice is harmless. What a relay notes of it then need neither be on the disk nor on a standby
    /// before it goes on: should it be lost, the row is delivered once more.
    var mayRepeat: Bool

    /// Copies of what Postgres owns, and caches: whatever has no lane of its own. Eight attempts take about a minute.
    public static let copies = OutboxLane(
        condition: "aggregate_type <> 'mail' AND aggregate_type <> 'standing'", batch: 500, lease: .seconds(10), attempts: 8,
        firstWait: .milliseconds(250),
        longestWait: .seconds(60), postponement: .seconds(2), idle: .milliseconds(200),
        pace: .milliseconds(20), courtesy: .milliseconds(100), outage: .seconds(1), mayRepeat: true)

    /// What is taken from caches and lists at once for a creator's sake, of however many beats: a creator at a time, while other writes go
    /// their way.
    public static let standings = OutboxLane(
        condition: "aggregate_type = 'standing'", batch: 1, lease: .seconds(10), attempts: 8, firstWait: .milliseconds(250),
        longestWait: .seconds(60), postponement: .seconds(2), idle: .milliseconds(500),
        pace: .zero, courtesy: .milliseconds(100), outage: .seconds(1), mayRepeat: true)

    /// The same lane with another lease.
    public func leased(for lease: Duration) -> OutboxLane {
        var lane = self
        lane.lease = lease
        return lane
    }

    /// Mails. Servers ask strangers to come back after minutes (greylisting), so thirty attempts take a day. The lease outlasts all
    /// that a batch may take, or a second relay would send a mail again.
    public static let mails = OutboxLane(
        condition: "aggregate_type = 'mail'", batch: 16, lease: .seconds(150), attempts: 30, firstWait: .seconds(5),
        longestWait: .seconds(3600), postponement: .seconds(5), idle: .seconds(1), pace: .zero,
        courtesy: .zero, outage: .seconds(5), mayRepeat: false)
}
