#!/usr/bin/env bash
# A creator whom nobody may see any more takes his beats out of two gateways at once, though MongoDB is frozen and though whoever barred
# him died in between; when MongoDB is back, it has what Postgres has.
set -euo pipefail
source "$(dirname "${BASH_SOURCE[0]}")/lib/gateway.sh"

SECOND_LOG=$KABABEAT_TEST_SCRATCH/second.log
SECOND=''

end_second() {
    [[ -n $SECOND ]] || return 0
    kill -KILL "$SECOND" 2>/dev/null || true
    wait "$SECOND" 2>/dev/null || true
}

kababeat migrate >"$KABABEAT_TEST_SCRATCH/migrate.log"
export KABABEAT_ENVIRONMENT=development KABABEAT_PASSWORD_COST=4
start_gateway
SECOND_PORT=$(python3 -c 'import socket; s = socket.socket(); s.bind(("127.0.0.1", 0)); print(s.getsockname()[1])')
KABABEAT_HTTP_PORT=$SECOND_PORT "$KABABEAT_BINARY" serve >"$SECOND_LOG" 2>&1 &
SECOND=$!
trap '"$KABABEAT_TEST_STORE" thaw mongodb; end_second; end_gateway' EXIT
tries=100
until [[ $(curl -s -o /dev/null -w '%{http_code}' "http://127.0.0.1:$SECOND_PORT/health/ready") == 200 ]]; do
    ((tries-- > 0)) || fail "the second gateway is not ready after 10 s: $(cat "$SECOND_LOG")"
    sleep 0.1
done
PYTHONPATH=$HERE/lib PYTHONDONTWRITEBYTECODE=1 bounded 180 python3 "$HERE/66-standing.py" "$KABABEAT_HTTP_PORT" "$SECOND_PORT" \
    || fail "see above; the gateway's log ends with: $(tail -n 20 "$GATEWAY_LOG")"
