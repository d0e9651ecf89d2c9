import Crypto
import Foundation

/// The passwords that everybody tries first, as a sorted list of 64-bit fingerprints: a fifth of a megabyte for 20,000 of them.
public struct CommonPasswords: Sendable {
    /// Why a list cannot be used.
    public enum LoadError: Error, Sendable, CustomStringConvertible {
        case unreadable(path: String)
        case tooFew(path: String, count: Int)

        public var description: String {
            switch self {
            case .unreadable(let path): "the list of common passwords \(path) cannot be read; it has one password a line, in UTF-8"
            case .tooFew(let path, let count):
                "the list of common passwords \(path) has only \(count) of 8 characters or more; \(CommonPasswords.least) are needed"
            }
        }
    }

    /// OWASP ASVS 5.0, 6.2.4: the 3,000 most common ones that the rules would let pass otherwise.
    static let least = 3000

    private let fingerprints: [UInt64]

    /// No list: nothing is common.
    public static let none = CommonPasswords([])

    /// Reads a file with one password a line; lines after `#!comment` are skipped, and so are those too short to be chosen anyway.
    public init(path: String) throws(LoadError) {
        guard let data = FileManager.default.contents(atPath: path), let text = String(validating: data, as: UTF8.self) else {
            throw .unreadable(path: path)
        }
        self.init(text.split(whereSeparator: \.isNewline).filter { !$0.hasPrefix("#!comment") }.map(String.init))
        guard fingerprints.count >= Self.least else { throw .tooFew(path: path, count: fingerprints.count) }
    }

    init(_ passwords: [String]) {
        let usable = passwords.filter { $0.unicodeScalars.count >= PasswordRules.leastCharacters }
        fingerprints = Set(usable.map(Self.fingerprint)).sorted()
    }

    /// Whether the list has `password`, in any case.
    public func contains(_ password: String) -> Bool {
        let wanted = Self.fingerprint(password)
        var (low, high) = (0, fingerprints.count)
        while low < high {
            let middle = (low + high) / 2
            if fingerprints[middle] < wanted { low = middle + 1 } else { high = middle }
        }
        return low < fingerprints.count && fingerprints[low] == wanted
    }

    private static func fingerprint(_ password: String) -> UInt64 {
        SHA256.hash(data: Array(password.lowercased().utf8)).prefix(8).reduce(0) { $0 << 8 | UInt64($1) }
    }
}
