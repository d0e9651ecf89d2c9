-- For wrk: uncached reads at a steady rate. Each connection pauses between two requests for DELAY milliseconds on average, and asks
-- for one of the paths, one a line, in PATHS. Prints one line of JSON with what came back. It looks at no answer itself, which would
-- take from the gateway more time than the gateway needs to refuse a request: wrk counts what is no success.

local requests, pause = {}, tonumber(os.getenv("DELAY"))

function init()
    for path in io.lines(os.getenv("PATHS")) do
        requests[#requests + 1] = wrk.format("GET", path, { ["Cache-Control"] = "no-cache" })
    end
end

function request() return requests[math.random(#requests)] end

if pause > 0 then
    function delay() return math.random(0, 2 * pause) end
end

function done(summary, latency)
    local errors = summary.errors
    print(string.format(
        '{"answered": %d, "refused": %d, "broken": %d, "seconds": %f, "max": %f}', summary.requests - errors.status, errors.status,
        errors.connect + errors.read + errors.write + errors.timeout, summary.duration / 1e6, latency.max / 1e3))
end
