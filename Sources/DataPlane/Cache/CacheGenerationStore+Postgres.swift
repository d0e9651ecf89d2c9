import Contract
import PostgresClient

/// The one row that says which generation of cached entries counts.
struct CacheGenerationStore: Sendable {
    let postgres: PostgresAccess
    private let timeout = Duration.seconds(1)

    /// Not one more: a database that was set back to an earlier time must not count a generation twice.
    private static let next = "generation + 1 + (random() * 1000)::bigint"
    private static let select = PostgresStatement<CacheGeneration>("SELECT generation, server FROM cache_generation", decode: generation)
    private static let end = PostgresStatement<CacheGeneration>(
        "UPDATE cache_generation SET generation = \(next) RETURNING generation, server", decode: generation)
    private static let replace = PostgresStatement<CacheGeneration>(
        """
        UPDATE cache_generation SET generation = \(next), server = $2 WHERE generation = $1 AND server <> $2
        RETURNING generation, server
        """, decode: generation)

    private static func generation(_ row: borrowing PostgresRow) throws(PostgresError) -> CacheGeneration {
        CacheGeneration(number: try row.int64(0), server: try row.text(1))
    }

    /// The generation that counts. Throws `storeUnavailable` or `overloaded`.
    func current() async throws(Problem) -> CacheGeneration {
        try Self.only(try await postgres.rows(Self.select, [], as: .system, within: timeout))
    }

    /// Ends the generation that counts, and answers the next. Throws `storeUnavailable` or `overloaded`.
    func endCurrent() async throws(Problem) -> CacheGeneration {
        try Self.only(try await postgres.rows(Self.end, [], as: .system, within: timeout))
    }

    /// Begins one on another server; nil where somebody has ended `generation` already. Throws `storeUnavailable` or `overloaded`.
    func replace(_ generation: CacheGeneration, server: String) async throws(Problem) -> CacheGeneration? {
        try await postgres.rows(Self.replace, [.int64(generation.number), .text(server)], as: .system, within: timeout).first
    }

    /// The migration has made the row, and nobody may remove it.
    private static func only(_ rows: [CacheGeneration]) throws(Problem) -> CacheGeneration {
        guard let row = rows.first else { throw .unexpected }
        return row
    }
}
