import Contract
import MongoClient

/// The documents that a beat's state becomes. Pure.
enum BeatDocuments {
    static func fence(_ state: BeatState) -> BSONDocument {
        ["_id": .uuid(state.id.rawValue), "v": ["$lt": .int64(state.version)]]
    }

    /// Keeps the fence while a late delivery of an older version may still come; MongoDB removes it after a month.
    static func tombstone(_ state: BeatState) -> BSONDocument {
        [
            "_id": .uuid(state.id.rawValue), "v": .int64(state.version), "deleted": true,
            "deletedAt": .date(milliseconds: state.updatedAt.milliseconds),
        ]
    }

    /// A deleted beat is marked and keeps its content: whoever holds a licence goes on downloading what it is for.
    static func contentWrite(_ state: BeatState, _ content: BeatContentDocument?) -> MongoWrite {
        if let content { return put(state, document(state, content)) }
        if state.isDeleted {
            return .updateOne(filter: fence(state), update: ["$set": ["v": .int64(state.version), "deleted": true]], upsert: true)
        }
        // A document that is not there, or older than the content it should have, is a loss that an operator is to see: writing the version
        // to it would hide that.
        let filter: BSONDocument = [
            "_id": .uuid(state.id.rawValue), "v": ["$lt": .int64(state.version), "$gte": .int64(state.contentVersion)],
        ]
        // A mark that Postgres does not know is of a past that was taken back, by a restored backup.
        return .updateOne(filter: filter, update: ["$set": ["v": .int64(state.version)], "$unset": ["deleted": ""]])
    }

    /// Writes unless a version not older is there: MongoDB then says `duplicateKey`. There is nothing older than a first version, and
    /// an insert costs less than an upsert.
    private static func put(_ state: BeatState, _ document: BSONDocument) -> MongoWrite {
        state.version == 1 ? .insertOne(document) : .replaceOne(filter: fence(state), document, upsert: true)
    }

    /// As `put`, and keeps what is counted in the index and nowhere else, also through a time in which nobody may find the beat.
    static func indexWrite(_ state: BeatState, _ facts: SearchFacts) -> MongoWrite {
        let document = indexDocument(state, facts)
        if state.version == 1 { return .insertOne(document) }
        let popularity: BSONValue = state.isPublished ? ["$ifNull": ["$popularity", .double(0)]] : "$popularity"
        // Taken literally: a title may begin with a dollar sign.
        let merged: BSONValue = ["$mergeObjects": [["$literal": .document(document)], ["popularity": popularity]]]
        return .updateOne(filter: fence(state), update: pipeline(["$replaceWith": merged]), upsert: true)
    }

    /// An update of one stage, as the driver takes it: an array, which is a document with the keys 0, 1, ...
    static func pipeline(_ stage: BSONDocument) -> BSONDocument { ["0": .document(stage)] }

    /// The row of the search index: of a beat that nobody may find, a tombstone.
    static func indexDocument(_ state: BeatState, _ facts: SearchFacts) -> BSONDocument {
        state.isPublished ? index(state, facts) : tombstone(state)
    }

