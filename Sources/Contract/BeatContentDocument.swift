/// The content of a beat as it is staged in Postgres (JSON) on its way to MongoDB, originals included. Absent means unknown.
public struct BeatContentDocument: Codable, Sendable, Equatable {
    /// What is known of the music.
    public struct Metadata: Codable, Sendable, Equatable {
        /// Beats per minute.
        public var bpm: Double?
        /// As `MusicalKey` writes it.
        public var key: String?
        public var genre: String?
        public var mood: String?
        public var tags: [String]?
        /// Seconds.
        public var duration: Double?
        public var album: String?
        /// Loudness over time, from 0 to 255, at equal distances.
        public var waveform: [Int]?

        public init() {}
    }

    /// The preview that everybody may hear, and the original.
    public struct Audio: Codable, Sendable, Equatable {
        public var previewUrl: String?
        public var format: String?
        public var quality: String?
        /// Bytes of the original.
        public var fileSize: Int64?
        /// The original in the object store. Never in a public answer.
        public var originalId: String?
        /// The stems in the object store, by name. Never in a public answer.
        public var stems: [String: String]?

        public init(format: String?) { self.format = format }
    }

    /// The cover.
    public struct Artwork: Codable, Sendable, Equatable {
        public var thumbnailUrl: String?
        public var fullUrl: String?
        /// The cover's main colours, as `#FF6B6B`.
        public var colors: [String]?

        public init() {}
    }

    /// Who worked on it, with an account here or without. Says nothing of money: splits are in Postgres.
    public struct Credit: Codable, Sendable, Equatable {
        public var userId: String?
        public var role: String?
        public var creditedName: String?

        public init(role: String?, creditedName: String) {
            self.role = role
            self.creditedName = creditedName
        }
    }

    public var metadata: Metadata?
    public var audio: Audio?
    public var artwork: Artwork?
    public var collaborators: [Credit]?

    public init(metadata: Metadata? = nil, audio: Audio? = nil, artwork: Artwork? = nil, collaborators: [Credit]? = nil) {
        self.metadata = metadata
        self.audio = audio
        self.artwork = artwork
        self.collaborators = collaborators
    }
}
