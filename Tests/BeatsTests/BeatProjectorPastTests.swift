import Contract
import JSON
import MongoClient
import Testing

@testable import Beats

/// What stands behind a fence is taken for the version that Postgres has, for an older one, or for one of a past that Postgres has lost.
@Suite struct BeatProjectorPastTests {
    private static func state(_ version: Int64, title: String = "Beat", isDeleted: Bool = false, staged: Int? = nil) -> BeatState {
        let id = EntityID(rawValue: 7)
        return BeatState(
            id: id, version: version, isPublished: !isDeleted, isDeleted: isDeleted, title: title, creator: id, artistName: "Ana",
            currency: "USD", price: nil, isFeatured: false, createdAt: Timestamp(milliseconds: 1), updatedAt: Timestamp(milliseconds: 2),
            staged: staged.map { #"{"metadata":{"bpm":\#($0)}}"# })
    }

    /// What a delivery of `state` makes, whose content has `bpm`.
    private static func copies(_ state: BeatState, bpm: Int) throws -> (content: BSONDocument, row: BSONDocument) {
        let content = try BeatContentDocument(stagedJSON: #"{"metadata":{"bpm":\#(bpm)}}"#)
        return (BeatDocuments.document(state, content), BeatDocuments.indexDocument(state, SearchFacts(content)))
    }

    private static func standing(
        of state: BeatState, among copies: (content: BSONDocument, row: BSONDocument)
    ) -> BeatProjector.Standing {
        BeatProjector.standing(of: state, content: copies.content, row: copies.row)
    }

    @Test func whatADeliveryOfTheSameStateMadeIsDelivered() throws {
        for state in [Self.state(4), Self.state(4, staged: 90), Self.state(4, isDeleted: true)] {
            #expect(Self.standing(of: state, among: try Self.copies(state, bpm: 90)) == .delivered)
        }
    }

    @Test func theSameNumberWithAnotherContentTitleOrStandingIsOfAnotherPast() throws {
        let copies = try Self.copies(Self.state(4), bpm: 90)
        for state in [Self.state(4, staged: 91), Self.state(4, title: "New"), Self.state(4, isDeleted: true)] {
            #expect(Self.standing(of: state, among: copies) == .unknown(version: 4))
        }
    }

    @Test func aNewerVersionThanPostgresHasIsOfAnotherPastInEitherCollection() throws {
        let (old, new) = (try Self.copies(Self.state(4), bpm: 90), try Self.copies(Self.state(6), bpm: 90))
        #expect(Self.standing(of: Self.state(4), among: new) == .unknown(version: 6))
        #expect(Self.standing(of: Self.state(4), among: (old.content, new.row)) == .unknown(version: 6))
    }

    @Test func anOlderCopyOrNoneSaysNothing() throws {
        let copies = try Self.copies(Self.state(4), bpm: 90)
        #expect(Self.standing(of: Self.state(5, title: "New"), among: copies) == .older)
        #expect(BeatProjector.standing(of: Self.state(4, title: "New"), content: nil, row: copies.row) == .older)
    }

    @Test func whatIsCountedInTheIndexAndARowThatIsStillToComeMakeNoDifference() throws {
        var (content, row) = try Self.copies(Self.state(4), bpm: 90)
        row["popularity"] = .double(3)
        #expect(Self.standing(of: Self.state(4), among: (content, row)) == .delivered)
        content["v"] = .int64(5)
        #expect(Self.standing(of: Self.state(5), among: (content, row)) == .delivered)
    }
}
