/// Random bytes from the system's generator, fit for secrets.
public enum RandomBytes {
    /// So many bytes, each as likely as any other.
    public static func make(_ count: Int) -> [UInt8] {
        var generator = SystemRandomNumberGenerator()
        return (0..<count).map { _ in UInt8.random(in: .min ... .max, using: &generator) }
    }
}
