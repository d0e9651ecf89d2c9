import Testing

@testable import PostgresClient

@Suite struct PostgresErrorTests {
    private let error = PostgresError(
        .server(sqlState: "23505"), "Key (email)=(a@b.c) already exists", constraint: "users_email_key", sql: "INSERT INTO users")

    @Test("The description holds no SQL, no value and nothing the server said; the debug description does")
    func descriptions() {
        #expect(error.description == "postgres: error 23505 (query)")
        #expect("\(error)" == error.description)
        #expect(error.debugDescription.contains("a@b.c") && error.debugDescription.contains("INSERT INTO users"))
    }

    @Test("The violated constraint is named")
    func constraint() {
        #expect(error.constraint == "users_email_key")
        #expect(error.about("other").constraint == "users_email_key")
    }

    @Test(
        "Only what certainly did nothing may be repeated",
        arguments: [
            ("40001", true, false), ("40P01", true, false), ("55P03", true, false), ("53300", true, true), ("57P03", true, true),
            ("25006", true, true), ("57P01", false, true), ("08006", false, true), ("57014", false, false), ("23505", false, false),
            ("42P01", false, false),
        ])
    func classes(sqlState: String, isRetriable: Bool, isUnavailable: Bool) {
        let error = PostgresError(.server(sqlState: sqlState))
        #expect(error.isRetriable == isRetriable)
        #expect(error.isUnavailable == isUnavailable)
    }

    @Test(
        "Codes without an answer of the server",
        arguments: [
            (PostgresError.Code.connection, false, true), (.timeout, false, true), (.queueFull, true, true), (.shutdown, false, true),
            (.commitUnknown, false, true), (.cancelled, false, false), (.decoding, false, false), (.protocolViolation, false, false),
        ])
    func codes(code: PostgresError.Code, isRetriable: Bool, isUnavailable: Bool) {
        #expect(PostgresError(code).isRetriable == isRetriable)
        #expect(PostgresError(code).isUnavailable == isUnavailable)
    }
}

@Suite struct PostgresConfigurationTests {
    @Test("A connection string is read, and a malformed one refused")
    func connectionString() throws {
        let configuration = try #require(PostgresConfiguration(connectionString: "host=db port=6000 user=me password=a=b dbname=beats"))
        #expect(configuration.host == "db" && configuration.port == 6000 && configuration.user == "me")
        #expect(configuration.password == "a=b" && configuration.database == "beats")
        for malformed in ["host", "port=x", "port=70000", "colour=red"] {
            #expect(PostgresConfiguration(connectionString: malformed) == nil)
        }
    }

    @Test("Leases never take every connection of a pool, unless it has but one")
    func exclusiveLimit() {
        func limit(_ connections: Int) -> Int {
            PostgresConfiguration(host: "h", port: 1, user: "u", password: "", database: "d", connections: connections).exclusiveLimit
        }
        #expect(limit(1) == 1 && limit(2) == 1 && limit(4) == 3)
    }

    @Test("A resolved name goes along with its addresses, for the certificate check; a directory has none")
    func endpoints() {
        let configuration = PostgresConfiguration(host: "db", port: 1, user: "u", password: "", database: "d")
        func parameters(_ endpoints: (String, Int, String)...) -> [String: String] {
            let endpoints = endpoints.map { PostgresConfiguration.Endpoint(host: $0.0, port: $0.1, address: $0.2) }
            return Dictionary(uniqueKeysWithValues: configuration.parameters(endpoints))
        }
        let named = parameters(("db", 1, "10.0.0.1"), ("db", 1, "10.0.0.2"), ("::1", 2, "::1"))
        #expect(named["host"] == "db,db,::1" && named["port"] == "1,1,2" && named["hostaddr"] == "10.0.0.1,10.0.0.2,::1")
        let local = parameters(("/run/postgresql", 1, ""))
        #expect(local["host"] == "/run/postgresql" && local["hostaddr"] == nil)
    }

    @Test("Only a primary is connected to, however many servers there are")
    func primaryOnly() {
        var configuration = PostgresConfiguration(host: "a", port: 1, user: "u", password: "", database: "d")
        configuration.standbys = [.init(host: "b", port: 2)]
        #expect(configuration.servers.map(\.host) == ["a", "b"] && configuration.servers.map(\.port) == [1, 2])
        #expect(Dictionary(uniqueKeysWithValues: configuration.parameters([]))["target_session_attrs"] == "primary")
    }
}
