import Contract
import Foundation
import MongoClient
import Testing

@testable import Beats

@Suite struct BeatDocumentsTests {
    private func state(version: Int64 = 7, isPublished: Bool = true, isDeleted: Bool = false, price: Int64? = 1000) -> BeatState {
        BeatState(
            id: Sample.id, version: version, isPublished: isPublished, isDeleted: isDeleted, title: "Summer VIBES", creator: Sample.creator,
            artistName: "Ana", currency: "USD", price: price, isFeatured: false, createdAt: Timestamp(milliseconds: 5),
            updatedAt: Timestamp(milliseconds: 6), staged: nil)
    }

    private let fence: BSONDocument = ["_id": .uuid(Sample.id.rawValue), "v": ["$lt": 7]]
    private let tombstone: BSONDocument = [
        "_id": .uuid(Sample.id.rawValue), "v": 7, "deleted": true, "deletedAt": .date(milliseconds: 6),
    ]

    private let kept: BSONValue = ["$ifNull": ["$popularity", .double(0)]]

    private func replaces(_ write: MongoWrite, _ document: BSONDocument) -> Bool {
        if case .replaceOne(filter: fence, document, upsert: true) = write { true } else { false }
    }

    /// Whether it writes `document` to the index, and keeps what is counted there.
    private func indexes(_ write: MongoWrite, _ document: BSONDocument, popularity: BSONValue) -> Bool {
        let merged: BSONValue = ["$mergeObjects": [["$literal": .document(document)], ["popularity": popularity]]]
        return if case .updateOne(filter: fence, update: ["0": ["$replaceWith": merged]], upsert: true) = write { true } else { false }
    }

    @Test func everyWriteStandsBehindTheFenceOfItsVersion() {
        var content = BeatContentDocument()
        content.metadata = .init()
        #expect(replaces(BeatDocuments.contentWrite(state(), content), ["_id": .uuid(Sample.id.rawValue), "v": 7, "metadata": [:]]))
        let known: BSONDocument = ["_id": .uuid(Sample.id.rawValue), "v": ["$lt": 7, "$gte": 3]]
        var edited = state()
        edited.contentVersion = 3
        let raised: BSONDocument = ["$set": ["v": 7], "$unset": ["deleted": ""]]
        guard case .updateOne(filter: known, update: raised, upsert: false) = BeatDocuments.contentWrite(edited, nil) else {
            Issue.record("a version that changed only the core must keep the content, and make none where it is lost or of the past")
            return
        }
    }

    @Test func aDeletedBeatIsMarkedAndKeepsItsContent() {
        var content = BeatContentDocument()
        content.metadata = .init()
        let marked: BSONDocument = ["_id": .uuid(Sample.id.rawValue), "v": 7, "deleted": true, "metadata": [:]]
        #expect(replaces(BeatDocuments.contentWrite(state(isDeleted: true), content), marked))
        let write = BeatDocuments.contentWrite(state(isDeleted: true), nil)
        guard case .updateOne(filter: fence, update: ["$set": ["v": 7, "deleted": true]], upsert: true) = write else {
            Issue.record("content that is there must stay there")
            return
        }
    }

    @Test func whatIsNotPublishedIsATombstoneInTheIndexAndKeepsItsContent() {
        #expect(indexes(BeatDocuments.indexWrite(state(isPublished: false), SearchFacts()), tombstone, popularity: "$popularity"))
        #expect(!replaces(BeatDocuments.contentWrite(state(isPublished: false), BeatContentDocument()), tombstone))
    }

    @Test func theIndexHoldsFoldedKeysBesideWhatIsShown() {
        var facts = SearchFacts()
        (facts.bpm, facts.key, facts.genre, facts.mood, facts.tags) = (90, "C major", "Hip Hop", "Chill", ["Late Night"])
        let expected: BSONDocument = [
            "_id": .uuid(Sample.id.rawValue), "v": 7, "title": "Summer VIBES", "titleKey": "summer vibes", "artistName": "Ana",
            "creatorId": .uuid(Sample.creator.rawValue), "genre": "Hip Hop", "genreKey": "hip hop", "mood": "Chill", "moodKey": "chill",
            "tags": ["late night"],
            "scored": ["title": "summer vibes", "artist": "ana", "tags": "late night", "genre": "hip hop"],
            "words": ["summer", "vibes", "ana", "late", "night", "hip", "hop"], "bpm": .double(90),
            "key": "C major", "price": 1000,
            "createdAt": .date(milliseconds: 5), "isFeatured": false, "popularity": .double(0),
        ]
        #expect(indexes(BeatDocuments.indexWrite(state(), facts), expected, popularity: kept))
    }