    static func document(_ state: BeatState, _ content: BeatContentDocument) -> BSONDocument {
        var document: BSONDocument = ["_id": .uuid(state.id.rawValue), "v": .int64(state.version)]
        if state.isDeleted { document.append("deleted", true) }
        if let metadata = content.metadata {
            var part: BSONDocument = [:]
            part.append("bpm", optional: metadata.bpm.map { .double($0) })
            part.append("key", optional: metadata.key.map { .string($0) })
            part.append("genre", optional: metadata.genre.map { .string($0) })
            part.append("mood", optional: metadata.mood.map { .string($0) })
            part.append("tags", optional: metadata.tags.map { .array($0.map { .string($0) }) })
            part.append("duration", optional: metadata.duration.map { .double($0) })
            part.append("album", optional: metadata.album.map { .string($0) })
            part.append("waveform", optional: metadata.waveform.map { .array($0.map { .int32(Int32(clamping: $0)) }) })
            document.append("metadata", .document(part))
        }
        if let audio = content.audio {
            var part: BSONDocument = [:]
            part.append("previewUrl", optional: audio.previewUrl.map { .string($0) })
            part.append("format", optional: audio.format.map { .string($0) })
            part.append("quality", optional: audio.quality.map { .string($0) })
            part.append("fileSize", optional: audio.fileSize.map { .int64($0) })
            part.append("originalId", optional: audio.originalId.flatMap { EntityID($0) }.map { .uuid($0.rawValue) })
            part.append("stems", optional: audio.stems.map { .document(stems($0)) })
            document.append("audio", .document(part))
        }
        if let artwork = content.artwork {
            var part: BSONDocument = [:]
            part.append("thumbnailUrl", optional: artwork.thumbnailUrl.map { .string($0) })
            part.append("fullUrl", optional: artwork.fullUrl.map { .string($0) })
            part.append("colors", optional: artwork.colors.map { .array($0.map { .string($0) }) })
            document.append("artwork", .document(part))
        }
        if let credits = content.collaborators { document.append("collaborators", .array(credits.map { .document(credit($0)) })) }
        return document
    }

    private static func stems(_ stems: [String: String]) -> BSONDocument {
        BSONDocument(stems.sorted { $0.key < $1.key }.compactMap { name, id in EntityID(id).map { (name, .uuid($0.rawValue)) } })
    }

    private static func credit(_ credit: BeatContentDocument.Credit) -> BSONDocument {
        var part: BSONDocument = [:]
        part.append("userId", optional: credit.userId.flatMap { EntityID($0) }.map { .uuid($0.rawValue) })
        part.append("role", optional: credit.role.map { .string($0) })
        part.append("creditedName", optional: credit.creditedName.map { .string($0) })
        return part
    }

    /// What lists are sorted by; as much of it as a cursor holds, whatever its letters became.
    static func titleKey(_ title: String) -> String { String(String.UnicodeScalarView(title.searchKey.unicodeScalars.prefix(255))) }

    private static func index(_ state: BeatState, _ facts: SearchFacts) -> BSONDocument {
        var document: BSONDocument = [
            "_id": .uuid(state.id.rawValue), "v": .int64(state.version), "title": .string(state.title),
            "titleKey": .string(titleKey(state.title)), "artistName": .string(state.artistName),
            "creatorId": .uuid(state.creator.rawValue),
        ]
        document.append("genre", optional: facts.genre.map { .string($0) })
        document.append("genreKey", optional: facts.genre.map { .string($0.searchKey) })
        document.append("mood", optional: facts.mood.map { .string($0) })
        document.append("moodKey", optional: facts.mood.map { .string($0.searchKey) })
        if !facts.tags.isEmpty { document.append("tags", .array(facts.tags.map { .string($0.searchKey) })) }
        document.append(
            "scored",
            [
                "title": .string(SearchWords.text(state.title)), "artist": .string(SearchWords.text(state.artistName)),
                "tags": .string(SearchWords.text(facts.tags.joined(separator: " "))), "genre": .string(SearchWords.text(facts.genre ?? "")),
            ])
        document.append(
            "words",
            .array(SearchWords.words(of: [state.title, state.artistName] + facts.tags + [facts.genre ?? ""]).map { .string($0) }))
        document.append("bpm", optional: facts.bpm.map { .double($0) })
        document.append("key", optional: facts.key.map { .string($0) })
        // Lists filter and sort by prices in one currency; a beat that is priced in another counts there as one without a price.
        if let price = state.price, state.currency == Currency.usd.code { document.append("price", .int64(price)) }
        document.append("createdAt", .date(milliseconds: state.createdAt.milliseconds))
        document.append("isFeatured", .bool(state.isFeatured))
        document.append("popularity", .double(0))
        return document
    }
}

extension BSONDocument {
    fileprivate mutating func append(_ key: String, optional value: BSONValue?) {
        if let value { append(key, value) }
    }
}
