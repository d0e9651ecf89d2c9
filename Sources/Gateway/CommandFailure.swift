/// Why a command, or the start of the gateway, cannot go on: told to whoever typed it.
public struct CommandFailure: Error, CustomStringConvertible {
    public let description: String
}
