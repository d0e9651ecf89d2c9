-- wrk script: asks for the paths in a file, one a line, and prints what came of it as one line of JSON.
--   wrk ... -s paths.lua URL -- FILE [no-cache] [zipf] [pace=MILLISECONDS]
-- The paths are taken at random, all alike or, with `zipf`, the n-th with a weight of 1/n. A path may be followed by a tab and an access
-- token. With `pace`, each connection waits that long between an answer and its next request.

local started = 0

function setup(thread)
    started = started + 1
    thread:set("number", started)
end

function init(arguments)
    math.randomseed(os.time() * 64 + number)
    paths, weights = {}, nil
    for line in io.lines(arguments[1]) do
        local path, token = line:match("^(.-)\t(.*)$")
        paths[#paths + 1] = token and path .. " HTTP/1.1\r\nAuthorization: Bearer " .. token or line .. " HTTP/1.1"
    end
    for index = 2, #arguments do
        if arguments[index] == "no-cache" then wrk.headers["Cache-Control"] = "no-cache" end
        if arguments[index] == "zipf" then weights = {} end
        local pace = tonumber(arguments[index]:match("^pace=(%d+)$"))
        if pace then delay = function() return pace end end
    end
    if weights then
        local sum = 0
        for rank = 1, #paths do
            sum = sum + 1 / rank
            weights[rank] = sum
        end
    end
    -- wrk.format is slow; all requests differ in the path alone.
    local request = wrk.format("GET", "/?")
    local first, last = request:find("/? HTTP/1.1", 1, true)
    before, after = request:sub(1, first - 1), request:sub(last + 1)
end

local function zipf()
    local wanted, low, high = math.random() * weights[#weights], 1, #weights
    while low < high do
        local middle = math.floor((low + high) / 2)
        if weights[middle] < wanted then low = middle + 1 else high = middle end
    end
    return low
end

function request()
    return before .. paths[weights and zipf() or math.random(#paths)] .. after
end

function done(summary, latency)
    local errors = summary.errors
    io.write(string.format(
        '{"rate": %.1f, "p50": %.3f, "p99": %.3f, "requests": %d, "errors": %d, "bytes": %d}\n',
        summary.requests / summary.duration * 1e6, latency:percentile(50) / 1e3, latency:percentile(99) / 1e3, summary.requests,
        errors.connect + errors.read + errors.write + errors.status + errors.timeout, summary.bytes))
end
