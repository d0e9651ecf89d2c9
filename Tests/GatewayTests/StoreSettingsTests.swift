import PostgresClient
import Testing

@testable import Gateway

@Suite struct StoreSettingsTests {
    private func settings(_ host: String, _ port: String) throws -> Settings {
        try Settings(environment: ["KABABEAT_POSTGRES_HOST": host, "KABABEAT_POSTGRES_PORT": port])
    }

    @Test(arguments: [
        ("db", "6000", ["db:6000"]), ("db1,db2", "6000", ["db1:6000", "db2:6000"]), ("db1, db2", "6000, 6001", ["db1:6000", "db2:6001"]),
        ("::1,/run/postgresql", "6000", ["::1:6000", "/run/postgresql:6000"]),
    ])
    func everyAddressOfPostgresHasAPort(host: String, port: String, servers: [String]) throws {
        for isOwner in [false, true] {
            let configuration = try settings(host, port).postgres(asOwner: isOwner)
            let all = [PostgresConfiguration.Server(host: configuration.host, port: configuration.port)] + configuration.standbys
            #expect(all.map { "\($0.host):\($0.port)" } == servers)
        }
    }

    @Test(arguments: [
        ("", "6000"), ("db1,", "6000"), ("db", ""), ("db", "0"), ("db", "65536"), ("db", "6000,6001"), ("db1,db2,db3", "6000,6001"),
        ("db1,db2", "6000,"),
    ])
    func addressesAndPortsThatDoNotPairAreRefused(host: String, port: String) {
        #expect(throws: SettingsError.self) { try settings(host, port) }
    }
}