    @Test(arguments: ["ᾷ", "\u{FB03}", "İ", "𝄞", "\u{1D160}"])
    func aTitleOfAnyLettersIsSortedByAKeyThatACursorHolds(letter: String) {
        let key = BeatDocuments.titleKey(String(repeating: letter, count: 255))
        let cursor = Cursor(order: 1, value: .text(key), id: Sample.id)
        #expect(!key.isEmpty && Cursor(cursor.description) == cursor)
    }

    @Test func theKeysOfOneNameInTwoSpellingsAreOneAndARowWithAnotherIsNotTheSame() {
        var (composed, decomposed) = (SearchFacts(), SearchFacts())
        (composed.genre, composed.tags) = ("Caf\u{E9}", ["Σίσυφος"])
        (decomposed.genre, decomposed.tags) = ("CAFE\u{301}", ["ΣΊΣΥΦΟΣ"])
        let rows = [composed, decomposed].map { BeatDocuments.indexDocument(state(), $0) }
        for row in rows {
            #expect(row["genreKey"].map { BSONDocument([("", $0)]) } == ["": "caf\u{E9}"])
            #expect(row["tags"] == ["σίσυφοσ"])
        }
        var old = rows[0]
        old["genreKey"] = "cafe\u{301}"
        #expect(BeatDocuments.isRow(rows[0], like: rows[0]) && !BeatDocuments.isRow(old, like: rows[0]))
    }

    @Test func whatIsUnknownHasNoFieldInTheIndex() {
        let expected: BSONDocument = [
            "_id": .uuid(Sample.id.rawValue), "v": 7, "title": "Summer VIBES", "titleKey": "summer vibes", "artistName": "Ana",
            "creatorId": .uuid(Sample.creator.rawValue),
            "scored": ["title": "summer vibes", "artist": "ana", "tags": "", "genre": ""],
            "words": ["summer", "vibes", "ana"], "createdAt": .date(milliseconds: 5),
            "isFeatured": false, "popularity": .double(0),
        ]
        #expect(indexes(BeatDocuments.indexWrite(state(price: nil), SearchFacts()), expected, popularity: kept))
    }

    @Test func allThatContentHoldsReachesItsDocument() throws {
        let json = """
            {"metadata":{"bpm":90.5,"key":"C major","genre":"House","mood":"Dark","tags":["a"],"duration":1.25,"album":"X","waveform":[0,255]},
             "audio":{"previewUrl":"p","format":"opus","quality":"high","fileSize":9,"originalId":"01920000-0000-7000-8000-000000000001",
                      "stems":{"drums":"01920000-0000-7000-8000-000000000001","bass":"01920000-0000-7000-8000-000000000002"}},
             "artwork":{"thumbnailUrl":"t","fullUrl":"f","colors":["#FFFFFF"]},
             "collaborators":[{"userId":"01920000-0000-7000-8000-000000000002","role":"producer","creditedName":"Ana"},{"creditedName":"B"}]}
            """
        let content = try JSONDecoder().decode(BeatContentDocument.self, from: Data(json.utf8))
        let expected: BSONDocument = [
            "_id": .uuid(Sample.id.rawValue), "v": 7,
            "metadata": [
                "bpm": .double(90.5), "key": "C major", "genre": "House", "mood": "Dark", "tags": ["a"], "duration": .double(1.25),
                "album": "X", "waveform": [.int32(0), .int32(255)],
            ],
            "audio": [
                "previewUrl": "p", "format": "opus", "quality": "high", "fileSize": 9, "originalId": .uuid(Sample.id.rawValue),
                "stems": ["bass": .uuid(Sample.creator.rawValue), "drums": .uuid(Sample.id.rawValue)],
            ],
            "artwork": ["thumbnailUrl": "t", "fullUrl": "f", "colors": ["#FFFFFF"]],
            "collaborators": [
                ["userId": .uuid(Sample.creator.rawValue), "role": "producer", "creditedName": "Ana"], ["creditedName": "B"],
            ],
        ]
        #expect(replaces(BeatDocuments.contentWrite(state(), content), expected))
        #expect(SearchFacts(content) == expected.asBytes.withView { SearchFacts($0) })
        // What an edit starts from, and keeps.
        #expect(content == expected.asBytes.withView { BeatDraftContentStore.read($0) })
    }
}
