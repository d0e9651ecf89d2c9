import Contract
import Testing

@testable import Gateway

@Suite struct StoreAddressTests {
    private static func address(_ store: StoreName, _ name: String, _ value: String) throws -> StoreAddress {
        StoreAddress(store, try Settings(environment: ["KABABEAT_\(name)": value]))
    }

    @Test(arguments: [
        ("mongodb://127.0.0.1:17017/?replicaSet=rs0", "MongoDB at 127.0.0.1:17017"),
        ("mongodb://ana:s3cret@a:1,b:2/?authSource=admin", "MongoDB at a:1,b:2"),
        ("mongodb+srv://ana:s3cret@cluster.example.org", "MongoDB at cluster.example.org"),
        // Passwords that nobody has percent-encoded: the driver takes none of these, and nothing of them is shown.
        ("mongodb://ana:s3c@ret@a:1/", "MongoDB at a:1"), ("mongodb://ana:s3c/ret@a:1/", "MongoDB"),
        ("mongodb://ana:s3c?ret@a:1", "MongoDB"),
    ])
    func mongoIsNamedWithoutItsPassword(_ uri: String, _ place: String) throws {
        let address = try Self.address(.mongo, "MONGO_URI", uri)
        #expect(address.place == place && address.variables == "KABABEAT_MONGO_URI")
    }

    @Test func everyAddressOfPostgresIsNamed() throws {
        #expect(try Self.address(.postgres, "POSTGRES_HOST", "db1,::1").place == "PostgreSQL at db1:15432, [::1]:15432")
        #expect(try Self.address(.redis, "REDIS_HOST", "cache").place == "Redis at cache:16379")
    }
}
