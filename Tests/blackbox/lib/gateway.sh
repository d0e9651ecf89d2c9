# shellcheck shell=bash
# The gateway under test: its data, its start and its end. Sourced by the tests beside this folder, never run.
# scripts/test says where the stores are and which binary it is.

HERE=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
BASE=http://127.0.0.1:$KABABEAT_HTTP_PORT
GATEWAY_LOG=$KABABEAT_TEST_SCRATCH/gateway.log
GATEWAY=''

fail() {
    printf 'not ok: %s\n' "$*" >&2
    exit 1
}

pass() { printf 'ok: %s\n' "$*"; }

# run_bounded SECONDS COMMAND...
bounded() { timeout --kill-after=5 "$@"; }

kababeat() { bounded 120 "$KABABEAT_BINARY" "$@"; }

# make_catalogue BEATS: a catalogue of that size, in $CATALOGUE.
make_catalogue() {
    CATALOGUE=$KABABEAT_TEST_SCRATCH/catalogue.ndjson
    python3 "$HERE/lib/catalogue.py" "$1" >"$CATALOGUE"
}

# load_catalogue BEATS: migrated databases with so many beats in them.
load_catalogue() {
    make_catalogue "$1"
    kababeat migrate >"$KABABEAT_TEST_SCRATCH/migrate.log"
    kababeat import "$CATALOGUE" 2>"$KABABEAT_TEST_SCRATCH/import.log" || fail "import: $(cat "$KABABEAT_TEST_SCRATCH/import.log")"
}

# start_gateway [NAME=VALUE...]: in the background, with these settings on top; returns once it is ready.
start_gateway() {
    # The pid must be the gateway's own, so that a signal reaches it: nothing may stand between.
    env "$@" "$KABABEAT_BINARY" serve >"$GATEWAY_LOG" 2>&1 &
    GATEWAY=$!
    trap end_gateway EXIT
    local tries=100
    until [[ $(curl -s -o /dev/null -w '%{http_code}' "$BASE/health/ready") == 200 ]]; do
        kill -0 "$GATEWAY" 2>/dev/null || fail "the gateway did not start: $(cat "$GATEWAY_LOG")"
        ((tries-- > 0)) || fail "the gateway is not ready after 10 s: $(cat "$GATEWAY_LOG")"
        sleep 0.1
    done
}

# end_gateway: for good, whatever state it is in.
end_gateway() {
    [[ -n $GATEWAY ]] || return 0
    kill -KILL "$GATEWAY" 2>/dev/null || true
    wait "$GATEWAY" 2>/dev/null || true
    GATEWAY=''
}
