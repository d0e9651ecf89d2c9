import Testing

@testable import MongoClient

@Suite struct ConfigurationTests {
    private func complete(
        _ uri: String, _ change: (inout MongoConfiguration) -> Void = { _ in }
    ) throws(MongoError) -> ConnectionString {
        var configuration = MongoConfiguration(uri: uri, database: "test")
        change(&configuration)
        return try .complete(configuration)
    }

    @Test func acknowledgedMeansDurableAndNothingWaitsForLong() throws {
        let string = try complete("mongodb://127.0.0.1:1/")
        let numbers = ["serverselectiontimeoutms", "sockettimeoutms", "connecttimeoutms", "maxpoolsize"].map { string.number($0) }
        #expect(numbers == [1000, 2000, 1000, 2])
        let flags = ["retrywrites", "retryreads", "serverselectiontryonce"].map { string.flag($0) }
        #expect(flags == [true, true, false])
        #expect(string.writeConcern() == (isMajority: true, isJournaled: true))
    }

    @Test func theConnectionStringWinsExceptOverThePoolSize() throws {
        let string = try complete("mongodb://127.0.0.1:1/?w=1&journal=false&socketTimeoutMS=77&maxPoolSize=9&retryWrites=false")
        let numbers = ["sockettimeoutms", "maxpoolsize"].map { string.number($0) }
        #expect(numbers == [77, 2])
        #expect(string.flag("retrywrites") == false)
        #expect(string.writeConcern() == (isMajority: false, isJournaled: false))
    }

    @Test func unusableSettingsAreSaidWithoutSecrets() {
        for uri in ["", "postgres://x", "mongodb://user:se cret@/"] {
            let error = #expect(throws: MongoError.self) { _ = try complete(uri) }
            #expect(error?.code == .invalidConfiguration)
            #expect(error?.description == "the MongoDB settings are unusable")
        }
        #expect(throws: MongoError.self) { _ = try complete("mongodb://127.0.0.1/") { $0.threads = 0 } }
        #expect(throws: MongoError.self) { _ = try complete("mongodb://127.0.0.1/") { $0.queueLimit = 0 } }
        #expect(throws: MongoError.self) { _ = try complete("mongodb://127.0.0.1/") { $0.database = "" } }
        #expect(throws: MongoError.self) { _ = try complete("mongodb://127.0.0.1/") { $0.socketTimeout = .zero } }
    }

    @Test(arguments: ["primaryPreferred", "secondary", "secondaryPreferred", "nearest"])
    func readsGoToThePrimaryAlone(preference: String) throws {
        _ = try complete("mongodb://127.0.0.1/?readPreference=primary")
        #expect(throws: MongoError.self) { _ = try complete("mongodb://127.0.0.1/?readPreference=\(preference)") }
    }

    @Test(
        arguments: [
            (11000, .duplicateKey), (121, .validation), (50, .timeout), (202, .timeout), (10107, .unavailable), (91, .unavailable),
            (189, .unavailable), (43, .unavailable), (133, .unavailable), (13, .server(code: 13)),
        ] as [(Int32, MongoError.Code)])
    func serverNumbersHaveMeanings(_ number: Int32, _ code: MongoError.Code) {
        #expect(MongoError.Code(serverCode: number) == code)
    }

    @Test func aDescriptionHoldsNothingOfTheServersText() {
        let error = MongoError(.duplicateKey, detail: "E11000 dup key: { email: \"a@b\" }")
        #expect("\(error)" == "a document with this key exists already")
        #expect(error.debugDescription.contains("a@b"))
        #expect(MongoError(.unavailable).isUnavailable && MongoError(.timeout).isUnavailable && !error.isUnavailable)
    }

    @Test func aBoundIsNeverRoundedDown() {
        #expect(Duration.microseconds(1).milliseconds == 1)
        #expect(Duration.milliseconds(1500).milliseconds == 1500)
        #expect(Duration.seconds(Int64.max / 2).milliseconds == .max)
    }
}
