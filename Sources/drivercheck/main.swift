// Exercises one driver against a real server for a bounded time: drivercheck postgres|mongo|redis <connection string> [seconds]

let arguments = CommandLine.arguments
let seconds = arguments.count > 3 ? Int(arguments[3]) : 5

switch (arguments.count > 2 ? arguments[1] : "", seconds) {
case ("postgres", let seconds?): try await checkPostgres(connection: arguments[2], seconds: seconds)
case ("mongo", let seconds?): try await checkMongo(connection: arguments[2], seconds: seconds)
case ("redis", let seconds?): try await checkRedis(connection: arguments[2], seconds: seconds)
default: print("usage: drivercheck postgres|mongo|redis <connection string> [seconds]")
}
