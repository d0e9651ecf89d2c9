// swift-tools-version: 6.2
// The map of the house: a target that is not given a store here cannot reach it.

import PackageDescription

let settings: [SwiftSetting] = [
    .swiftLanguageMode(.v6),
    .treatAllWarnings(as: .error),
    // https://github.com/swiftlang/swift-evolution/blob/main/proposals/0335-existential-any.md
    .enableUpcomingFeature("ExistentialAny"),
    // https://github.com/swiftlang/swift-evolution/blob/main/proposals/0444-member-import-visibility.md
    .enableUpcomingFeature("MemberImportVisibility"),
]

func library(_ name: String, _ dependencies: [Target.Dependency] = []) -> Target {
    .target(name: name, dependencies: dependencies, swiftSettings: settings)
}

func tests(_ name: String, _ dependencies: [Target.Dependency]) -> Target {
    .testTarget(name: name, dependencies: dependencies, swiftSettings: settings)
}

let asyncHTTPClient = Target.Dependency.product(name: "AsyncHTTPClient", package: "async-http-client")
let argumentParser = Target.Dependency.product(name: "ArgumentParser", package: "swift-argument-parser")
let configuration = Target.Dependency.product(name: "Configuration", package: "swift-configuration")
let crypto = Target.Dependency.product(name: "Crypto", package: "swift-crypto")
let hummingbird = Target.Dependency.product(name: "Hummingbird", package: "hummingbird")
let hummingbirdCore = Target.Dependency.product(name: "HummingbirdCore", package: "hummingbird")
let hummingbirdTLS = Target.Dependency.product(name: "HummingbirdTLS", package: "hummingbird")
let httpTypes = Target.Dependency.product(name: "HTTPTypes", package: "swift-http-types")
let jwtKit = Target.Dependency.product(name: "JWTKit", package: "jwt-kit")
let logging = Target.Dependency.product(name: "Logging", package: "swift-log")
let nioCore = Target.Dependency.product(name: "NIOCore", package: "swift-nio")
let nioPosix = Target.Dependency.product(name: "NIOPosix", package: "swift-nio")
let nioSSL = Target.Dependency.product(name: "NIOSSL", package: "swift-nio-ssl")
let nioHTTP1 = Target.Dependency.product(name: "NIOHTTP1", package: "swift-nio")
let nioHTTPTypesHTTP1 = Target.Dependency.product(name: "NIOHTTPTypesHTTP1", package: "swift-nio-extras")
let nioHTTPTypes = Target.Dependency.product(name: "NIOHTTPTypes", package: "swift-nio-extras")
let unixSignals = Target.Dependency.product(name: "UnixSignals", package: "swift-service-lifecycle")
let serviceLifecycle = Target.Dependency.product(name: "ServiceLifecycle", package: "swift-service-lifecycle")

