import Contract
import Testing

@Suite struct AddressBlockTests {
    @Test(arguments: [
        ("10.0.0.0/8", "10.255.3.4", true), ("10.0.0.0/8", "11.0.0.0", false), ("192.0.2.128/25", "192.0.2.129", true),
        ("192.0.2.128/25", "192.0.2.127", false), ("192.0.2.7", "192.0.2.7", true), ("192.0.2.7", "192.0.2.8", false),
        ("0.0.0.0/0", "203.0.113.9", true), ("0.0.0.0/0", "::1", false), ("2001:db8::/32", "2001:db8:ffff::1", true),
        ("2001:db8::/32", "2001:db9::1", false), ("::1", "::1", true), ("127.0.0.0/8", "::ffff:127.0.0.1", true),
    ])
    func aBlockHoldsTheAddressesThatShareItsBits(block: String, address: String, isInside: Bool) throws {
        let (block, address) = (try #require(AddressBlock(block)), try #require(ClientAddress(address)))
        #expect(block.contains(address) == isInside)
    }

    @Test(arguments: [
        "", "/", "10.0.0.0/", "10.0.0.0/33", "10.0.0.0/-1", "10.0.0.0/+8", "10.0.0.1/8", "10.0.0/8", "::/129", "localhost", "10.0.0.0/8/8",
        "fe80::1%eth0", " 10.0.0.0/8",
    ])
    func whatIsNoBlockIsRefused(text: String) {
        #expect(AddressBlock(text) == nil)
    }

    @Test func anAddressIsReadAsItIsWritten() {
        #expect(ClientAddress("192.0.2.1")?.bytes == [192, 0, 2, 1])
        #expect(ClientAddress("::ffff:192.0.2.1") == ClientAddress("192.0.2.1"))
        #expect(ClientAddress("2001:db8::1")?.bytes.count == 16)
        for text in ["", "192.0.2", "192.0.2.256", "192.0.2.1:80", "[::1]", "unknown"] { #expect(ClientAddress(text) == nil) }
    }
}
