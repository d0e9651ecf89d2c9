# shellcheck shell=bash
# A second gateway on the stores of the first. Needs gateway.sh.

SECOND_LOG=$KABABEAT_TEST_SCRATCH/second.log
SECOND_PORT=''
SECOND=''

# start_second_gateway: with the settings that are exported; ready when it returns. Whoever calls it ends both on EXIT.
start_second_gateway() {
    SECOND_PORT=$(python3 -c 'import socket; s = socket.socket(); s.bind(("127.0.0.1", 0)); print(s.getsockname()[1])')
    KABABEAT_HTTP_PORT=$SECOND_PORT "$KABABEAT_BINARY" serve >"$SECOND_LOG" 2>&1 &
    SECOND=$!
    local tries=100
    until [[ $(curl -s -o /dev/null -w '%{http_code}' "http://127.0.0.1:$SECOND_PORT/health/ready") == 200 ]]; do
        ((tries-- > 0)) || fail "the second gateway is not ready after 10 s: $(cat "$SECOND_LOG")"
        sleep 0.1
    done
}

end_second_gateway() {
    [[ -n $SECOND ]] || return 0
    kill -KILL "$SECOND" 2>/dev/null || true
    wait "$SECOND" 2>/dev/null || true
}