let package = Package(
    name: "kababeat",
    products: [
        .executable(name: "kababeat", targets: ["kababeat"]),
        .executable(name: "drivercheck", targets: ["drivercheck"]),
    ],
    dependencies: [
        .package(url: "https://github.com/apple/swift-argument-parser", from: "1.8.0"),
        .package(url: "https://github.com/apple/swift-configuration", from: "1.4.0", traits: []),
        .package(url: "https://github.com/apple/swift-crypto", from: "4.5.0"),
        .package(url: "https://github.com/apple/swift-http-types", from: "1.8.0", traits: []),
        .package(url: "https://github.com/apple/swift-log", from: "1.16.0"),
        .package(url: "https://github.com/apple/swift-nio", from: "2.101.0"),
        .package(url: "https://github.com/apple/swift-nio-extras", from: "1.35.0"),
        .package(url: "https://github.com/apple/swift-nio-ssl", from: "2.37.0"),
        .package(url: "https://github.com/hummingbird-project/hummingbird", from: "2.28.0", traits: []),
        .package(url: "https://github.com/swift-server/async-http-client", from: "1.37.0"),
        .package(url: "https://github.com/swift-server/swift-service-lifecycle", from: "2.13.0"),
        .package(url: "https://github.com/vapor/jwt-kit", from: "5.7.0"),
    ],
    targets: [
        // MARK: C, as the system has it
        .systemLibrary(name: "CEpoll"),
        .systemLibrary(name: "CLibPQ", pkgConfig: "libpq", providers: [.apt(["libpq-dev"])]),
        .systemLibrary(name: "CMongoC", pkgConfig: "libmongoc-1.0", providers: [.apt(["libmongoc-dev"])]),
        .systemLibrary(name: "CHiredis", pkgConfig: "hiredis", providers: [.apt(["libhiredis-dev"])]),
        .systemLibrary(name: "CCrypt", pkgConfig: "libcrypt", providers: [.apt(["libcrypt-dev"])]),

        // MARK: Clients: the async bridge over each C driver, no feature's knowledge
        library("Threads"),
        library("Reactor", ["CEpoll", "Threads"]),
        library("PostgresClient", ["CLibPQ", "Reactor"]),
        library("MongoClient", ["CMongoC", "Threads"]),
        library("RedisClient", ["CHiredis", "Reactor"]),

        // MARK: Nouns, rules and bytes, no I/O
        library("Contract"),
        library("JSON", ["Contract"]),

        // MARK: Where tests kill the process; nothing of it is in a release build
        .target(
            name: "CrashPoints", swiftSettings: settings + [.define("CRASH_POINTS", .when(configuration: .debug))]),

        // MARK: What every feature stands on
        library("DataPlane", ["Contract", "CrashPoints", "JSON", "MongoClient", "PostgresClient", "RedisClient", nioCore]),
        library(
            "HTTPAPI",
            [
                "Contract", "JSON", crypto, hummingbirdCore, hummingbirdTLS, httpTypes, logging, nioCore, nioHTTP1, nioHTTPTypes,
                nioHTTPTypesHTTP1, serviceLifecycle,
            ]),
        library("Observability", ["Contract", "JSON", logging]),
        library("Schema", ["CrashPoints", "MongoClient", "PostgresClient"]),

        // MARK: What identity stands on: secrets, mails, limits; no feature's knowledge
        library("Credentials", ["CCrypt", "Contract", "Threads", crypto, jwtKit]),
        library("Mail", ["Contract", "CrashPoints", "Credentials", "DataPlane", "PostgresClient", logging, nioCore, nioPosix, nioSSL]),
        library("RateLimits", ["Contract", "RedisClient", crypto]),

        // MARK: Features: none imports another
        library("Audit", ["Contract", "CrashPoints", "DataPlane", "HTTPAPI", "JSON", "PostgresClient", crypto]),
        library("Beats", ["Contract", "CrashPoints", "DataPlane", "HTTPAPI", "JSON", "MongoClient", "PostgresClient", httpTypes, nioCore]),
        library(
            "Identity",
            [
                "Contract", "CrashPoints", "Credentials", "DataPlane", "HTTPAPI", "JSON", "Mail", "PostgresClient", asyncHTTPClient,
                crypto, httpTypes, jwtKit, nioCore, nioHTTP1,
            ]),
        library("Catalogue", ["Contract", "CrashPoints", "DataPlane", "JSON", "MongoClient", "PostgresClient", "Reactor"]),

        // MARK: Wiring and the command line
        library(
            "Gateway",
            [
                "Audit", "Beats", "Catalogue", "Contract", "CrashPoints", "Credentials", "DataPlane", "HTTPAPI", "Identity", "JSON", "Mail",
                "MongoClient", "Observability", "PostgresClient", "RateLimits", "Reactor", "RedisClient", "Schema", "Threads",
                configuration, httpTypes, logging, nioCore, nioPosix, serviceLifecycle, unixSignals,
            ]),
        .executableTarget(
            name: "kababeat", dependencies: ["CrashPoints", "Gateway", argumentParser], swiftSettings: settings),
        .executableTarget(
            name: "drivercheck", dependencies: ["MongoClient", "PostgresClient", "Reactor", "RedisClient"], swiftSettings: settings),

        // MARK: What the benchmark compares with; no part of the product
        .executableTarget(
            name: "benchbare", dependencies: [httpTypes, hummingbird, logging, nioCore], path: "benchmarks/bare", swiftSettings: settings),

        // MARK: Tests that need no server
        .target(name: "TestSupport", dependencies: ["Contract"], path: "Tests/TestSupport", swiftSettings: settings),
        tests("ContractTests", ["Contract", "TestSupport"]),
        tests("JSONTests", ["Contract", "JSON", "TestSupport"]),
        tests("DataPlaneTests", ["Contract", "DataPlane", "TestSupport", nioCore]),
        tests("AuditTests", ["Audit", "Contract", "PostgresClient", "TestSupport"]),
        tests("BeatsTests", ["Beats", "Contract", "DataPlane", "HTTPAPI", "JSON", "MongoClient", "TestSupport", nioCore]),
        tests("CatalogueTests", ["Catalogue", "Contract", "TestSupport"]),
        tests("MailTests", ["Contract", "Credentials", "Mail", "TestSupport", nioCore]),
        tests("ObservabilityTests", ["Contract", "Observability", logging]),
        tests("IdentityTests", ["Contract", "HTTPAPI", "Identity", "Mail", nioCore]),
        tests("CredentialsTests", ["Contract", "Credentials", crypto]),
        tests("GatewayTests", ["Contract", "Gateway", "HTTPAPI", "Mail", "RateLimits", logging, nioCore]),
        tests("HTTPAPITests", ["Contract", "HTTPAPI", "TestSupport", httpTypes, logging, nioCore, nioPosix, serviceLifecycle]),
        tests("PostgresClientTests", ["PostgresClient"]),
        tests("MongoClientTests", ["MongoClient"]),
        tests("RateLimitsTests", ["Contract", "RateLimits", "TestSupport"]),
        tests("ReactorTests", ["Reactor"]),
        tests("RedisClientTests", ["RedisClient"]),

        // MARK: Tests against the real stores
        tests(
            "IntegrationTests",
            ["Contract", "MongoClient", "PostgresClient", "RateLimits", "Reactor", "RedisClient", "Schema", "TestSupport", "Threads"]),
        tests(
            "FeatureIntegrationTests",
            [
                "Audit", "Beats", "Catalogue", "Contract", "Credentials", "DataPlane", "Gateway", "HTTPAPI", "Identity", "JSON", "Mail",
                "MongoClient",
                "PostgresClient", "RateLimits", "Reactor", "RedisClient",
                "Schema",
                "TestSupport", asyncHTTPClient, httpTypes, nioCore, nioHTTP1,
            ]),
    ]
)
