import Contract
import RateLimits
import Testing

@testable import Gateway

@Suite struct LimitSettingsTests {
    @Test func whatIsNotSetIsAsTheRulesHaveIt() throws {
        #expect(try Settings(environment: [:]).limitRules() == LimitRules())
    }

    @Test func everyClassThatIsCountedCanBeSet() throws {
        #expect(Settings.limitKeys.map(\.rateClass) == RateClass.allCases.filter { $0 != .unlimited })
        for (key, rateClass) in Settings.limitKeys {
            let rules = try Settings(flags: [key: "7/11"], environment: [:]).limitRules()
            #expect(rules.text(rateClass).split(separator: " ").allSatisfy { $0.hasSuffix("=7/11") }, "\(key)")
        }
        let rules = try Settings(environment: ["KABABEAT_LIMITS_SIGNIN": "subject=3/60", "KABABEAT_LIMITS_ENABLED": "false"]).limitRules()
        #expect(rules.text(.signIn) == "address=60/300 account=30/300 key=30/300 subject=3/60" && !rules.isEnabled)
    }

    @Test func exemptAddressesStandWithBlanksBetween() throws {
        let rules = try Settings(environment: ["KABABEAT_LIMITS_EXEMPT": "127.0.0.0/8 ::1"]).limitRules()
        #expect(rules.exempt == [AddressBlock("127.0.0.0/8"), AddressBlock("::1")].compactMap { $0 })
    }

    @Test(arguments: [
        ("READ", "600"), ("SIGNIN", "0/1"), ("WRITE", "host=1/1"), ("EXEMPT", "localhost"), ("EXEMPT", "10.0.0.1/8"), ("ENABLED", "no"),
    ])
    func whatCannotBeReadKeepsTheGatewayFromStarting(name: String, value: String) throws {
        #expect(throws: SettingsError.self) { try Settings(environment: ["KABABEAT_LIMITS_\(name)": value]) }
    }
}
